"""Reductions of named axes to descriptors."""

import math
from collections.abc import Callable, Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from ..axes import GRID, Sizes, coarser
from ..errors import Refused
from ..registry import operator
from ..schema import Axes, Positive, Size
from .weights import learned


def _mean(x: Tensor, dims: tuple[int, ...], eps: float) -> Tensor:
    return x.mean(dims, keepdim=True)


def _max(x: Tensor, dims: tuple[int, ...], eps: float) -> Tensor:
    return x.amax(dims, keepdim=True)


def _min(x: Tensor, dims: tuple[int, ...], eps: float) -> Tensor:
    return x.amin(dims, keepdim=True)


def _sum(x: Tensor, dims: tuple[int, ...], eps: float) -> Tensor:
    return x.sum(dims, keepdim=True)


def _var(x: Tensor, dims: tuple[int, ...], eps: float) -> Tensor:
    """Unbiased; 0 where there is one value only."""
    square = (x - x.mean(dims, keepdim=True)).square().sum(dims, keepdim=True)
    count = math.prod(x.shape[dim] for dim in dims)
    return square / max(count - 1, 1)


def _std(x: Tensor, dims: tuple[int, ...], eps: float) -> Tensor:
    return torch.sqrt(_var(x, dims, eps) + eps)


STATISTICS: dict[str, Callable[[Tensor, tuple[int, ...], float], Tensor]] = {
    "mean": _mean,
    "max": _max,
    "min": _min,
    "sum": _sum,
    "std": _std,
}
Statistic = Literal["mean", "max", "min", "sum", "std"]


class Pool(nn.Module):
    """Each statistic of x over some axes, side by side on S: the first over all maps, then the second, ...

    x_BSCHW -> y_BSCHW with those axes 1 and S multiplied by the number of statistics. std is sqrt(unbiased var + eps).
    """

    def __init__(self, sizes: Sizes, over: str, by: Sequence[str], eps: float) -> None:
        super().__init__()
        self.dims, self.by, self.eps = sizes.dims(over), tuple(by), eps
        reduced = sizes.replace(dict.fromkeys(over, 1))
        self.sizes = reduced.replace({"S": reduced.number("S") * len(by)})

    def forward(self, x_BSCHW: Tensor) -> Tensor:
        found = [STATISTICS[name](x_BSCHW, self.dims, self.eps) for name in self.by]
        return found[0] if len(found) == 1 else torch.cat(found, dim=1)

    def extra_repr(self) -> str:
        return f"dims={self.dims}, by={self.by}"


@operator("pool")
def pool(
    sizes: Sizes,
    over: Axes = "HW",
    by: Statistic | Annotated[list[Statistic], Field(min_length=1)] = "mean",
    eps: Positive = 1e-5,
) -> Pool:
    """Reduces the axes to 1 by one statistic, or by several that land side by side on S."""
    return Pool(sizes, over, [by] if isinstance(by, str) else by, eps)


class Window(nn.Module):
    """Mean over windows of 2e - 1 at stride e, borders not counted (gather without parameters, arXiv:1810.12348)."""

    def __init__(self, sizes: Sizes, extent: int) -> None:
        super().__init__()
        self.extent = extent
        self.sizes = sizes.replace({axis: coarser(sizes[axis], extent) for axis in GRID})

    def forward(self, x_BSCHW: Tensor) -> Tensor:
        e = self.extent
        y = F.avg_pool2d(x_BSCHW.flatten(1, 2), 2 * e - 1, e, e - 1, count_include_pad=False)
        return torch.unflatten(y, 1, x_BSCHW.shape[1:3])

    def extra_repr(self) -> str:
        return f"extent={self.extent}"


@operator("window")
def window(sizes: Sizes, extent: Size = 2) -> Window:
    """Mean over windows of 2 extent - 1 at stride extent: the grid becomes ceil(H/extent) x ceil(W/extent)."""
    return Window(sizes, extent)


class Cluster(nn.Module):
    """a_kn = softmax_n(w_k x_n + b_k), y_k = sum_n a_kn x_n: k weighted means of the positions (arXiv:1904.11492, eq. 4).

    x_B1CHW -> y_BSC11 with S = count. weight: (count, C); bias: (count).
    """

    def __init__(self, sizes: Sizes, count: int, bias: bool) -> None:
        super().__init__()
        channels = sizes.number("C")
        self.weight = learned((count, channels), channels)
        self.bias = learned((count,), channels) if bias else None
        self.sizes = sizes.replace({"S": count, "H": 1, "W": 1})

    def forward(self, x_B1CHW: Tensor) -> Tensor:
        x_BCN = x_B1CHW.flatten(3).squeeze(1)
        logits_BKN = self.weight @ x_BCN
        if self.bias is not None:
            logits_BKN = logits_BKN + self.bias[:, None]
        y_BKC = logits_BKN.softmax(-1) @ x_BCN.transpose(1, 2)
        return y_BKC[..., None, None]

    def macs(self, x: Tensor, y: Tensor) -> int:
        """Multiply-adds of the assignment and of the weighted means."""
        return 2 * self.weight.shape[0] * x.numel()

    def extra_repr(self) -> str:
        return f"{tuple(self.weight.shape)}"


@operator("cluster")
def cluster(sizes: Sizes, count: Size = 1, bias: bool = True) -> Cluster:
    """Learned soft assignment of the positions to `count` descriptors, side by side on S. Needs S = 1."""
    if sizes["S"] != 1:
        raise Refused(f"needs S = 1, and S holds {sizes['S']} maps")
    if sizes.flat(GRID):
        raise Refused("needs positions, and H and W are both 1")
    return Cluster(sizes, count, bias)
