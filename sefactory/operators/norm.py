"""Normalisation over axes, the batch, or groups of channels."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..config.registry import operator
from ..config.schema import Axes, Fraction, Positive, Real, Size
from ..shapes import Sizes
from .parameters import exact_div, init_parameter, inverse_permutation
from .precision import sum_keepdim


class BatchNorm(nn.Module):
    """w (x - mean) / sqrt(var + eps) + b, statistics over the batch and all axes but `each`; arXiv:1502.03167.

    running <- (1 - momentum) running + momentum batch, the variance unbiased. weight, bias, running_*: (each...).
    Raises ValueError in training where there is one value for each statistic.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, sizes: Sizes, each: str, start: float, momentum: float, eps: float) -> None:
        super().__init__()
        shape = sizes.numbers(each)
        self.momentum, self.eps, self.each = momentum, eps, each
        self.weight, self.bias = init_parameter(shape, start=start), init_parameter(shape, start=0)
        self.register_buffer("running_mean", torch.zeros(shape))
        self.register_buffer("running_var", torch.ones(shape))
        self.register_buffer("num_batches_tracked", torch.tensor(0))
        own = sizes.dims(each)
        self.lead = first = min(own)
        self.order = (*range(first), *own, *[dim for dim in range(first + 1, len(sizes.axes) + 1) if dim not in own])
        self.back = inverse_permutation(self.order)

    def forward(self, x_BSCHW: Tensor) -> Tensor:
        if self.training:
            self.num_batches_tracked.add_(1)
        x = x_BSCHW.permute(self.order)
        flat = x.flatten(0, self.lead - 1).flatten(1, len(self.each))
        mean, var = self.running_mean.flatten(), self.running_var.flatten()
        weight, bias = self.weight.flatten(), self.bias.flatten()
        y = F.batch_norm(flat, mean, var, weight, bias, self.training, self.momentum, self.eps).reshape(x.shape)
        return y.permute(self.back)

    def extra_repr(self) -> str:
        return f"{tuple(self.weight.shape)}, momentum={self.momentum}, eps={self.eps}"


@operator("batch_norm")
def batch_norm(sizes: Sizes, each: Axes = "C", start: Real = 1, momentum: Fraction = 0.1, eps: Positive = 1e-5) -> BatchNorm:
    """Batch normalisation with statistics for each index of the named axes; the weight begins at `start`."""
    return BatchNorm(sizes, each, start, momentum, eps)


class LayerNorm(nn.Module):
    """Each position over its channels, then w x + b for each channel. weight, bias: (C)."""

    def __init__(self, channels: int, start: float, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight, self.bias = init_parameter((channels,), start=start), init_parameter((channels,), start=0)

    def forward(self, x_BSCHW: Tensor) -> Tensor:
        y = F.layer_norm(x_BSCHW.movedim(2, -1), self.weight.shape, self.weight, self.bias, self.eps)
        return y.movedim(-1, 2)

    def extra_repr(self) -> str:
        return f"{tuple(self.weight.shape)}, eps={self.eps}"


@operator("layer_norm")
def layer_norm(sizes: Sizes, eps: Positive = 1e-5, start: Real = 1) -> LayerNorm:
    """Layer normalisation of each position over its channels (arXiv:1607.06450), affine."""
    return LayerNorm(sizes.number("C"), start, eps)


class GroupNorm(nn.Module):
    """Groups of channels with their positions, each map on S by itself; then w x + b for each channel. weight, bias: (C)."""

    def __init__(self, channels: int, groups: int, start: float, eps: float) -> None:
        super().__init__()
        self.groups, self.eps = groups, eps
        self.weight, self.bias = init_parameter((channels,), start=start), init_parameter((channels,), start=0)

    def forward(self, x_BSCHW: Tensor) -> Tensor:
        y = torch.group_norm(x_BSCHW.flatten(0, 1), self.groups, self.weight, self.bias, self.eps)
        return torch.unflatten(y, 0, x_BSCHW.shape[:2])

    def extra_repr(self) -> str:
        return f"{tuple(self.weight.shape)}, groups={self.groups}, eps={self.eps}"


@operator("group_norm")
def group_norm(sizes: Sizes, groups: Size = 1, eps: Positive = 1e-5, start: Real = 1) -> GroupNorm:
    """Group normalisation (arXiv:1803.08494): groups of channels with their positions, affine for each channel."""
    exact_div("C of", sizes.number("C"), groups)
    return GroupNorm(sizes.number("C"), groups, start, eps)


class Standardize(nn.Module):
    """(x - mean) / sqrt(var + eps) over some axes of each sample; without parameters. One value alone becomes 0."""

    def __init__(self, dims: tuple[int, ...], eps: float, unbiased: bool) -> None:
        super().__init__()
        self.dims, self.eps, self.unbiased = dims, eps, unbiased

    def forward(self, x_BSCHW: Tensor) -> Tensor:
        centred = x_BSCHW - x_BSCHW.mean(self.dims, keepdim=True)
        count = math.prod([x_BSCHW.shape[dim] for dim in self.dims])
        var = sum_keepdim(centred.square(), self.dims) / max(count - int(self.unbiased), 1)
        return centred / torch.sqrt(var + self.eps).to(centred.dtype)

    def extra_repr(self) -> str:
        return f"dims={self.dims}, eps={self.eps}, unbiased={self.unbiased}"


@operator("standardize")
def standardize(sizes: Sizes, over: Axes = "grid", eps: Positive = 1e-5, unbiased: bool = True) -> Standardize:
    """(x - mean) / sqrt(var + eps) over the axes of each sample, no parameters."""
    return Standardize(sizes.dims(over), eps, unbiased)
