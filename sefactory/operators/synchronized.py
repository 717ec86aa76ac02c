"""Batch normalisation with the statistics of all processes of a group."""

from typing import Any

import torch
from torch import Tensor, distributed
from torch.autograd import Function

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


def batch_statistics(x_NC: Tensor, group: ProcessGroup) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Returns (x - mean, mean, biased variance, number of values) of each channel over the processes of a group.

    The first reduction gives the common mean, and the second one the squares around it, so that the variance stays precise
    where the mean is far from 0. Sums over processes are float64 where the device has it.
    """
    channels, dims = x_NC.shape[1], [0, *range(2, x_NC.dim())]
    wide = torch.float32 if x_NC.device.type == "mps" else torch.float64
    sums = x_NC.sum(dims).to(wide)
    count = sums.new_full((1,), x_NC.numel() // max(channels, 1))
    sums, n = _Sum.apply(torch.cat([sums, count]), group).split([channels, 1])  # type: ignore[no-untyped-call]
    mean = sums / n
    centred_NC = x_NC - mean.to(x_NC.dtype).view(-1, *[1] * (x_NC.dim() - 2))
    squares = _Sum.apply(centred_NC.square().sum(dims).to(wide), group)  # type: ignore[no-untyped-call]
    return centred_NC, mean, squares / n, n


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
    centred_NC, mean, var, n = batch_statistics(without_half(x_NC), group)
    with torch.no_grad():
        unbiased = var * n / (n - 1)
        for tensor, value in zip(running, (mean, unbiased), strict=True):
            if tensor is not None:
                tensor.lerp_(value.to(tensor.dtype), rate)
    weight, bias = affine
    scale = (var + eps).rsqrt() if weight is None else weight * (var + eps).rsqrt()
    dtype, shape = centred_NC.dtype, (-1, *[1] * (x_NC.dim() - 2))
    y = centred_NC * scale.to(dtype).view(shape)
    return (y if bias is None else y + bias.to(dtype).view(shape)).to(x_NC.dtype)
