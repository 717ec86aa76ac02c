"""Measures the memory of one forward and backward: the bytes that autograd saves, and the peak."""

import weakref
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


def saved_for_backward_bytes(forward: Callable[[], Tensor], excluded: Iterable[Tensor]) -> int:
    """Returns the bytes that autograd saves in `forward` for the backward; each storage counts once.

    The input counts if it is saved. The storages of `excluded` (parameters and buffers) never count. A storage counts in
    full even if only a slice of it is saved, because all of it stays allocated.
    """
    saved: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        if tensor.layout is torch.strided:
            storage = tensor.untyped_storage()
            saved[storage.data_ptr()] = storage.nbytes()
        return tensor.detach()  # saving the output itself would be a reference cycle with its graph node

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        y = forward()
    for tensor in excluded:
        saved.pop(tensor.untyped_storage().data_ptr(), None)
    del y  # until here y keeps the graph and its storages alive, so that no address is reused
    return sum(saved.values())


def peak_memory_bytes(step: Callable[[], object], x: Tensor, excluded: Iterable[Tensor]) -> int:
    """Returns the peak memory of `step`, one forward and backward, in bytes.

    The input `x`, the output, intermediate tensors and gradients count. The storages of `excluded` (parameters, buffers,
    the gradient of the output) do not. On CUDA the result is `torch.cuda.max_memory_allocated` minus the bytes that were
    allocated before `step`, plus the input. On other devices the storages that operators return are tracked until they
    are freed. Temporary memory inside a kernel is then not included.
    """
    if x.device.type == "cuda":
        return _cuda_peak_bytes(step, x)
    tracker = _StorageTracker([tensor.untyped_storage() for tensor in excluded])
    tracker.track(x)
    with tracker:
        step()
    return tracker.peak_bytes


def _cuda_peak_bytes(step: Callable[[], object], x: Tensor) -> int:
    torch.cuda.synchronize(x.device)
    torch.cuda.reset_peak_memory_stats(x.device)
    before = torch.cuda.memory_allocated(x.device)
    step()
    torch.cuda.synchronize(x.device)
    return torch.cuda.max_memory_allocated(x.device) - before + x.untyped_storage().nbytes()


class _StorageTracker(TorchDispatchMode):
    """Tracks the storages that operators return, each once; `peak_bytes` is the largest sum of those alive together."""

    def __init__(self, excluded: list[torch.UntypedStorage]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak_bytes = 0
        self._excluded = {storage._cdata for storage in excluded}
        self._bytes: dict[int, int] = {}
        self._references: dict[int, weakref.ref[torch.UntypedStorage]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor) and leaf.layout is torch.strided:
                self.track(leaf)
        return result

    def track(self, tensor: Tensor) -> None:
        """Counts the storage of a tensor until it is freed."""
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._excluded:
            return
        if key not in self._references:
            self._references[key] = weakref.ref(storage, lambda _: self._release(key))
        self._bytes[key] = storage.nbytes()  # also for a known storage, which may have been resized
        self.peak_bytes = max(self.peak_bytes, sum(self._bytes.values()))

    def _release(self, key: int) -> None:
        del self._bytes[key], self._references[key]
