"""Normalisation over the batch, over axes, or over groups of channels."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..config.registry import operator
from ..config.schema import Axes, Fraction, Positive, Real, Size
from ..kernels.dispatch import jit_tracing_paused
from ..shapes import Sizes
from .parameters import exact_div, init_parameter, inverse_permutation
from .precision import centred_variance, without_half
from .synchronized import ProcessGroup, process_count, synchronized_batch_norm
from .traced_shapes import unflatten


class SingleValue(ValueError):
    """A statistic of `norm` would have a single value in training."""

    def __init__(self, norm: "BatchNorm", x_NC: Tensor) -> None:
        super().__init__(f"Expected more than 1 value per channel when training, got input size {tuple(x_NC.shape)}")
        self.norm = norm


def batch_norm_error(error: ValueError, norm: "BatchNorm", x_NC: Tensor) -> ValueError:
    """Returns SingleValue if that is why F.batch_norm raised an error, else the error itself."""
    with jit_tracing_paused():  # sizes are tensors of the graph there
        return SingleValue(norm, x_NC) if x_NC.numel() == x_NC.shape[1] else error


class BatchNorm(nn.BatchNorm2d):
    """y = w (x - mean) / sqrt(var + eps) + b with statistics over the batch and all axes but `each` (arXiv:1502.03167).

    running = (1 - momentum) running + momentum batch, with the unbiased variance. weight, bias, running_*: (each...).
    It has torch's class, so that tools which look for batch norms find it: update_bn, recipes that freeze norms or leave
    them without weight decay. The attributes of torch's class mean what they mean there; `num_features` is the number of
    statistics. `is_synchronized`: statistics are those of all processes of `process_group` (None: of all processes).
    `merged_dims` is how x_BSCHW becomes the (N, C, H, W) of torch's norms (see `_merged_dims`).
    Raises SingleValue in training if a statistic has a single value.
    """

    def __init__(self, sizes: Sizes, each: str, start: float, momentum: float, eps: float) -> None:
        shape = sizes.numbers(each)
        weight, bias = init_parameter(shape, start=start), init_parameter(shape, start=0)
        super().__init__(math.prod(shape), eps, momentum, affine=False, track_running_stats=False)
        self.affine = self.track_running_stats = True
        self.weight, self.bias = weight, bias
        self.register_buffer("running_mean", torch.zeros(shape))
        self.register_buffer("running_var", torch.ones(shape))
        self.register_buffer("num_batches_tracked", torch.tensor(0))
        self.each, self.start, self.shape = each, start, shape
        self.is_synchronized = False
        self.process_group: ProcessGroup = None
        self.merged_dims = _merged_dims(sizes, each)
        # The `each` axes move to the place of their first one; those before it are flattened into the batch.
        each_dims = sizes.dims(each)
        self.batch_dims = first = min(each_dims)
        others = [dim for dim in range(first + 1, len(sizes.axes) + 1) if dim not in each_dims]
        self.permutation = (*range(first), *each_dims, *others)
        self.inverse = inverse_permutation(self.permutation)

    def forward(self, x_BSCHW: Tensor) -> Tensor:
        x = x_BSCHW.permute(self.permutation)
        x_NC = x.flatten(0, self.batch_dims - 1).flatten(1, len(self.each))
        return self.normalize(x_NC).reshape(x.shape).permute(self.inverse)

    def normalize(self, x_NC: Tensor) -> Tensor:
        """The norm of (N, C, ...), where C are the flattened `each` axes. In training the batch is counted first."""
        if self.training and self.track_running_stats and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        weight, bias = _flat(self.weight), _flat(self.bias)
        mean, var = _flat(self.running_mean), _flat(self.running_var)
        uses_batch = self.training or mean is None
        if self.training and not self.track_running_stats:
            mean = var = None
        if self.training and self.is_synchronized and process_count(self.process_group) > 1:
            running, affine = (mean, var), (weight, bias)
            return synchronized_batch_norm(x_NC, running, affine, self.update_rate(), self.eps, self.process_group)
        try:
            return F.batch_norm(x_NC, mean, var, weight, bias, uses_batch, self.update_rate(), self.eps)
        except ValueError as error:
            raise batch_norm_error(error, self, x_NC) from None

    def update_rate(self) -> float:
        """The weight of the current batch in the running statistics: `momentum`, or 1 / (number of batches) if it is None."""
        if self.momentum is not None:
            return self.momentum
        counts = self.training and self.track_running_stats
        return 1 / float(self.num_batches_tracked) if counts and self.num_batches_tracked is not None else 0.0

    def reset_parameters(self) -> None:
        """The initial state: running statistics of 0 and 1, and the initial weight of the config."""
        self.reset_running_stats()
        if self.weight is not None:
            nn.init.constant_(self.weight, self.start)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def extra_repr(self) -> str:
        synchronized = ", synchronized" if self.is_synchronized else ""
        return f"{self.shape}, momentum={self.momentum}, eps={self.eps}{synchronized}"


@operator("batch_norm")
def batch_norm(sizes: Sizes, each: Axes = "C", start: Real = 1, momentum: Fraction = 0.1, eps: Positive = 1e-5) -> BatchNorm:
    """Batch normalisation with separate statistics for each index of the named axes; `start` is the initial weight."""
    return BatchNorm(sizes, each, start, momentum, eps)


def _merged_dims(sizes: Sizes, each: str) -> tuple[int, tuple[int, int]] | None:
    """Returns (dim, sizes). Flattening dimensions dim and dim + 1 of x_BSCHW makes the axis `each` dimension 1.

    unflatten(dim, sizes) undoes it. None where the norm has other axes, or where the feature map has another rank.
    """
    if sizes.axes != "SCHW" or each not in ("S", "C"):
        return None
    return (0, (-1, sizes.number("S"))) if each == "C" else (2, (sizes.number("C"), -1))


def _flat(t: Tensor | None) -> Tensor | None:
    return None if t is None else t.flatten()


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
        x = without_half(x_BSCHW)
        centred = x - x.mean(self.dims, keepdim=True)
        var = centred_variance(centred, self.dims, self.unbiased)
        return (centred / torch.sqrt(var + self.eps)).to(x_BSCHW.dtype)

    def extra_repr(self) -> str:
        return f"dims={self.dims}, eps={self.eps}, unbiased={self.unbiased}"


@operator("standardize")
def standardize(sizes: Sizes, over: Axes = "grid", eps: Positive = 1e-5, unbiased: bool = True) -> Standardize:
    """(x - mean) / sqrt(var + eps) over the named axes of each sample, without parameters."""
    return Standardize(sizes.dims(over), eps, unbiased)
