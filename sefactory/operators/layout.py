"""Rearranging a map: a slice of an axis, C to S and back, the neighbours of every position on S, another grid."""

import itertools
import math
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from ..config.registry import operator
from ..config.schema import Axes, Index, Sides, Size
from ..errors import InvalidValue
from ..shapes import Dim, Sizes, ceil_div, multiply
from .parameters import exact_div
from .traced_shapes import unflatten

MAX_NEIGHBOURS = 10_000
Scale = Annotated[float, Field(ge=0.001, le=1000, allow_inf_nan=False)]


class Slice(nn.Module):
    """y = x[start:stop] along one axis."""

    def __init__(self, sizes: Sizes, axis: str, start: int, stop: int) -> None:
        super().__init__()
        self.dim, self.start, self.length = sizes.dim(axis), start, stop - start
        self.sizes = sizes.replace({axis: stop - start})

    def forward(self, x_BSCHW: Tensor) -> Tensor:
        return x_BSCHW.narrow(self.dim, self.start, self.length)

    def extra_repr(self) -> str:
        return f"dim={self.dim}, {self.start}:{self.start + self.length}"


@operator("slice")
def slice_(sizes: Sizes, start: Index = 0, stop: Size | None = None, over: Axes = "C") -> Slice:
    """The part [start, stop) of one axis (default C)."""
    if len(over) != 1:
        raise InvalidValue(f"over {over}: a slice is taken of one axis")
    size = sizes.number(over)
    stop = size if stop is None else stop
    if not start < stop <= size:
        raise InvalidValue(f"[{start}, {stop}) is not inside {over} of {size}")
    return Slice(sizes, over, start, stop)


class Stack(nn.Module):
    """C to S: each of `groups` groups of channels is split into `parts`; map p on S holds part p of every group.

    x_B1CHW -> y_BSCHW with S = parts and C divided by parts.
    """

    def __init__(self, sizes: Sizes, parts: int, groups: int) -> None:
        super().__init__()
        self.parts, self.groups = parts, groups
        self.sizes = sizes.replace({"S": parts, "C": exact_div("C of", sizes.number("C"), parts * groups) * groups})

    def forward(self, x_B1CHW: Tensor) -> Tensor:
        x_BGSCHW = unflatten(x_B1CHW.squeeze(1), 1, (self.groups, self.parts, -1))
        return x_BGSCHW.transpose(1, 2).flatten(2, 3)

    def extra_repr(self) -> str:
        return f"parts={self.parts}, groups={self.groups}"


@operator("stack")
def stack(sizes: Sizes, parts: Size = 2, groups: Size = 1) -> Stack:
    """Splits C into `parts` parallel maps on S, within each of `groups` groups. Needs S = 1."""
    if sizes["S"] != 1:
        raise InvalidValue(f"needs S = 1, and S holds {sizes['S']} maps")
    return Stack(sizes, parts, groups)


class Unstack(nn.Module):
    """S to C: the inverse of Stack with the same groups. x_BSCHW -> y_B1CHW with C multiplied by S."""

    def __init__(self, sizes: Sizes, groups: int) -> None:
        super().__init__()
        exact_div("C of", sizes.number("C"), groups)
        self.groups = groups
        self.sizes = sizes.replace({"S": 1, "C": sizes.number("S") * sizes.number("C")})

    def forward(self, x_BSCHW: Tensor) -> Tensor:
        x_BGSCHW = unflatten(x_BSCHW, 2, (self.groups, -1)).transpose(1, 2)
        return x_BGSCHW.flatten(1, 3).unsqueeze(1)

    def extra_repr(self) -> str:
        return f"groups={self.groups}"


@operator("unstack")
def unstack(sizes: Sizes, groups: Size = 1) -> Unstack:
    """Concatenates the maps on S along C, within each of `groups` groups: the inverse of `stack`."""
    return Unstack(sizes, groups)


class Unfold(nn.Module):
    """y_(o, s) = x_s shifted by the offset o, for all offsets of a neighbourhood; zeros outside of the map.

    x_BSCHW -> y_BSCHW with S multiplied by kernel^n for n axes: all maps at the first offset, then all at the second, ...
    The offsets are in the order of torch.nn.Unfold, the last axis fastest. A product with y and a sum over S is a dynamic
    filter.
    """

    def __init__(self, sizes: Sizes, over: str, kernel: int) -> None:
        super().__init__()
        self.dims, self.kernel = sizes.dims(over), kernel
        self.sizes = sizes.replace({"S": sizes.number("S") * kernel ** len(over)})
        self.padding = [kernel // 2 if axis in over else 0 for axis in reversed(sizes.axes) for _ in range(2)]

    def forward(self, x_BSCHW: Tensor) -> Tensor:
        padded = F.pad(x_BSCHW, self.padding)
        shifted_maps = []
        for offsets in itertools.product(range(self.kernel), repeat=len(self.dims)):
            shifted = padded
            for dim, offset in zip(self.dims, offsets, strict=True):
                shifted = shifted.narrow(dim, offset, x_BSCHW.shape[dim])
            shifted_maps.append(shifted)
        return torch.cat(shifted_maps, dim=1)

    def extra_repr(self) -> str:
        return f"dims={self.dims}, kernel={self.kernel}"


@operator("unfold")
def unfold(sizes: Sizes, over: Axes = "grid", kernel: Size = 3) -> Unfold:
    """The kernel^n neighbours of every position along n axes, as maps on S; zeros outside of the map."""
    if kernel % 2 == 0:
        raise InvalidValue(f"kernel {kernel} is even: a neighbourhood has a centre, so write an odd number")
    if "S" in over:
        raise InvalidValue("over S: the neighbours are placed on S, so write other axes")
    if (count := kernel ** len(over)) > MAX_NEIGHBOURS:
        raise InvalidValue(f"kernel {kernel} over {over} would place {count:,} maps on S; at most {MAX_NEIGHBOURS:,}")
    return Unfold(sizes, over, kernel)


class Resize(nn.Module):
    """x on another grid: nearest neighbour, bilinear with half-pixel centres (align_corners=False), or area (adaptive mean).

    x_BSCHW -> y_BSCHW with the grid that is written, or with n * multiplier or ceil(n / divisor) for each size n of it.
    """

    def __init__(self, sizes: Sizes, grid: dict[str, Dim], multiplier: int, divisor: int, mode: str) -> None:
        super().__init__()
        self.sizes, self.multiplier, self.divisor = sizes.replace(grid), multiplier, divisor
        self.mode = "trilinear" if mode == "bilinear" and len(sizes.spatial_axes) == 3 else mode
        dims = [self.sizes[axis] for axis in sizes.spatial_axes]
        self.fixed_size = [dim if isinstance(dim, int) else None for dim in dims]

    def forward(self, x_BSCHW: Tensor) -> Tensor:
        sizes = zip(x_BSCHW.shape[3:], self.fixed_size, strict=True)
        size = [(n * self.multiplier + self.divisor - 1) // self.divisor if fixed is None else fixed for n, fixed in sizes]
        y = F.interpolate(x_BSCHW.flatten(0, 1), size=size, mode=self.mode)
        return unflatten(y, 0, x_BSCHW.shape[:2])

    def extra_repr(self) -> str:
        return f"{' x '.join(str(self.sizes[axis]) for axis in self.sizes.spatial_axes)}, mode={self.mode!r}"


@operator("resize")
def resize(
    sizes: Sizes, to: Sides | None = None, scale: Scale | None = None, mode: Literal["nearest", "bilinear", "area"] = "nearest"
) -> Resize:
    """Interpolates to the grid `to: [h, w]`, or by a factor: `scale: 1/2` gives ceil(H/2) x ceil(W/2)."""
    if (to is None) == (scale is None):
        raise InvalidValue("needs to or scale" if to is None else "to and scale exclude each other")
    grid = sizes.grid
    if to is not None and len(to) != len(grid):
        raise InvalidValue(f"to {to} is not one size for each axis of the grid {grid}")
    if to is not None:
        return Resize(sizes, dict(zip(grid, to, strict=True)), 1, 1, mode)
    assert scale is not None
    multiplier, divisor = round(scale), round(1 / scale)
    if multiplier >= 1 and multiplier == scale:
        return Resize(sizes, {axis: multiply(sizes[axis], multiplier) for axis in grid}, multiplier, 1, mode)
    if divisor >= 1 and math.isclose(divisor * scale, 1, rel_tol=1e-9):
        return Resize(sizes, {axis: ceil_div(sizes[axis], divisor) for axis in grid}, 1, divisor, mode)
    if not all(isinstance(sizes[axis], int) for axis in grid):
        raise InvalidValue(f"scale {scale:g} is not an integer or 1/n, so it needs a fixed grid: give {sizes.grid_arguments}")
    return Resize(sizes, {axis: max(math.floor(sizes.number(axis) * scale), 1) for axis in grid}, 1, 1, mode)
