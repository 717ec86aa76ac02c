"""Axis names and symbolic sizes. This module imports no torch.

Every tensor inside a block is `x_BSCHW`: batch, stack, channel, height, width. On a three-dimensional grid it is
`x_BSCDHW`; on a one-dimensional grid H has size 1. A reduced axis stays, with size 1.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import gcd, prod
from typing import TypeAlias

from .errors import InvalidValue

AXES = "SCDHW"
GRIDS = {"W": "SCHW", "HW": "SCHW", "DHW": "SCDHW"}
"""The grid of the data, and the axes (after the batch) of the tensors inside a block."""
GRID_WORD = "grid"
FIXED_GRID_ARGUMENTS = {"W": "width=", "H": "width=", "HW": "height= and width=", "DHW": "depth=, height= and width="}
Shape = tuple[int, ...]  # of an input: batch, channels, then the spatial axes


@dataclass(frozen=True)
class SymbolicDim:
    """A size that depends on the input: ceil(base / divisor).

    `base` is the name of an axis, or a sum of products: ((H, W), (H, 1)) is H*W + H*1, the number of positions that a
    shared trunk receives. One pair (size, factor) is a multiple, see `multiply`.

    >>> str(SymbolicDim("H", 4)), SymbolicDim("H", 4).evaluate({"H": 9})
    ('H/4', 3)
    """

    base: "str | tuple[tuple[Dim, ...], ...]"
    divisor: int = 1

    def __str__(self) -> str:
        text = self.base if isinstance(self.base, str) else " + ".join(map(_format_product, self.base))
        if self.divisor == 1:
            return text
        return f"({text})/{self.divisor}" if " " in text else f"{text}/{self.divisor}"

    def evaluate(self, grid: Mapping[str, int]) -> int:
        """Returns the size on a grid of known sizes."""
        if isinstance(self.base, str):
            value = grid[self.base]
        else:
            value = sum(prod(evaluate_dim(size, grid) for size in product) for product in self.base)
        return -(-value // self.divisor)

    @property
    def scaled_base(self) -> "tuple[Dim, int]":
        """(size, k) such that self = ceil(size k / divisor)."""
        match self.base:
            case ((size, int(factor)),):
                return size, factor
        return SymbolicDim(self.base), 1


Dim: TypeAlias = int | SymbolicDim


def evaluate_dim(size: Dim, grid: Mapping[str, int]) -> int:
    """Returns the size as an integer on a grid of known sizes."""
    return size if isinstance(size, int) else size.evaluate(grid)


def _format_product(sizes: "tuple[Dim, ...]") -> str:
    return "*".join(str(size) for size in sizes if size != 1) or "1"


def ceil_div(size: Dim, step: int) -> Dim:
    """Returns ceil(size / step).

    >>> ceil_div(7, 2), str(ceil_div(ceil_div(SymbolicDim("H"), 2), 2))
    (4, 'H/4')
    """
    if isinstance(size, int):
        return -(-size // step)
    base, factor = size.scaled_base
    divisor = size.divisor * step
    common = gcd(factor, divisor)
    return ceil_div(multiply(base, factor // common), divisor // common) if common > 1 else SymbolicDim(size.base, divisor)


def multiply(size: Dim, factor: int) -> Dim:
    """Returns size * factor, in a normal form: equal sizes compare equal.

    >>> twice = multiply(SymbolicDim("H"), 2)
    >>> str(twice), str(ceil_div(twice, 2)), str(ceil_div(twice, 3)), str(ceil_div(twice, 6)), str(multiply(twice, 3))
    ('H*2', 'H', 'H*2/3', 'H/3', 'H*6')
    >>> half = ceil_div(SymbolicDim("H"), 2)
    >>> str(multiply(half, 2)), multiply(half, 2).evaluate({"H": 7}), ceil_div(multiply(half, 2), 2) == half
    ('H/2*2', 8, True)
    """
    if isinstance(size, int):
        return size * factor
    base, previous = (size, 1) if size.divisor > 1 else size.scaled_base
    return SymbolicDim(((base, previous * factor),)) if previous * factor > 1 else size


def is_at_most(size: Dim, other: Dim) -> bool:
    """True if size <= other on every grid. False where this cannot be proved.

    >>> h = SymbolicDim("H")
    >>> is_at_most(ceil_div(h, 4), ceil_div(h, 2)), is_at_most(h, multiply(ceil_div(h, 2), 2)), is_at_most(3, 7)
    (True, True, True)
    >>> is_at_most(multiply(h, 2), h), is_at_most(h, SymbolicDim("W")), is_at_most(7, h)
    (False, False, False)
    """
    if isinstance(size, int) or isinstance(other, int):
        return isinstance(size, int) and isinstance(other, int) and size <= other
    base, factor = size.scaled_base
    inner: Dim = other
    bound = Fraction(1)  # other >= bound * inner, because every division rounds up
    while not isinstance(inner, int):
        if (inner == size and bound >= 1) or (inner == base and bound >= Fraction(factor, size.divisor)):
            return True
        next_inner, next_factor = inner.scaled_base
        if next_inner == inner:
            break
        bound, inner = bound * Fraction(next_factor, inner.divisor), next_inner
    return base != size and factor <= size.divisor and is_at_most(base, other)


@dataclass(frozen=True)
class Sizes:
    """The sizes of x_BSCHW without its batch: integers, or symbols for what depends on the input.

    >>> sizes = Sizes.of_map(64)
    >>> str(sizes), str(sizes.replace({"H": 1, "C": 8})), sizes.dims("CW"), sizes.axes_of((2, 4))
    ('1 x 64 x H x W', '1 x 8 x 1 x W', (2, 4), 'CW')
    """

    extents: tuple[Dim, ...]
    grid: str = "HW"
    """The axes that `grid` stands for. H alone is the grid of a shared trunk whose branches are one-dimensional."""
    stacked_at: str = field(default="", compare=False)
    """The path of the node that made S larger than 1; an error that this causes may be far behind it."""

    @classmethod
    def of_map(cls, channels: int, given: Mapping[str, int] | None = None, grid: str = "HW") -> "Sizes":
        """Returns the sizes of an input feature map: S = 1, and a symbol for each axis of the grid that is not given.

        >>> str(Sizes.of_map(8, {"H": 4})), str(Sizes.of_map(8, grid="W")), str(Sizes.of_map(8, grid="DHW"))
        ('1 x 8 x 4 x W', '1 x 8 x 1 x W', '1 x 8 x D x H x W')
        """
        spatial = {axis: (given or {}).get(axis) or SymbolicDim(axis) for axis in grid}
        return cls((1, channels, *(spatial.get(axis, 1) for axis in GRIDS[grid][2:])), grid)

    @property
    def axes(self) -> str:
        """The axes of x_BSCHW after the batch."""
        return "SCHW" if len(self.extents) == len("SCHW") else AXES

    @property
    def spatial_axes(self) -> str:
        """The axes after C. On a one-dimensional grid they include H, which has size 1."""
        return self.axes[2:]

    @property
    def grid_arguments(self) -> str:
        """The arguments of `build` that fix the grid."""
        return FIXED_GRID_ARGUMENTS[self.grid]

    @property
    def max_constant(self) -> int:
        """The largest integer in the formulas of the sizes."""
        return max(map(int, re.findall(r"\d+", str(self))))

    def __getitem__(self, axis: str) -> Dim:
        return self.extents[self.axes.index(axis)]

    def __str__(self) -> str:
        return " x ".join(map(str, self.extents))

    def expand_axes(self, text: str) -> str:
        """Returns axes as letters, with `grid` replaced; raises InvalidValue for an axis that is unknown or repeated.

        >>> Sizes.of_map(8).expand_axes("Cgrid"), Sizes.of_map(8, grid="W").expand_axes("grid")
        ('CHW', 'W')
        """
        axes = text.replace(GRID_WORD, self.grid)
        if unknown := [axis for axis in axes if axis not in self.axes]:
            raise InvalidValue(f"{text}, and the grid {self.grid} has no {unknown[0]}: build with grid='DHW'")
        if len(set(axes)) < len(axes):
            raise InvalidValue(f"{text}, which names an axis twice: grid is {self.grid}")
        return axes

    def replace(self, changes: Mapping[str, Dim]) -> "Sizes":
        """Returns the same sizes with some axes changed."""
        extents = tuple(changes.get(axis, size) for axis, size in zip(self.axes, self.extents, strict=True))
        return Sizes(extents, self.grid, self.stacked_at)

    def dim(self, axis: str) -> int:
        """Returns the tensor dimension of an axis."""
        return self.axes.index(axis) + 1

    def dims(self, axes: str) -> tuple[int, ...]:
        """Returns the tensor dimensions of some axes."""
        return tuple(map(self.dim, axes))

    def axes_of(self, dims: Iterable[int]) -> str:
        """Returns the axes of some tensor dimensions: the inverse of `dims`."""
        return "".join(self.axes[dim - 1] for dim in dims)

    def axes_except(self, *excluded: str) -> str:
        """Returns the axes that none of the texts contains."""
        return "".join(axis for axis in self.axes if not any(axis in axes for axes in excluded))

    def number(self, axis: str) -> int:
        """Returns the size of an axis as an integer; raises InvalidValue where it depends on the input."""
        size = self[axis]
        if isinstance(size, int):
            return size
        raise InvalidValue(f"needs the size of {axis}, which only a fixed grid has: give {self.grid_arguments}")

    def numbers(self, axes: str) -> tuple[int, ...]:
        """Returns the sizes of some axes as integers; raises InvalidValue as `number` does."""
        return tuple(map(self.number, axes))

    def has_unit_axes(self, axes: str) -> bool:
        """True if all these axes are known to have size 1."""
        return all(self[axis] == 1 for axis in axes)

    def shape(self, batch: int, grid: Mapping[str, int]) -> tuple[int, ...]:
        """Returns the shape of x_BSCHW for a batch on a grid of known sizes."""
        return (batch, *(evaluate_dim(size, grid) for size in self.extents))


def broadcast(branches: Sequence[Sizes], along: str = "") -> Sizes:
    """Returns the sizes to which all branches broadcast; the axis `along` is concatenated.

    >>> h, w = Sizes.of_map(8).replace({"W": 1}), Sizes.of_map(8).replace({"H": 1})
    >>> str(broadcast([h, w])), str(broadcast([h, h], along="C"))
    ('1 x 8 x H x W', '1 x 16 x H x 1')
    """
    first, merged = branches[0], dict[str, Dim]()
    for axis in first.axes:
        if axis == along:
            merged[axis] = sum(sizes.number(axis) for sizes in branches)
            continue
        distinct = {sizes[axis] for sizes in branches} - {1}
        if len(distinct) > 1:
            is_symbolic = not any(isinstance(size, int) for size in distinct)
            hint = f"; on a fixed grid, {first.grid_arguments}, they may be equal" if is_symbolic else ""
            raise InvalidValue(f"branches differ in {axis}: {', '.join(str(sizes[axis]) for sizes in branches)}{hint}")
        merged[axis] = distinct.pop() if distinct else 1
    return first.replace(merged)
