"""Reductions of named axes to descriptors."""

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
from .precision import in_float32, sum_keepdim

MOST_ROUNDS = 1000


def _mean(x: Tensor, dims: tuple[int, ...]) -> Tensor:
    return x.mean(dims, keepdim=True)


def _max(x: Tensor, dims: tuple[int, ...]) -> Tensor:
    return x.amax(dims, keepdim=True)


def _min(x: Tensor, dims: tuple[int, ...]) -> Tensor:
    return x.amin(dims, keepdim=True)


def _sum(x: Tensor, dims: tuple[int, ...]) -> Tensor:
    return x.sum(dims, keepdim=True)


def variance(x: Tensor, dims: tuple[int, ...], unbiased: bool) -> Tensor:
    """0 where there is one value only."""
    square = sum_keepdim((x - x.mean(dims, keepdim=True)).square(), dims)
    count = math.prod([x.shape[dim] for dim in dims])
    return (square / max(count - int(unbiased), 1)).to(x.dtype)


def _l1(x: Tensor, dims: tuple[int, ...]) -> Tensor:
    return x.abs().sum(dims, keepdim=True)


def _l2(x: Tensor, dims: tuple[int, ...]) -> Tensor:
    """Its gradient at 0 is 0."""
    norm: Tensor = torch.linalg.vector_norm(x, dim=dims, keepdim=True)
    return norm


def _logsumexp(x: Tensor, dims: tuple[int, ...]) -> Tensor:
    return x.logsumexp(dims, keepdim=True)


STATISTICS: dict[str, Callable[[Tensor, tuple[int, ...]], Tensor]] = {
    "mean": _mean,
    "max": _max,
    "min": _min,
    "sum": _sum,
    "l1": _l1,
    "l2": _l2,
    "logsumexp": _logsumexp,
}
Statistic = Literal["mean", "max", "min", "sum", "std", "var", "l1", "l2", "logsumexp"]


class Pool(nn.Module):
    """Each statistic of x over some axes, side by side on S: the first over all maps, then the second, ...

    x_BSCHW -> y_BSCHW with those axes 1 and S multiplied by the number of statistics. var divides by n - 1, or by n
    where it is biased; std is sqrt(var + eps), l1 is sum |x|, l2 is sqrt(sum x^2).
    """

    def __init__(self, sizes: Sizes, over: str, by: Sequence[str], eps: float, unbiased: bool) -> None:
        super().__init__()
        self.dims, self.by, self.eps, self.unbiased = sizes.dims(over), tuple(by), eps, unbiased
        reduced = sizes.replace(dict.fromkeys(over, 1))
        self.sizes = reduced.replace({"S": reduced.number("S") * len(by)})

    def forward(self, x_BSCHW: Tensor) -> Tensor:
        found = [self.statistic(name, x_BSCHW) for name in self.by]
        return found[0] if len(found) == 1 else torch.cat(found, dim=1)

    def statistic(self, name: str, x_BSCHW: Tensor) -> Tensor:
        """One of them."""
        if name in STATISTICS:
            return STATISTICS[name](x_BSCHW, self.dims)
        var = variance(x_BSCHW, self.dims, self.unbiased)
        return var if name == "var" else torch.sqrt(var + self.eps)

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
    """Reduces the axes to 1 by one statistic, or by several that land side by side on S."""
    return Pool(sizes, over, [by] if isinstance(by, str) else by, eps, unbiased)


class LocalPool(nn.Module):
    """Mean or maximum over windows of `kernel` at stride `extent`, without what lies outside (arXiv:1810.12348 at 2e - 1).

    x_BSCHW -> y_BSCHW with every axis of the grid ceil(n / extent). Odd windows are centred; those as wide as the stride
    lie side by side. With `borders` the zeros outside are counted in the mean.
    """

    def __init__(self, sizes: Sizes, extent: int, kernel: int, by: str, count_include_pad: bool) -> None:
        super().__init__()
        self.by, self.count_include_pad = by, count_include_pad
        self.windows = [(kernel, extent) if axis in sizes.grid else (1, 1) for axis in sizes.spatial_axes]
        self.sizes = sizes.replace({axis: ceil_div(sizes[axis], extent) for axis in sizes.grid})

    def forward(self, x_BSCHW: Tensor) -> Tensor:
        *depth, h, w = self.windows
        y = self._pooled(x_BSCHW.flatten(1, -3), h, w)
        y = torch.unflatten(y, 1, x_BSCHW.shape[1:-2])
        for d in depth:  # what is over a window is over its slices: also where a window is larger than the map
            y = torch.unflatten(self._pooled(y.flatten(1, 2).flatten(3), d, (1, 1)), 3, y.shape[-2:])
            y = torch.unflatten(y, 1, x_BSCHW.shape[1:3])
        return y

    def _pooled(self, x: Tensor, *windows: tuple[int, int]) -> Tensor:
        """Over windows of the last two axes."""
        kernel, stride = [k for k, _ in windows], [e for _, e in windows]
        if all(k == e for k, e in windows):
            return _tiled(x, kernel, self.by)
        border = [k // 2 for k in kernel]
        if self.by == "max":
            return F.max_pool2d(x, kernel, stride, border)
        return F.avg_pool2d(x, kernel, stride, border, count_include_pad=self.count_include_pad)

    def extra_repr(self) -> str:
        return f"windows={self.windows}, by={self.by!r}, count_include_pad={self.count_include_pad}"


def _tiled(x: Tensor, kernel: list[int], by: str) -> Tensor:
    """Over windows side by side; the last ones hold what is left. (ceil_mode does not export with a dynamic grid.)"""
    left = [-n % k for n, k in zip(x.shape[-2:], kernel, strict=True)]
    whole = F.pad(x, (0, left[1], 0, left[0]), value=-math.inf if by == "max" else 0.0)
    if by == "max":
        return F.max_pool2d(whole, kernel)
    y = F.avg_pool2d(whole, kernel)
    for dim, k in zip((-2, -1), kernel, strict=True):
        first = torch.arange(y.shape[dim], device=x.device) * k
        inside = (x.shape[dim] - first).clamp(max=k).to(y.dtype)
        y = y * (k / inside).reshape([-1, *[1] * (-1 - dim)])
    return y


@operator("window")
def window(
    sizes: Sizes, extent: Size = 2, kernel: Size | None = None, by: Literal["mean", "max"] = "mean", borders: bool = False
) -> LocalPool:
    """Mean or maximum over windows at stride extent: every axis of the grid becomes ceil(n/extent).

    The windows are 2 extent - 1 wide, or `kernel`: an odd number, or as wide as the stride.
    """
    kernel = 2 * extent - 1 if kernel is None else kernel
    if kernel % 2 == 0 and kernel != extent:
        raise InvalidValue(f"kernel {kernel} is even: a window has a centre, or is as wide as its stride, {extent}")
    if kernel < extent:
        raise InvalidValue(f"kernel {kernel} leaves out what lies between windows at stride {extent}")
    return LocalPool(sizes, extent, kernel, by, borders)


class Cluster(nn.Module):
    """a_kn = softmax_n(w_k x_n + b_k), y_k = sum_n a_kn x_n: k weighted means of the positions (arXiv:1904.11492, eq. 4).

    x_B1CHW -> y_BSC11 with S = count. weight: (count, C); bias: (count). Then, `rounds` times (arXiv:1907.13426):
    r_kn = softmax_k(y_k . x_n), y_k = sum_n r_kn x_n / sum_n r_kn. `hard` makes every assignment one-hot at its maximum,
    over n first and over k in the rounds, with the gradient of the soft one.
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
        given = (x_BCN, self.weight) if self.bias is None else (x_BCN, self.weight, self.bias)
        if self.hard or self.rounds:  # a maximum, and energies of x with itself, are no matter for half types
            y_BKC = in_float32(self._refined, *given).to(x_BCN.dtype)
        else:
            y_BKC = self._means(*given)
        return y_BKC[..., None, None] if x_B1CHW.dim() == 5 else y_BKC[..., None, None, None]

    def _means(self, x_BCN: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        logits_BKN = weight @ x_BCN
        if bias is not None:
            logits_BKN = logits_BKN + bias[:, None]
        return self._assigned(logits_BKN, -1) @ x_BCN.transpose(1, 2)

    def _refined(self, x_BCN: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        y_BKC = self._means(x_BCN, weight, bias)
        for _ in range(self.rounds):
            r_BKN = self._assigned(y_BKC @ x_BCN, 1)
            total_BK1 = r_BKN.sum(-1, keepdim=True)
            some = total_BK1 > torch.finfo(total_BK1.dtype).tiny  # a centre without positions stays where it is
            moved_BKC = r_BKN @ x_BCN.transpose(1, 2) / torch.where(some, total_BK1, 1)
            y_BKC = torch.where(some, moved_BKC, y_BKC)
        return y_BKC

    def _assigned(self, logits_BKN: Tensor, dim: int) -> Tensor:
        soft = logits_BKN.softmax(dim)
        if not self.hard:
            return soft
        one_hot = torch.zeros_like(soft).scatter(dim, logits_BKN.argmax(dim, keepdim=True), 1.0)
        return one_hot + (soft - soft.detach())

    def macs(self, x: Tensor, y: Tensor) -> int:
        """Multiply-adds of the assignment and of the weighted means, once and in every round."""
        return 2 * (1 + self.rounds) * self.weight.shape[0] * x.numel()

    def extra_repr(self) -> str:
        return f"{tuple(self.weight.shape)}, rounds={self.rounds}, hard={self.hard}"


@operator("cluster")
def cluster(sizes: Sizes, count: Size = 1, bias: bool = True, rounds: Index = 0, hard: bool = False) -> Cluster:
    """Learned soft assignment of the positions to `count` descriptors, side by side on S. Needs S = 1.

    `rounds` of expectation maximisation refine them; `hard` assignments are one-hot, with the gradient of the soft ones.
    """
    if sizes["S"] != 1:
        raise InvalidValue(f"needs S = 1, and S holds {sizes['S']} maps")
    if sizes.has_unit_axes(sizes.spatial_axes):
        raise InvalidValue("needs positions, and the map has only one")
    if rounds > MOST_ROUNDS:
        raise InvalidValue(f"rounds {rounds}; at most {MOST_ROUNDS:,}")
    return Cluster(sizes, count, bias, rounds, hard)
