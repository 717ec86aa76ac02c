"""Operators that reduce axes: `pool` (whole axes), `window` (local windows), `cluster` (learned weighted means)."""

import math
from collections.abc import Callable, Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from ..config.registry import operator
from ..config.schema import Axes, Index, Positive, Size
from ..errors import InvalidValue
from ..shapes import Sizes, ceil_div
from .parameters import init_parameter
from .precision import centred_variance, in_float32, without_half
from .traced_shapes import unflatten

MAX_ROUNDS = 1000

STATISTICS: dict[str, Callable[[Tensor, tuple[int, ...]], Tensor]] = {
    "mean": lambda x, dims: x.mean(dims, keepdim=True),
    "max": lambda x, dims: x.amax(dims, keepdim=True),
    "min": lambda x, dims: x.amin(dims, keepdim=True),
    "sum": lambda x, dims: x.sum(dims, keepdim=True),
    "l1": lambda x, dims: x.abs().sum(dims, keepdim=True),
    "l2": lambda x, dims: torch.linalg.vector_norm(x, dim=dims, keepdim=True),  # its gradient at 0 is 0
    "logsumexp": lambda x, dims: x.logsumexp(dims, keepdim=True),
}
Statistic = Literal["mean", "max", "min", "sum", "std", "var", "l1", "l2", "logsumexp"]


def variance(x: Tensor, dims: tuple[int, ...], unbiased: bool) -> Tensor:
    """Returns the variance over `dims`, kept at size 1: sum (x - mean)^2 / (n - 1), or / n if biased. It is 0 for n = 1.

    Of half types it is computed and returned in float32.
    """
    x = without_half(x)
    return centred_variance(x - x.mean(dims, keepdim=True), dims, unbiased)


class Pool(nn.Module):
    """Statistics of x over the axes `over`, stacked on S: the first statistic of all feature maps, then the second, ...

    x_BSCHW -> y_BSCHW. The reduced axes have size 1. S is multiplied by the number of statistics.
    var = sum (x - mean)^2 / (n - 1), or / n if biased; std = sqrt(var + eps); l1 = sum |x|; l2 = sqrt(sum x^2).
    """

    def __init__(self, sizes: Sizes, over: str, by: Sequence[str], eps: float, unbiased: bool) -> None:
        super().__init__()
        self.dims, self.by, self.eps, self.unbiased = sizes.dims(over), tuple(by), eps, unbiased
        reduced = sizes.replace(dict.fromkeys(over, 1))
        self.sizes = reduced.replace({"S": reduced.number("S") * len(by)})

    def forward(self, x_BSCHW: Tensor) -> Tensor:
        statistics = [self.statistic(name, x_BSCHW) for name in self.by]
        return statistics[0] if len(statistics) == 1 else torch.cat(statistics, dim=1)

    def statistic(self, name: str, x_BSCHW: Tensor) -> Tensor:
        """Returns the statistic `name` of x, with the pooled axes kept at size 1."""
        if name in STATISTICS:
            return STATISTICS[name](x_BSCHW, self.dims)
        var = variance(x_BSCHW, self.dims, self.unbiased)
        return (var if name == "var" else torch.sqrt(var + self.eps)).to(x_BSCHW.dtype)

    def extra_repr(self) -> str:
        return f"dims={self.dims}, by={self.by}"


@operator("pool")
def pool(
    sizes: Sizes,
    over: Axes = "grid",
    by: Statistic | Annotated[list[Statistic], Field(min_length=1)] = "mean",
    eps: Positive = 1e-5,
    unbiased: bool = True,
) -> Pool:
    """Reduces the axes `over` to size 1 by one or more statistics. Several statistics are stacked on S."""
    return Pool(sizes, over, [by] if isinstance(by, str) else by, eps, unbiased)


class LocalPool(nn.Module):
    """Mean or maximum over local windows. Positions outside of the feature map are ignored.

    x_BSCHW -> y_BSCHW. An axis of the grid with n positions has ceil(n / stride) in y. Windows with an odd kernel size are
    centred. Windows with a kernel size equal to the stride do not overlap. With `count_include_pad` the mean includes the
    padded zeros. Source: arXiv:1810.12348, which uses kernel = 2 stride - 1.
    """

    def __init__(self, sizes: Sizes, stride: int, kernel: int, by: str, count_include_pad: bool) -> None:
        super().__init__()
        self.by, self.count_include_pad = by, count_include_pad
        self.windows = tuple((kernel, stride) if axis in sizes.grid else (1, 1) for axis in sizes.spatial_axes)
        self.sizes = sizes.replace({axis: ceil_div(sizes[axis], stride) for axis in sizes.grid})

    def forward(self, x_BSCHW: Tensor) -> Tensor:
        *depth, h, w = self.windows
        y = self._pool2d(x_BSCHW.flatten(1, -3), h, w)
        y = unflatten(y, 1, x_BSCHW.shape[1:-2])
        if depth:  # D after H and W: unlike the 2D function, F.avg_pool3d does not accept a kernel larger than the map
            y = unflatten(self._pool2d(y.flatten(1, 2).flatten(3), depth[0], (1, 1)), 3, y.shape[-2:])
            y = unflatten(y, 1, x_BSCHW.shape[1:3])
        return y

    def _pool2d(self, x: Tensor, *windows: tuple[int, int]) -> Tensor:
        """Returns x with its last two axes pooled; each window is (kernel, stride)."""
        kernel, stride = [k for k, _ in windows], [s for _, s in windows]
        if kernel == stride:
            return _pool_tiles(x, kernel, self.by)
        padding = [k // 2 for k in kernel]
        if self.by == "max":
            return F.max_pool2d(x, kernel, stride, padding)
        return F.avg_pool2d(x, kernel, stride, padding, count_include_pad=self.count_include_pad)

    def extra_repr(self) -> str:
        return f"windows={list(self.windows)}, by={self.by!r}, count_include_pad={self.count_include_pad}"


def _pool_tiles(x: Tensor, kernel: list[int], by: str) -> Tensor:
    """Returns x with its last two axes pooled by windows that do not overlap; the last window may be smaller.

    The input is padded and the mean is rescaled, because `ceil_mode` cannot be exported with a dynamic grid.
    """
    missing = [-n % k for n, k in zip(x.shape[-2:], kernel, strict=True)]
    padded = F.pad(x, (0, missing[1], 0, missing[0]), value=-math.inf if by == "max" else 0.0)
    if by == "max":
        return F.max_pool2d(padded, kernel)
    y = F.avg_pool2d(padded, kernel)
    for dim, k in zip((-2, -1), kernel, strict=True):
        first = torch.arange(y.shape[dim], device=x.device) * k
        count = (x.shape[dim] - first).clamp(max=k).to(y.dtype)
        y = y * (k / count).reshape([-1, *[1] * (-1 - dim)])
    return y


@operator("window")
def window(
    sizes: Sizes, extent: Size = 2, kernel: Size | None = None, by: Literal["mean", "max"] = "mean", borders: bool = False
) -> LocalPool:
    """Mean or maximum over local windows with stride `extent`. Every axis of the grid becomes ceil(n / extent).

    `kernel` is the window size, by default 2 extent - 1. It must be odd, or equal to the stride. With `borders` the mean
    includes the zeros of the padding, as `count_include_pad` of torch.nn.AvgPool2d does; without, it leaves them out.
    """
    kernel = 2 * extent - 1 if kernel is None else kernel
    if kernel % 2 == 0 and kernel != extent:
        raise InvalidValue(f"kernel {kernel} is even: write an odd number, or the stride, {extent}")
    if kernel < extent:
        raise InvalidValue(f"kernel {kernel} is smaller than the stride {extent} and skips positions; write {extent} or more")
    return LocalPool(sizes, extent, kernel, by, borders)


class Cluster(nn.Module):
    """`count` weighted means of the positions, stacked on S (arXiv:1904.11492, eq. 4).

    x_B1CHW -> y_BSC11 with S = count: y_k = sum_n a_kn x_n, a_kn = softmax_n(w_k x_n + b_k). weight: (count, C); bias: (count).
    Then y is refined by `rounds` steps of expectation maximisation (arXiv:1907.13426). Each step computes
    r_kn = softmax_k(y_k . x_n) and y_k = sum_n r_kn x_n / sum_n r_kn. If `hard`, a (over n) and r (over k) are one-hot at
    their maximum, with the gradient of the softmax.
    """

    def __init__(self, sizes: Sizes, count: int, bias: bool, rounds: int = 0, hard: bool = False) -> None:
        super().__init__()
        channels = sizes.number("C")
        self.rounds, self.hard = rounds, hard
        self.weight = init_parameter((count, channels), channels)
        self.bias = init_parameter((count,), channels) if bias else None
        self.sizes = sizes.replace({**dict.fromkeys(sizes.spatial_axes, 1), "S": count})

    def forward(self, x_B1CHW: Tensor) -> Tensor:
        x_BCN = x_B1CHW.flatten(3).squeeze(1)
        if self.hard or self.rounds:  # the argmax, and products of x with itself, need float32
            y_BKC = in_float32(self._refine, x_BCN, self.weight, self.bias).to(x_BCN.dtype)
        else:
            y_BKC = self._weighted_means(x_BCN, self.weight, self.bias)
        return y_BKC[..., None, None] if x_B1CHW.dim() == 5 else y_BKC[..., None, None, None]

    def _weighted_means(self, x_BCN: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        logits_BKN = weight @ x_BCN
        if bias is not None:
            logits_BKN = logits_BKN + bias[:, None]
        return self._assign(logits_BKN, -1) @ x_BCN.transpose(1, 2)

    def _refine(self, x_BCN: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        y_BKC = self._weighted_means(x_BCN, weight, bias)
        for _ in range(self.rounds):
            r_BKN = self._assign(y_BKC @ x_BCN, 1)
            total_BK1 = r_BKN.sum(-1, keepdim=True)
            has_positions = total_BK1 > torch.finfo(total_BK1.dtype).tiny  # a cluster without positions keeps its centre
            means_BKC = r_BKN @ x_BCN.transpose(1, 2) / torch.where(has_positions, total_BK1, 1)
            y_BKC = torch.where(has_positions, means_BKC, y_BKC)
        return y_BKC

    def _assign(self, logits_BKN: Tensor, dim: int) -> Tensor:
        soft = logits_BKN.softmax(dim)
        if not self.hard:
            return soft
        one_hot = torch.zeros_like(soft).scatter(dim, logits_BKN.argmax(dim, keepdim=True), 1.0)
        return one_hot + (soft - soft.detach())

    def macs(self, x: Tensor, y: Tensor) -> int:
        """Returns the multiply-adds of the assignments and of the weighted means, for the first step and every round."""
        return 2 * (1 + self.rounds) * self.weight.shape[0] * x.numel()

    def extra_repr(self) -> str:
        return f"{tuple(self.weight.shape)}, rounds={self.rounds}, hard={self.hard}"


@operator("cluster")
def cluster(sizes: Sizes, count: Size = 1, bias: bool = True, rounds: Index = 0, hard: bool = False) -> Cluster:
    """Reduces the positions to `count` weighted means with learned softmax weights, stacked on S. Needs S = 1.

    `rounds` is the number of refinement steps by expectation maximisation. If `hard`, the weights are one-hot, with the
    gradient of the softmax.
    """
    if sizes["S"] != 1:
        raise InvalidValue(f"needs S = 1, and S holds {sizes['S']} maps")
    if sizes.has_unit_axes(sizes.spatial_axes):
        raise InvalidValue("needs positions, and the map has only one")
    if rounds > MAX_ROUNDS:
        raise InvalidValue(f"rounds {rounds}; at most {MAX_ROUNDS:,}")
    return Cluster(sizes, count, bias, rounds, hard)
