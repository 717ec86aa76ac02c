"""Inside one forward and backward: what autograd keeps in between, the fullest moment, the time of each operator."""

import weakref
from collections.abc import Callable, Iterable, Mapping
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.benchmark import (
    timer as now,  # waits for the accelerator first, where there is one
)
from torch.utils.hooks import RemovableHandle

SPLIT_RUNS = 7


def saved_bytes(forward: Callable[[], Tensor], owned: Iterable[Tensor]) -> int:
    """Bytes of the distinct storages that autograd saves in `forward` for its backward.

    The input counts where it is saved; the storages of `owned` (parameters and buffers) never do. A storage counts
    whole, also where only a slice of it is saved, since all of it stays allocated.
    """
    saved: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        if tensor.layout is torch.strided:
            storage = tensor.untyped_storage()
            saved[storage.data_ptr()] = storage.nbytes()
        return tensor.detach()  # the tensor itself, where it is its own node's output, would be a cycle never freed

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        y = forward()
    for tensor in owned:
        saved.pop(tensor.untyped_storage().data_ptr(), None)
    del y  # not before: it holds the graph and with it the storages, so that no address was used twice
    return sum(saved.values())


def peak_bytes(step: Callable[[], object], x: Tensor, owned: Iterable[Tensor]) -> int:
    """Bytes alive at the fullest moment of `step`, one forward and backward.

    Counted are the input `x`, the output, everything between and the gradients; the storages of `owned` (parameters,
    buffers, the gradient that comes from outside) are not. On CUDA it is `torch.cuda.max_memory_allocated`, less what
    was allocated before. Elsewhere the storages that operators return are followed until they are freed: workspace
    that a kernel allocates and frees within itself is not seen.
    """
    if x.device.type == "cuda":
        return _peak_on_cuda(step, x)
    followed = _LiveStorages([t.untyped_storage() for t in owned])
    followed.follow(x)
    with followed:
        step()
    return followed.peak


def _peak_on_cuda(step: Callable[[], object], x: Tensor) -> int:
    torch.cuda.synchronize(x.device)
    torch.cuda.reset_peak_memory_stats(x.device)
    before = torch.cuda.memory_allocated(x.device)
    step()
    torch.cuda.synchronize(x.device)
    return torch.cuda.max_memory_allocated(x.device) - before + x.untyped_storage().nbytes()


class _LiveStorages(TorchDispatchMode):
    """Sums the bytes of the storages alive among those that operators have returned, each counted once."""

    def __init__(self, ignored: list[torch.UntypedStorage]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = 0
        self._live = 0
        self._ignored = {storage._cdata for storage in ignored}
        self._bytes: dict[int, int] = {}
        self._references: dict[int, weakref.ref[torch.UntypedStorage]] = {}

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor) and leaf.layout is torch.strided:
                self.follow(leaf)
        return result

    def follow(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._ignored:
            return
        if key not in self._references:
            self._references[key] = weakref.ref(storage, lambda _: self._release(key))
        self._live += storage.nbytes() - self._bytes.get(key, 0)  # a storage may have grown since it was seen
        self._bytes[key] = storage.nbytes()
        self.peak = max(self.peak, self._live)

    def _release(self, key: int) -> None:
        self._live -= self._bytes.pop(key)
        del self._references[key]


def operator_seconds(module: nn.Module, x: Tensor, operators: Mapping[str, str]) -> dict[str, float]:
    """Seconds of one forward per operator name, summed over its places (`operators` maps path within `module` to name).

    Medians over some runs, as measured: work outside these modules is in none of them.
    """
    spent: dict[str, list[float]] = {name: [] for name in operators.values()}
    hooks = [hook for path, name in operators.items() for hook in _watch(module.get_submodule(path), spent[name])]
    try:
        for _ in range(1 + SPLIT_RUNS):  # the first warms up
            for seconds in spent.values():
                seconds.append(0.0)
            module(x)
    finally:
        for hook in hooks:
            hook.remove()
    return {name: median(seconds[1:]) for name, seconds in spent.items()}


def _watch(module: nn.Module, spent: list[float]) -> tuple[RemovableHandle, RemovableHandle]:
    """Adds what each call of the module takes to the last of `spent`."""
    started: list[float] = []

    def before(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        started.append(now())

    def after(module: nn.Module, args: tuple[Tensor, ...], result: object) -> None:
        spent[-1] += now() - started.pop()

    return module.register_forward_pre_hook(before), module.register_forward_hook(after)
