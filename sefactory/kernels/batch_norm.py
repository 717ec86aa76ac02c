"""Batch normalisation in training mode: the statistics by a vectorised sum (docs/kernels.md, batch normalisation)."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional as F

MIN_VALUES = 16  # values of a channel of one sample from which the vectorised sum is faster
MAX_OFFSET = 16.0  # mean^2 / var above which E x^2 - (E x)^2 loses precision in float32


def batch_norm(
    x: Tensor, running_mean: Tensor, running_var: Tensor, weight: Tensor, bias: Tensor, momentum: float, eps: float
) -> Tensor:
    """F.batch_norm in training mode: w (x - mean) / sqrt(var + eps) + b; updates the running statistics.

    x: (N, C, ...) contiguous; all others (C,). ATen's own function runs for few values, where the squares overflow, and
    where a mean is far from 0. Unlike there, the result is not saved for the backward, so an activation may overwrite it.
    Raises ValueError for one value per channel, and for eps <= 0.
    """
    count = x.numel() // x.shape[1]
    if count > 1 and eps > 0 and x.numel() >= MIN_VALUES * x.shape[0] * x.shape[1]:
        with torch.no_grad():
            mean, square = (total.double() / count for total in _sums(x.detach()))
            var = square - mean.square()
        if bool(((mean.square() <= MAX_OFFSET * var) & var.isfinite()).all()):
            with torch.no_grad():
                running_mean.lerp_(mean.to(running_mean.dtype), momentum)
                running_var.lerp_((var * (count / (count - 1))).to(running_var.dtype), momentum)
            y: Tensor = _BatchNorm.apply(x, weight, bias, mean.to(x.dtype), var.to(x.dtype), eps)  # type: ignore[no-untyped-call]
            return y
    return F.batch_norm(x, running_mean, running_var, weight, bias, True, momentum, eps)


def _sums(x: Tensor) -> tuple[Tensor, Tensor]:
    """Returns sum x and sum x^2 of each channel: the backward of a batch norm at mean 0, scale 1 and gradient x."""
    zero = x.new_zeros(x.shape[1])
    _, squares, values = _backward(x, x, None, zero, torch.ones_like(zero), 0.0, (False, True, True))
    return values, squares


def _backward(
    g: Tensor, x: Tensor, weight: Tensor | None, mean: Tensor, scale: Tensor, eps: float, mask: tuple[bool, bool, bool]
) -> tuple[Tensor, Tensor, Tensor]:
    gradients: tuple[Tensor, Tensor, Tensor] = torch.ops.aten.native_batch_norm_backward(
        g, x, weight, None, None, mean, scale, True, eps, mask
    )
    return gradients


class _BatchNorm(Function):
    """ATen's formula of eval mode with the statistics of the batch, and ATen's backward of training mode."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, var: Tensor, eps: float) -> Tensor:
        ctx.save_for_backward(x, weight, mean, (var + eps).rsqrt_())
        ctx.eps = eps
        return torch.native_batch_norm(x, weight, bias, mean, var, False, 0.0, eps)[0]

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, scale = ctx.saved_tensors
        return *_backward(g, x, weight, mean, scale, ctx.eps, ctx.needs_input_grad[:3]), None, None, None
