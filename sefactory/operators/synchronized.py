"""Batch normalisation with the statistics of all processes of a group."""

from typing import Any

import torch
from torch import Tensor, distributed
from torch.autograd import Function
from torch.nn.functional import pad

from .precision import without_half

ProcessGroup = Any
"""A torch.distributed.ProcessGroup, or None for all processes. Builds of torch without torch.distributed lack the class."""


def process_count(group: ProcessGroup) -> int:
    """The number of processes of a group; 1 where torch.distributed is not in use."""
    return distributed.get_world_size(group) if distributed.is_available() and distributed.is_initialized() else 1


class _Sum(Function):
    """The sum over the processes of a group. Its backward is the same sum of the gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: ProcessGroup) -> Tensor:
        ctx.group = group
        total = x.clone()
        distributed.all_reduce(total, group=group)
        return total

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        return _Sum.apply(g, ctx.group), None  # type: ignore[no-untyped-call]


def batch_statistics(x_NC: Tensor, group: ProcessGroup) -> tuple[Tensor, Tensor, Tensor]:
    """Returns (mean, biased variance, number of values) of each channel over the processes of a group, in one reduction.

    Each process sums the squares around its own mean. The parts are joined around the common mean (Chan's parallel
    algorithm), so that the variance stays precise where the means are far from 0. They are float64 where the device has it.
    """
    channels, dims = x_NC.shape[1], [0, *range(2, x_NC.dim())]
    count = x_NC.numel() // max(channels, 1)
    wide = torch.float32 if x_NC.device.type == "mps" else torch.float64
    own_mean = x_NC.sum(dims) / max(count, 1)
    own_squares = (x_NC - own_mean.view(-1, *[1] * (x_NC.dim() - 2))).square().sum(dims)
    own = torch.cat([own_mean.to(wide), own_squares.to(wide), own_mean.new_full((1,), count, dtype=wide)])
    rank = distributed.get_rank(group)
    row = pad(own[None], (0, 0, rank, process_count(group) - rank - 1))  # the sum has one row for each process
    means, squares, counts = _Sum.apply(row, group).split([channels, channels, 1], 1)  # type: ignore[no-untyped-call]
    n = counts.sum(0)
    mean = (counts * means).sum(0) / n
    return mean, (squares + counts * (means - mean).square()).sum(0) / n, n


def synchronized_batch_norm(
    x_NC: Tensor,
    running: tuple[Tensor | None, Tensor | None],
    affine: tuple[Tensor | None, Tensor | None],
    rate: float,
    eps: float,
    group: ProcessGroup,
) -> Tensor:
    """F.batch_norm in training with the statistics of all processes of a group, on any backend; differentiable.

    x_NC: (N, C, ...). Updates the `running` mean and variance by `rate`; `affine` are the weight and the bias.
    """
    x = without_half(x_NC)
    mean, var, n = batch_statistics(x, group)
    with torch.no_grad():
        unbiased = var * n / (n - 1)
        for tensor, value in zip(running, (mean, unbiased), strict=True):
            if tensor is not None:
                tensor.lerp_(value.to(tensor.dtype), rate)
    weight, bias = affine
    scale = (var + eps).rsqrt() if weight is None else weight * (var + eps).rsqrt()
    shape = (-1, *[1] * (x.dim() - 2))
    y = (x - mean.to(x.dtype).view(shape)) * scale.to(x.dtype).view(shape)
    return (y if bias is None else y + bias.to(x.dtype).view(shape)).to(x_NC.dtype)
