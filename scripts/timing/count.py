"""Counts kernel launches and bytes of a module on meta tensors: what a device other than a CPU runs, without such a device.

A launch is an ATen call that computes: its result is neither a view nor memory that is only allocated. In-place calls count.
Its bytes are those that it reads and writes: every tensor argument and every result once, an expanded axis as one value.
"""

import copy
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from .results import Kind

aten = torch.ops.aten
ALLOCATIONS = {aten.empty, aten.empty_like, aten.empty_strided, aten.new_empty, aten.new_empty_strided, aten._unsafe_view}
WRITTEN_ONLY = {aten.copy_, aten.fill_, aten.zero_}
BATCH = 32
SIDES = {"sknet": 28, "seaformer": 28, "danet": 32}
COLUMNS = ("authors", "ours", "plain")


@dataclass
class Count:
    """Launches, and bytes read and written."""

    launches: int = 0
    bytes: int = 0


class Counting(TorchDispatchMode):
    """Adds up the launches and the bytes of every ATen call inside it."""

    def __init__(self) -> None:
        super().__init__()
        self.count = Count()
        self.calls: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        packet = func.overloadpacket
        if func.is_view or packet in ALLOCATIONS or not any(isinstance(t, Tensor) for t in tree_leaves(result)):
            return result
        read = args[1:] if packet in WRITTEN_ONLY else (args, kwargs)
        size = sum(_bytes(t) for t in (*tree_leaves(read), *tree_leaves(result)) if isinstance(t, Tensor))
        self.count.launches += 1
        self.count.bytes += size
        self.calls.append(f"{str(func).removeprefix('aten.'):44} {size:>12,}")
        return result


def _bytes(t: Tensor) -> int:
    return prod(n for n, stride in zip(t.shape, t.stride(), strict=True) if stride) * t.element_size()


def counted(module: nn.Module, shape: tuple[int, ...], kind: Kind) -> Counting:
    """The calls of a forward in eval mode without gradients, or of a forward and backward in train mode."""
    module = copy.deepcopy(module).to("meta").train(kind == "training")
    x = torch.empty(shape, device="meta", requires_grad=kind == "training")
    with torch.set_grad_enabled(kind == "training"):
        y = module(x)
        cotangent = torch.empty_like(y)
        with Counting() as counting:
            y = module(x)
            if kind == "training":
                torch.autograd.grad(y, [x, *module.parameters()], cotangent, allow_unused=True)
    return counting
