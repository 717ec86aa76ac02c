"""The gradient of a squeezed and gated map, written once.

d x = g * gate + sum d mean / n + sum [x = max] d max / ties + sum (x - mean) 2 d var / n.
"""

from collections.abc import Callable, Sequence
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

    def split(self) -> "list[Gated]":
        """Block by block."""
        gates = zip(*(pieces(gate, self.g) for gate in self.gates), strict=True)
        return [Gated(g, at, self.combine) for g, at in zip(pieces(self.g, self.g), gates, strict=True)]


class Masked(NamedTuple):
    """A maximum y of x over dims and its gradient d; ties share it evenly, as in ATen's amax."""

    x: Tensor
    y: Tensor
    d: Tensor
    dims: tuple[int, ...]

    def split(self) -> "list[Masked]":
        """Block by block."""
        x, y, d = (pieces(t, self.x) for t in (self.x, self.y, self.d))
        return [Masked(*at, self.dims) for at in zip(x, y, d, strict=True)]

    def factors(self, out: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(1 where x is the maximum, the share of each)."""
        mask = torch.empty_like(self.x) if out is None else out
        with torch.no_grad():
            torch.eq(self.x, self.y, out=mask)  # in floats 1.5 ms a map, in booleans 3.7
        return mask, self.d / reduction.total(mask, self.dims)


class Sloped(NamedTuple):
    """What a variance adds to the gradient of x: x times a slope, and a level."""

    x: Tensor
    slope: Tensor

    def split(self) -> "list[Sloped]":
        """Block by block."""
        return [Sloped(*at) for at in zip(pieces(self.x, self.x), pieces(self.slope, self.x), strict=True)]

    def factors(self, out: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.x, self.slope


class Spots(NamedTuple):
    """The flat places of the maxima of all rows, and the gradient d of each row's."""

    places: Tensor
    d: Tensor

    def add_to(self, y: Tensor) -> Tensor:
        """y with the shares added, in place but with create_graph; no place comes twice, so that no order matters."""
        row = self.places // (y.numel() // self.d.numel())
        ties = torch.bincount(row, minlength=self.d.numel()).clamp(min=1)
        share = (self.d.reshape(-1) / ties).index_select(0, row)
        flat = y.reshape(-1)
        added = flat.index_add(0, self.places, share) if torch.is_grad_enabled() else flat.index_add_(0, self.places, share)
        return added.view(y.shape)


class Parts:
    """The terms that the statistics of a map of this shape contribute to its gradient."""

    def __init__(self, shape: Sequence[int]) -> None:
        self.shape = tuple(shape)
        self.level: dict[tuple[int, ...], Tensor] = {}
        self.products: list[Masked | Sloped] = []
        self.spots: list[Spots] = []

    def add_level(self, d: Tensor) -> None:
        """A term that is the same along axes where d has size 1; one tensor a shape."""
        shape = tuple(d.shape)
        self.level[shape] = self.level[shape] + d if shape in self.level else d

    def plain(self) -> Tensor | None:
        """The sum of the terms, differentiable in all that came from outside."""
        terms = [d.expand(self.shape) for d in self.level.values()]
        terms += [a * b for a, b in (product.factors() for product in self.products)]
        if self.spots and not terms:
            terms = [self.spots[0].d.new_zeros(self.shape)]
        if not terms:
            return None
        return reduce(lambda y, spots: spots.add_to(y), self.spots, reduce(torch.add, terms))

    def written(self, gated: Gated | None) -> Tensor | None:
        """The sum of the terms and of g * gate."""
        given = [gated.g] if gated else [*self.level.values(), *(p.x for p in self.products), *(s.d for s in self.spots)]
        if not given:
            return None
        y = self._in_rows(gated) if gated and not self.products else None
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
        levels = [pieces(d, y) for d in self.level.values()]
        products = [product.split() for product in self.products]
        gates = gated.split() if gated else None
        for i, at in enumerate(pieces(y, y)):
            _write(at, [d[i] for d in levels], [p[i] for p in products], gates[i] if gates else None, buffer[: len(at)])
        return y


def _write(
    y: Tensor, levels: Sequence[Tensor], products: Sequence[Masked | Sloped], gated: Gated | None, buffer: Tensor
) -> None:
    """y = sum of levels + sum of products + g * gate."""
    base = levels[0].expand_as(y) if levels else None
    if base is not None:
        for level in levels[1:]:
            base = torch.add(base, level, out=y)
    for part in products:
        base = _plus(base, *part.factors(buffer), y)
    if gated and base is None:
        gate_into(gated, y)
    elif gated:
        base = _plus(base, gated.g, combined(gated.gates, gated.combine, buffer), y)
    elif base is None:
        y.zero_()
    elif base is not y:
        y.copy_(base)


def _plus(base: Tensor | None, a: Tensor, b: Tensor, y: Tensor) -> Tensor:
    """y = base + a * b."""
    return torch.mul(a, b, out=y) if base is None else torch.addcmul(base, a, b, out=y)


def gate_into(gated: Gated, y: Tensor) -> None:
    """y = g * gate; of several gates by way of their product in y itself.

    Two gates, ms a map on a Sapphire Rapids: 2.1; by way of a buffer 2.6, the map by one gate, then by the other, 3.9.
    """
    torch.mul(gated.g, combined(gated.gates, gated.combine, y), out=y)


def combined(gates: Sequence[Tensor], combine: str, buffer: Tensor | None) -> Tensor:
    """The product or sum of gates, in the buffer where it has the size of it."""
    if len(gates) == 1:
        return gates[0]
    op = COMBINES[combine]
    if buffer is None or stretched(gates) != buffer.shape:
        return reduce(op, gates)
    y = op(gates[0].expand_as(buffer), gates[1], out=buffer)
    for gate in gates[2:]:
        y = op(y, gate, out=buffer)
    return y


def stretched(gates: Sequence[Tensor]) -> tuple[int, ...]:
    """The shape of gates that broadcast. torch.broadcast_shapes takes 30 us, a hundredth of a pass over a map."""
    return tuple(map(max, zip(*(gate.shape for gate in gates), strict=True)))


def pieces(t: Tensor, x: Tensor) -> Sequence[Tensor]:
    """t in blocks of whole samples, as many as make a block of x; t itself for each of them where its batch is 1."""
    many = max(1, BLOCK // max(1, prod(x.shape[1:])))
    return t.split(many) if len(t) > 1 or len(x) <= many else [t] * -(-len(x) // many)


def block_of(x: Tensor) -> Tensor:
    """A buffer of the size of the largest block."""
    return torch.empty_like(pieces(x, x)[0])
