"""Axes by name and the sizes that the factory threads through a config. No torch here.

Every tensor inside a block is `x_BSCHW`: batch, stack, channel, height, width; `x_BSCDHW` where the grid has a depth, and
H = 1 where it has no height. A squeezed axis stays with size 1.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import gcd, prod
from typing import TypeAlias

from .errors import InvalidValue

AXES = "SCDHW"
GRIDS = {"W": "SCHW", "HW": "SCHW", "DHW": "SCDHW"}
"""The axes that data have, and those of the tensors inside."""
GRID_WORD = "grid"
FIXED_GRID_ARGUMENTS = {"W": "width=", "H": "width=", "HW": "height= and width=", "DHW": "depth=, height= and width="}


@dataclass(frozen=True)
class SymbolicDim:
    """A size that data will bring: ceil(base / divisor).

    `base` is the name of an axis, or products (h, w): as many positions as sum(h * w), which is what a shared trunk
    sees; one pair (extent, times) is a multiple, see `multiply`.

    >>> str(SymbolicDim("H", 4)), SymbolicDim("H", 4).evaluate({"H": 9})
    ('H/4', 3)
    >>> str(SymbolicDim((("x", 1),)))
    'x'
    """

    base: "str | tuple[tuple[Dim, ...], ...]"
    divisor: int = 1

    def __str__(self) -> str:
        text = self.base if isinstance(self.base, str) else " + ".join(map(_product, self.base))
        if self.divisor == 1:
            return text
        return f"({text})/{self.divisor}" if " " in text else f"{text}/{self.divisor}"

    def evaluate(self, grid: Mapping[str, int]) -> int:
        """The number this is on a grid."""
        if isinstance(self.base, str):
            value = grid[self.base]
        else:
            value = sum(prod(evaluate_dim(extent, grid) for extent in extents) for extents in self.base)
        return -(-value // self.divisor)

    @property
    def max_constant(self) -> int:
        """The largest number in it."""
        if isinstance(self.base, str):
            return self.divisor
        return max(self.divisor, *(max_constant(extent) for extents in self.base for extent in extents), 1)

    @property
    def scaled_base(self) -> "tuple[Dim, int]":
        """(e, k) where this is ceil(e k / divisor)."""
        match self.base:
            case ((extent, int(times)),):
                return extent, times
        return SymbolicDim(self.base), 1


Dim: TypeAlias = int | SymbolicDim


def evaluate_dim(extent: Dim, grid: Mapping[str, int]) -> int:
    """The extent as a number on a grid."""
    return extent if isinstance(extent, int) else extent.evaluate(grid)


def max_constant(extent: Dim) -> int:
    """The largest number in an extent."""
    return extent if isinstance(extent, int) else extent.max_constant


def _product(extents: "tuple[Dim, ...]") -> str:
    return "*".join(str(extent) for extent in extents if extent != 1) or "1"


def ceil_div(extent: Dim, step: int) -> Dim:
    """ceil(extent / step).

    >>> ceil_div(7, 2), str(ceil_div(ceil_div(SymbolicDim("H"), 2), 2))
    (4, 'H/4')
    """
    if isinstance(extent, int):
        return -(-extent // step)
    inner, times = extent.scaled_base
    if times == 1:
        return SymbolicDim(extent.base, extent.divisor * step)
    divisor = extent.divisor * step
    common = gcd(times, divisor)
    return ceil_div(multiply(inner, times // common), divisor // common) if common > 1 else SymbolicDim(extent.base, divisor)


def multiply(extent: Dim, times: int) -> Dim:
    """extent * times.

    One and the same size is spelled in one way, so that equal sizes are equal:

    >>> twice = multiply(SymbolicDim("H"), 2)
    >>> str(twice), str(ceil_div(twice, 2)), str(ceil_div(twice, 3)), str(ceil_div(twice, 6)), str(multiply(twice, 3))
    ('H*2', 'H', 'H*2/3', 'H/3', 'H*6')
    >>> half = ceil_div(SymbolicDim("H"), 2)
    >>> str(multiply(half, 2)), multiply(half, 2).evaluate({"H": 7}), ceil_div(multiply(half, 2), 2) == half
    ('H/2*2', 8, True)
    """
    if isinstance(extent, int):
        return extent * times
    inner, before = extent.scaled_base
    if extent.divisor > 1:
        inner, before = extent, 1
    return SymbolicDim(((inner, before * times),)) if before * times > 1 else extent


def is_at_most(extent: Dim, other: Dim) -> bool:
    """Whether an extent is at most another on every grid; where that is not certain it is not.

    >>> h = SymbolicDim("H")
    >>> is_at_most(ceil_div(h, 4), ceil_div(h, 2)), is_at_most(h, multiply(h, 2)), is_at_most(h, multiply(ceil_div(h, 2), 2))
    (True, True, True)
    >>> is_at_most(multiply(h, 2), h), is_at_most(multiply(ceil_div(h, 4), 2), h), is_at_most(h, SymbolicDim("W")), is_at_most(7, h), is_at_most(3, 7)
    (False, False, False, False, True)
    """
    if isinstance(extent, int) or isinstance(other, int):
        return isinstance(extent, int) and isinstance(other, int) and extent <= other
    base, times = extent.scaled_base
    here: Dim = other
    lower = Fraction(1)  # other >= lower * here, for rounding goes up
    while not isinstance(here, int):
        if (here == extent and lower >= 1) or (here == base and lower >= Fraction(times, extent.divisor)):
            return True
        inner, factor = here.scaled_base
        if inner == here:
            break
        lower, here = lower * Fraction(factor, here.divisor), inner
    return base != extent and times <= extent.divisor and is_at_most(base, other)


@dataclass(frozen=True)
class Sizes:
    """The sizes of x_BSCHW without its batch: numbers, or names of what data will bring.

    >>> sizes = Sizes.of_map(64)
    >>> str(sizes), str(sizes.replace({"H": 1, "C": 8})), sizes.dims("CW")
    ('1 x 64 x H x W', '1 x 8 x 1 x W', (2, 4))
    """

    extents: tuple[Dim, ...]
    grid: str = "HW"
    """The axes that `grid` stands for; H without W is what a shared trunk sees of a map of one dimension."""
    stacked_at: str = field(default="", compare=False)
    """Where one map became several on S: the cause of a fault may lie far behind it."""

    @classmethod
    def of_map(cls, channels: int, given: Mapping[str, int] | None = None, grid: str = "HW") -> "Sizes":
        """The sizes of a map from outside: S = 1, and the axes of the grid by name unless they are given.

        >>> str(Sizes.of_map(8, {"H": 4})), str(Sizes.of_map(8, grid="W")), str(Sizes.of_map(8, grid="DHW"))
        ('1 x 8 x 4 x W', '1 x 8 x 1 x W', '1 x 8 x D x H x W')
        """
        side = {axis: (given or {}).get(axis) or SymbolicDim(axis) for axis in grid}
        return cls((1, channels, *(side.get(axis, 1) for axis in GRIDS[grid][2:])), grid)

    @property
    def axes(self) -> str:
        """The axes of x_BSCHW behind its batch."""
        return "SCHW" if len(self.extents) == len("SCHW") else AXES

    @property
    def spatial_axes(self) -> str:
        """The axes behind the channels: those of the grid, and H of size 1 where the grid has only W."""
        return self.axes[2:]

    def expand_axes(self, text: str) -> str:
        """Axes as a config writes them, as letters.

        Raises InvalidValue for an axis that is not there, or that is there twice.

        >>> Sizes.of_map(8).expand_axes("Cgrid"), Sizes.of_map(8, grid="W").expand_axes("grid")
        ('CHW', 'W')
        """
        found = text.replace(GRID_WORD, self.grid)
        if absent := [axis for axis in found if axis not in self.axes]:
            raise InvalidValue(f"{text}, and the grid {self.grid} has no {absent[0]}: build with grid='DHW'")
        if len(set(found)) < len(found):
            raise InvalidValue(f"{text}, which names an axis twice: grid is {self.grid}")
        return found

    @property
    def grid_arguments(self) -> str:
        """The arguments of build that fix the grid."""
        return FIXED_GRID_ARGUMENTS[self.grid]

    def __getitem__(self, axis: str) -> Dim:
        return self.extents[("SCHW" if len(self.extents) == len("SCHW") else AXES).index(axis)]  # asked 500 times a build

    def __str__(self) -> str:
        return " x ".join(str(extent) for extent in self.extents)

    def replace(self, changes: Mapping[str, Dim]) -> "Sizes":
        """The same sizes with some axes changed."""
        return Sizes(tuple(map(changes.get, self.axes, self.extents)), self.grid, self.stacked_at)

    def dim(self, axis: str) -> int:
        """The tensor dimension of an axis."""
        return self.axes.index(axis) + 1

    def dims(self, axes: str) -> tuple[int, ...]:
        """The tensor dimensions of some axes."""
        own = self.axes
        return tuple([own.index(axis) + 1 for axis in axes])

    def axes_of(self, dims: Iterable[int]) -> str:
        """The axes of some tensor dimensions, the inverse of `dims`.

        >>> Sizes.of_map(8).axes_of((2, 4))
        'CW'
        """
        return "".join(self.axes[dim - 1] for dim in dims)

    def axes_except(self, *roles: str) -> str:
        """The axes that have none of the roles."""
        return "".join(axis for axis in self.axes if not any(axis in role for role in roles))

    def number(self, axis: str) -> int:
        """The size of an axis that has to be known when the block is built.

        Raises InvalidValue where only data will bring it.
        """
        extent = self[axis]
        if isinstance(extent, int):
            return extent
        raise InvalidValue(f"needs the size of {axis}, which only a fixed grid has: give {self.grid_arguments}")

    def numbers(self, axes: str) -> tuple[int, ...]:
        """The sizes of several such axes."""
        return tuple([self.number(axis) for axis in axes])

    def has_unit_axes(self, axes: str) -> bool:
        """Whether all these axes are known to have size 1."""
        return all(self[axis] == 1 for axis in axes)

    @property
    def max_constant(self) -> int:
        """The largest number among the extents, their factors and their divisors."""
        return max(map(max_constant, self.extents))

    def shape(self, batch: int, grid: Mapping[str, int]) -> tuple[int, ...]:
        """The shape of x_BSCHW for a batch on a grid."""
        return (batch, *(evaluate_dim(extent, grid) for extent in self.extents))


def check_roles(roles: Mapping[str, str]) -> None:
    """Refuses an axis that is given two roles."""
    taken: dict[str, str] = {}
    for role, axes in roles.items():
        for axis in axes:
            if axis in taken:
                raise InvalidValue(f"axis {axis} cannot be {taken[axis]!r} and {role!r} at once")
            taken[axis] = role


def broadcast(all_sizes: Sequence[Sizes], along: str = "") -> Sizes:
    """The sizes that all these share when axes of size 1 are stretched; the axis `along` is added up instead.

    >>> h, w = Sizes.of_map(8).replace({"W": 1}), Sizes.of_map(8).replace({"H": 1})
    >>> str(broadcast([h, w])), str(broadcast([h, h], along="C"))
    ('1 x 8 x H x W', '1 x 16 x H x 1')
    """
    first = all_sizes[0]
    merged: dict[str, Dim] = {}
    for axis in first.axes:
        if axis == along:
            merged[axis] = sum(sizes.number(axis) for sizes in all_sizes)
            continue
        found = {sizes[axis] for sizes in all_sizes} - {1}
        if len(found) > 1:
            hint = (
                ""
                if any(isinstance(extent, int) for extent in found)
                else f"; on a fixed grid, {first.grid_arguments}, they may be equal"
            )
            raise InvalidValue(f"branches differ in {axis}: {', '.join(str(sizes[axis]) for sizes in all_sizes)}{hint}")
        merged[axis] = found.pop() if found else 1
    return first.replace(merged)
