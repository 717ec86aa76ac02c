"""Axes by name and the sizes that the factory threads through a config. No torch here.

Every tensor inside a block is `x_BSCHW`: batch, stack, channel, height, width. A squeezed axis stays with size 1.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from .errors import Refused

AXES = "SCHW"
GRID = "HW"


@dataclass(frozen=True)
class Named:
    """A size that data will bring: ceil(base / divisor).

    `base` is the name of an axis, or (h, w) pairs: as many positions as sum(h * w), which is what a shared trunk sees.

    >>> str(Named("H", 4)), Named("H", 4).at({"H": 9})
    ('H/4', 3)
    >>> str(Named((("x", 1),)))
    'x'
    """

    base: "str | tuple[tuple[Extent, Extent], ...]"
    divisor: int = 1

    def __str__(self) -> str:
        text = self.base if isinstance(self.base, str) else " + ".join(_product(pair) for pair in self.base)
        if self.divisor == 1:
            return text
        return f"({text})/{self.divisor}" if " " in text else f"{text}/{self.divisor}"

    def at(self, grid: Mapping[str, int]) -> int:
        """The number this is on a grid."""
        if isinstance(self.base, str):
            value = grid[self.base]
        else:
            value = sum(at(h, grid) * at(w, grid) for h, w in self.base)
        return -(-value // self.divisor)


Extent: TypeAlias = int | Named


def at(extent: Extent, grid: Mapping[str, int]) -> int:
    """The extent as a number on a grid."""
    return extent if isinstance(extent, int) else extent.at(grid)


def _product(pair: "tuple[Extent, Extent]") -> str:
    return "*".join(str(extent) for extent in pair if extent != 1) or "1"


def coarser(extent: Extent, step: int) -> Extent:
    """ceil(extent / step).

    >>> coarser(7, 2), str(coarser(coarser(Named("H"), 2), 2))
    (4, 'H/4')
    """
    return -(-extent // step) if isinstance(extent, int) else Named(extent.base, extent.divisor * step)


@dataclass(frozen=True)
class Sizes:
    """The sizes of x_BSCHW without its batch: numbers, or names of what data will bring.

    >>> sizes = Sizes.of_map(64)
    >>> str(sizes), str(sizes.replace({"H": 1, "C": 8})), sizes.dims("CW")
    ('1 x 64 x H x W', '1 x 8 x 1 x W', (2, 4))
    """

    extents: tuple[Extent, ...]
    axes: str = AXES
    since: str = field(default="", compare=False)
    """Where one map became several on S: the cause of a fault may lie far behind it."""

    @classmethod
    def of_map(cls, channels: int, height: int | None = None, width: int | None = None) -> "Sizes":
        """The sizes of a map from outside: S = 1, and H and W by name unless they are told."""
        return cls((1, channels, height or Named("H"), width or Named("W")))

    def __getitem__(self, axis: str) -> Extent:
        return self.extents[self.axes.index(axis)]

    def __str__(self) -> str:
        return " x ".join(str(extent) for extent in self.extents)

    def replace(self, changes: Mapping[str, Extent]) -> "Sizes":
        """The same sizes with some axes changed."""
        return replace(self, extents=tuple(changes.get(axis, self[axis]) for axis in self.axes))

    def dim(self, axis: str) -> int:
        """The tensor dimension of an axis."""
        return self.axes.index(axis) + 1

    def dims(self, axes: str) -> tuple[int, ...]:
        """The tensor dimensions of some axes."""
        return tuple(self.dim(axis) for axis in axes)

    def others(self, *roles: str) -> str:
        """The axes that have none of the roles."""
        return "".join(axis for axis in self.axes if not any(axis in role for role in roles))

    def number(self, axis: str) -> int:
        """The size of an axis that has to be known when the block is built.

        Raises Refused where only data will bring it.
        """
        extent = self[axis]
        if isinstance(extent, int):
            return extent
        raise Refused(f"needs the size of {axis}, which only a fixed grid has: give height= and width=")

    def numbers(self, axes: str) -> tuple[int, ...]:
        """The sizes of several such axes."""
        return tuple(self.number(axis) for axis in axes)

    def flat(self, axes: str) -> bool:
        """Whether all these axes are known to have size 1."""
        return all(self[axis] == 1 for axis in axes)

    @property
    def largest(self) -> int:
        """The largest number among the extents and their divisors."""
        return max(extent if isinstance(extent, int) else extent.divisor for extent in self.extents)

    def at(self, batch: int, grid: Mapping[str, int]) -> tuple[int, ...]:
        """The shape of x_BSCHW for a batch on a grid."""
        return (batch, *(at(extent, grid) for extent in self.extents))


def check_roles(roles: Mapping[str, str]) -> None:
    """Refuses an axis that is given two roles."""
    taken: dict[str, str] = {}
    for role, axes in roles.items():
        for axis in axes:
            if axis in taken:
                raise Refused(f"axis {axis} cannot be {taken[axis]!r} and {role!r} at once")
            taken[axis] = role


def broadcast(all_sizes: Sequence[Sizes], along: str = "") -> Sizes:
    """The sizes that all these share when axes of size 1 are stretched; the axis `along` is added up instead.

    >>> h, w = Sizes.of_map(8).replace({"W": 1}), Sizes.of_map(8).replace({"H": 1})
    >>> str(broadcast([h, w])), str(broadcast([h, h], along="C"))
    ('1 x 8 x H x W', '1 x 16 x H x 1')
    """
    first = all_sizes[0]
    merged: dict[str, Extent] = {}
    for axis in first.axes:
        if axis == along:
            merged[axis] = sum(sizes.number(axis) for sizes in all_sizes)
            continue
        found = {sizes[axis] for sizes in all_sizes} - {1}
        if len(found) > 1:
            raise Refused(f"branches differ in {axis}: {', '.join(str(sizes[axis]) for sizes in all_sizes)}")
        merged[axis] = found.pop() if found else 1
    return first.replace(merged)
