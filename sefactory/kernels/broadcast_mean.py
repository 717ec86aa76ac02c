"""The mean of a large map on a device other than the CPU, with a gradient that is broadcast and not written."""

from collections.abc import Callable
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from .dispatch import LARGE, is_eager


def broadcasts_gradient(x: Tensor) -> bool:
    """True if `broadcast_mean` saves passes over a map: a large one in training, not on the CPU, which shares one backward."""
    return not x.is_cpu and x.numel() > LARGE and torch.is_grad_enabled() and x.requires_grad and is_eager(x)


class _Mean(Function):
    """d x = d y / n, broadcast as a view. torch's own backward writes it as a map and then adds that map."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, dims: tuple[int, ...]) -> Tensor:
        ctx.shape, ctx.dims = x.shape, sorted(dims)
        y: Tensor = x.mean(dims)
        return y

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        g = g / prod(ctx.shape[dim] for dim in ctx.dims)
        for dim in ctx.dims:
            g = g.unsqueeze(dim)
        return g.expand(ctx.shape), None


broadcast_mean: Callable[[Tensor, tuple[int, ...]], Tensor] = _Mean.apply
