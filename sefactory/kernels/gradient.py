"""d x = g * gate + sum d mean / n + sum [x = max] d max / ties: the gradient of a squeezed and gated map, written once."""

from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from math import prod
from typing import NamedTuple

import torch
from torch import Tensor

from . import reduction

COMBINES: dict[str, Callable[..., Tensor]] = {"product": torch.mul, "sum": torch.add}
BLOCK = 400 * 1024
"""Values of a block: 1.6 MB. In half and a quarter of it mul and add_ take 2.8 and 3.2 ms instead of 2.9: no gain."""
SHORT = 32  # rows below this length are no gain by `row_dots` and `row_lines`


class Gated(NamedTuple):
    """What the map's gradient needs of an application: the gradient of y, and the gates."""

    g: Tensor
    gates: tuple[Tensor, ...]
    combine: str

    def at(self, block: slice) -> "Gated":
        return Gated(self.g[block], tuple(cut(gate, block) for gate in self.gates), self.combine)


class Masked(NamedTuple):
    """A maximum y of x over dims and its gradient d; ties share it evenly, as in ATen's amax."""

    x: Tensor
    y: Tensor
    d: Tensor
    dims: tuple[int, ...]

    def at(self, block: slice) -> "Masked":
        return Masked(self.x[block], self.y[block], self.d[block], self.dims)

    def mask(self, out: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(1 where x is the maximum, the share of each)."""
        mask = torch.empty_like(self.x) if out is None else out
        with torch.no_grad():
            torch.eq(self.x, self.y, out=mask)  # in floats 1.5 ms a map, in booleans 3.7
        return mask, self.d / reduction.total(mask, self.dims)


class Spots(NamedTuple):
    """The flat places of the maxima of all rows, and the gradient d of each row's."""

    places: Tensor
    d: Tensor

    def add_to(self, y: Tensor) -> Tensor:
        """y with the shares added; the places are distinct, so that nothing depends on an order."""
        row = self.places // (y.numel() // self.d.numel())
        ties = torch.bincount(row, minlength=self.d.numel()).clamp(min=1)
        share = (self.d.reshape(-1) / ties).index_select(0, row)
        return y.reshape(-1).index_add(0, self.places, share).view(y.shape) if torch.is_grad_enabled() else _put(y, self, share)


def _put(y: Tensor, spots: Spots, share: Tensor) -> Tensor:
    y.view(-1).index_add_(0, spots.places, share)
    return y


class Parts:
    """The terms that the statistics of a map of this shape contribute to its gradient."""

    def __init__(self, shape: Sequence[int]) -> None:
        self.shape = tuple(shape)
        self.level: dict[tuple[int, ...], Tensor] = {}
        self.masked: list[Masked] = []
        self.spots: list[Spots] = []

    def add_level(self, d: Tensor) -> None:
        """A term that is the same along axes where d has size 1; one tensor a shape."""
        shape = tuple(d.shape)
        self.level[shape] = self.level[shape] + d if shape in self.level else d

    def plain(self) -> Tensor | None:
        """The sum of the terms, differentiable in all that came from outside."""
        terms = [d.expand(self.shape) for d in self.level.values()]
        terms += [mask * share for mask, share in (masked.mask() for masked in self.masked)]
        if self.spots and not terms:
            terms = [self.spots[0].d.new_zeros(self.shape)]
        if not terms:
            return None
        return reduce(lambda y, spots: spots.add_to(y), self.spots, reduce(torch.add, terms))

    def written(self, gated: Gated | None) -> Tensor | None:
        """The sum of the terms and of g * gate."""
        given = [gated.g] if gated else [*self.level.values(), *(m.d for m in self.masked), *(s.d for s in self.spots)]
        if not given:
            return None
        y = self._in_rows(gated) if gated and not self.masked else None
        if y is None:
            y = self._in_blocks(gated, given[0].new_empty(self.shape))
        return reduce(lambda y, spots: spots.add_to(y), self.spots, y)

    def _in_rows(self, gated: Gated) -> Tensor | None:
        """One pass where gate and level are one value a row, all of the same rows."""
        shapes = {*(tuple(gate.shape) for gate in gated.gates), *self.level}
        length = reduction.rows(next(iter(shapes)), self.shape)
        if len(shapes) > 1 or length < SHORT or not self.level:
            return None
        (level,) = self.level.values()
        return reduction.row_lines(gated.g, combined(gated.gates, gated.combine, None), level, length)

    def _in_blocks(self, gated: Gated | None, y: Tensor) -> Tensor:
        buffer = block_of(y)
        for block in blocks(y):
            levels = [d[block] for d in self.level.values()]
            masked = [m.at(block) for m in self.masked]
            _write(y[block], levels, masked, gated.at(block) if gated else None, buffer)
        return y


def _write(y: Tensor, levels: Sequence[Tensor], masked: Sequence[Masked], gated: Gated | None, buffer: Tensor) -> None:
    """y = sum of levels + sum of mask * share + g * gate."""
    buffer = buffer[: len(y)]
    base = levels[0].expand_as(y) if levels else None
    for level in levels[1:]:
        base = torch.add(base, level, out=y)
    for part in masked:
        base = _plus(base, *part.mask(buffer), y)
    if gated:
        base = _plus(base, gated.g, combined(gated.gates, gated.combine, buffer), y)
    if base is None:
        y.zero_()
    elif base is not y:
        y.copy_(base)


def _plus(base: Tensor | None, a: Tensor, b: Tensor, y: Tensor) -> Tensor:
    """y = base + a * b."""
    return torch.mul(a, b, out=y) if base is None else torch.addcmul(base, a, b, out=y)


def combined(gates: Sequence[Tensor], combine: str, buffer: Tensor | None) -> Tensor:
    """The product or sum of gates, in the buffer where it has the size of it."""
    if len(gates) == 1:
        return gates[0]
    op = COMBINES[combine]
    if buffer is None or torch.broadcast_shapes(*(gate.shape for gate in gates)) != buffer.shape:
        return reduce(op, gates)
    y = op(gates[0].expand_as(buffer), gates[1], out=buffer)
    for gate in gates[2:]:
        y = op(y, gate, out=buffer)
    return y


def blocks(x: Tensor) -> Iterator[slice]:
    """Whole samples, as many as fit in a block."""
    many = max(1, BLOCK // max(1, prod(x.shape[1:])))
    return (slice(i, i + many) for i in range(0, len(x), many))


def block_of(x: Tensor) -> Tensor:
    """A buffer of the size of the largest block."""
    return torch.empty_like(x[next(blocks(x), slice(0))])


def cut(gate: Tensor, block: slice) -> Tensor:
    """The gate of a block of samples; one for all where its batch is 1."""
    return gate if len(gate) == 1 else gate[block]
