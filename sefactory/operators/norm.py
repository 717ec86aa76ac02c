"""Normalisation over the batch, over axes, or over groups of channels."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..config.registry import operator
from ..config.schema import Axes, Fraction, Positive, Real, Size
from ..shapes import Sizes
from .parameters import exact_div, init_parameter, inverse_permutation
from .precision import centred_variance
from .traced_shapes import unflatten


class BatchNorm(nn.Module):
    """y = w (x - mean) / sqrt(var + eps) + b with statistics over the batch and all axes but `each` (arXiv:1502.03167).

    running = (1 - momentum) running + momentum batch, with the unbiased variance. weight, bias, running_*: (each...).
    Raises ValueError in training if a statistic has a single value.
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
        # The `each` axes move to the place of their first one; those before it are flattened into the batch.
        each_dims = sizes.dims(each)
        self.batch_dims = first = min(each_dims)
        others = [dim for dim in range(first + 1, len(sizes.axes) + 1) if dim not in each_dims]
        self.permutation = (*range(first), *each_dims, *others)
        self.inverse = inverse_permutation(self.permutation)

    def forward(self, x_BSCHW: Tensor) -> Tensor:
        if self.training:
            self.num_batches_tracked.add_(1)
        x = x_BSCHW.permute(self.permutation)
        x_NC = x.flatten(0, self.batch_dims - 1).flatten(1, len(self.each))
        mean, var = self.running_mean.flatten(), self.running_var.flatten()
        weight, bias = self.weight.flatten(), self.bias.flatten()
        y = F.batch_norm(x_NC, mean, var, weight, bias, self.training, self.momentum, self.eps)
        return y.reshape(x.shape).permute(self.inverse)

    def extra_repr(self) -> str:
        return f"{tuple(self.weight.shape)}, momentum={self.momentum}, eps={self.eps}"


@operator("batch_norm")
def batch_norm(sizes: Sizes, each: Axes = "C", start: Real = 1, momentum: Fraction = 0.1, eps: Positive = 1e-5) -> BatchNorm:
    """Batch normalisation with separate statistics for each index of the named axes; `start` is the initial weight."""
    return BatchNorm(sizes, each, start, momentum, eps)


class LayerNorm(nn.Module):
    """y_c = w_c (x_c - mean) / sqrt(var + eps) + b_c with statistics over the channels of each position.

    x_BSCHW -> y_BSCHW. weight, bias: (C).
    """

    def __init__(self, channels: int, start: float, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight, self.bias = init_parameter((channels,), start=start), init_parameter((channels,), start=0)

    def forward(self, x_BSCHW: Tensor) -> Tensor:
        y = F.layer_norm(x_BSCHW.movedim(2, x_BSCHW.dim() - 1), self.weight.shape, self.weight, self.bias, self.eps)
        return y.movedim(x_BSCHW.dim() - 1, 2)

    def extra_repr(self) -> str:
        return f"{tuple(self.weight.shape)}, eps={self.eps}"


@operator("layer_norm")
def layer_norm(sizes: Sizes, eps: Positive = 1e-5, start: Real = 1) -> LayerNorm:
    """Layer normalisation of each position over its channels, with a weight and a bias (arXiv:1607.06450)."""
    return LayerNorm(sizes.number("C"), start, eps)


class GroupNorm(nn.Module):
    """y_c = w_c (x_c - mean) / sqrt(var + eps) + b_c with statistics over a group of channels and all positions.

    x_BSCHW -> y_BSCHW; each map on S has its own statistics. weight, bias: (C).
    """

    def __init__(self, channels: int, groups: int, start: float, eps: float) -> None:
        super().__init__()
        self.groups, self.eps = groups, eps
        self.weight, self.bias = init_parameter((channels,), start=start), init_parameter((channels,), start=0)

    def forward(self, x_BSCHW: Tensor) -> Tensor:
        y = torch.group_norm(x_BSCHW.flatten(0, 1), self.groups, self.weight, self.bias, self.eps)
        return unflatten(y, 0, x_BSCHW.shape[:2])

    def extra_repr(self) -> str:
        return f"{tuple(self.weight.shape)}, groups={self.groups}, eps={self.eps}"


@operator("group_norm")
def group_norm(sizes: Sizes, groups: Size = 1, eps: Positive = 1e-5, start: Real = 1) -> GroupNorm:
    """Group normalisation: statistics over groups of channels and all positions, weight and bias (arXiv:1803.08494)."""
    exact_div("C of", sizes.number("C"), groups)
    return GroupNorm(sizes.number("C"), groups, start, eps)


class Standardize(nn.Module):
    """y = (x - mean) / sqrt(var + eps) with statistics over some axes of each sample; no parameters. A single value gives 0."""

    def __init__(self, dims: tuple[int, ...], eps: float, unbiased: bool) -> None:
        super().__init__()
        self.dims, self.eps, self.unbiased = dims, eps, unbiased

    def forward(self, x_BSCHW: Tensor) -> Tensor:
        centred = x_BSCHW - x_BSCHW.mean(self.dims, keepdim=True)
        var = centred_variance(centred, self.dims, self.unbiased)
        return centred / torch.sqrt(var + self.eps).to(centred.dtype)

    def extra_repr(self) -> str:
        return f"dims={self.dims}, eps={self.eps}, unbiased={self.unbiased}"


@operator("standardize")
def standardize(sizes: Sizes, over: Axes = "grid", eps: Positive = 1e-5, unbiased: bool = True) -> Standardize:
    """(x - mean) / sqrt(var + eps) over the named axes of each sample, without parameters."""
    return Standardize(sizes.dims(over), eps, unbiased)
