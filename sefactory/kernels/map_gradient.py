"""The gradient of a reduced and gated map, written once.

d x = g * gate + sum d mean / n + sum [x = max] d max / ties + sum 2 (x - mean) d var / n.
"""

from collections.abc import Callable, Sequence
from functools import reduce
from math import prod
from typing import NamedTuple

import torch
from torch import Tensor

from . import reduction

COMBINES: dict[str, Callable[..., Tensor]] = {"product": torch.mul, "sum": torch.add}
CHUNK = 400 * 1024
"""Values of a chunk (1.6 MB)."""
MIN_ROW = 32
"""Length of a row from which `row_dot` and `row_affine` are faster."""


class GateTerm(NamedTuple):
    """g * gate: the gradient g of the gated map, and its gates."""

    g: Tensor
    gates: tuple[Tensor, ...]
    combine: str

    def split(self) -> "list[GateTerm]":
        """One term for each chunk."""
        gates = zip(*(chunks(gate, self.g) for gate in self.gates), strict=True)
        return [GateTerm(g, part, self.combine) for g, part in zip(chunks(self.g, self.g), gates, strict=True)]


class ExtremumTerm(NamedTuple):
    """[x = y] d / ties: the extremum y of x over dims and its gradient d. Ties share it evenly, as in ATen's amax."""

    x: Tensor
    y: Tensor
    d: Tensor
    dims: tuple[int, ...]

    def split(self) -> "list[ExtremumTerm]":
        """One term for each chunk."""
        x, y, d = (chunks(t, self.x) for t in (self.x, self.y, self.d))
        return [ExtremumTerm(*part, self.dims) for part in zip(x, y, d, strict=True)]

    def factors(self, out: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Returns (1 where x is the extremum and else 0, the share of each tie)."""
        mask = torch.empty_like(self.x) if out is None else out
        with torch.no_grad():
            torch.eq(self.x, self.y, out=mask)  # as floats: booleans take twice as long
        return mask, self.d / reduction.total(mask, self.dims)


class VarianceTerm(NamedTuple):
    """slope * x: what a variance contributes beside a term that is the same for all of a row."""

    x: Tensor
    slope: Tensor

    def split(self) -> "list[VarianceTerm]":
        """One term for each chunk."""
        return [VarianceTerm(*part) for part in zip(chunks(self.x, self.x), chunks(self.slope, self.x), strict=True)]

    def factors(self, out: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The two factors of the term."""
        return self.x, self.slope


ProductTerm = ExtremumTerm | VarianceTerm
"""A term that is the product of two factors."""


class PositionsTerm(NamedTuple):
    """The flat positions of the extrema of all rows, and the gradient d of each row's extremum."""

    positions: Tensor
    d: Tensor

    def add_to(self, y: Tensor) -> Tensor:
        """y with each share added; in place without create_graph. No position occurs twice, so that no order matters."""
        row = self.positions // (y.numel() // self.d.numel())
        ties = self.d.new_zeros(self.d.numel()).index_add_(0, row, self.d.new_ones(len(row)))
        share = self.d.reshape(-1).index_select(0, row) / ties.index_select(0, row)
        flat = y.reshape(-1)
        add = Tensor.index_add if torch.is_grad_enabled() else Tensor.index_add_
        return add(flat, 0, self.positions, share).view(y.shape)


class MapGradient:
    """The terms that the statistics of a map of this shape contribute to its gradient."""

    def __init__(self, shape: Sequence[int]) -> None:
        self.shape = tuple(shape)
        self.broadcast: dict[tuple[int, ...], Tensor] = {}
        self.products: list[ProductTerm] = []
        self.positions: list[PositionsTerm] = []

    def add_broadcast(self, d: Tensor) -> None:
        """Adds a term that is the same along the axes where d has size 1. One tensor is kept for each shape."""
        shape = tuple(d.shape)
        self.broadcast[shape] = self.broadcast[shape] + d if shape in self.broadcast else d

    def differentiable(self) -> Tensor | None:
        """The sum of the terms, differentiable in all gradients that came in. None if there is no term."""
        terms = [d.expand(self.shape) for d in self.broadcast.values()]
        terms += [a * b for a, b in (product.factors() for product in self.products)]
        if self.positions and not terms:
            terms = [self.positions[0].d.new_zeros(self.shape)]
        return self._with_positions(reduce(torch.add, terms)) if terms else None

    def total(self, gate: GateTerm | None) -> Tensor | None:
        """The sum of the terms and of g * gate, each chunk written once. None if there is no term."""
        tensors = [*self.broadcast.values(), *(p.x for p in self.products), *(p.d for p in self.positions)]
        if gate is None and not tensors:
            return None
        y = self._by_rows(gate) if gate is not None and not self.products else None
        if y is None:
            y = self._by_chunks(gate, (tensors[0] if gate is None else gate.g).new_empty(self.shape))
        return self._with_positions(y)

    def _with_positions(self, y: Tensor) -> Tensor:
        return reduce(lambda total, term: term.add_to(total), self.positions, y)

    def _by_rows(self, gate: GateTerm) -> Tensor | None:
        """One pass where the gate and the broadcast term are one value for each row. None elsewhere."""
        shapes = {*(tuple(part.shape) for part in gate.gates), *self.broadcast}
        length = reduction.row_length(next(iter(shapes)), self.shape)
        if len(shapes) > 1 or length < MIN_ROW or not self.broadcast:
            return None
        (shift,) = self.broadcast.values()
        return reduction.row_affine(gate.g, combine_gates(gate.gates, gate.combine, None), shift, length)

    def _by_chunks(self, gate: GateTerm | None, y: Tensor) -> Tensor:
        buffer = chunk_buffer(y)
        broadcast = [chunks(d, y) for d in self.broadcast.values()]
        products = [product.split() for product in self.products]
        gates = gate.split() if gate else None
        for i, y_i in enumerate(chunks(y, y)):
            terms = [d[i] for d in broadcast], [p[i] for p in products], gates[i] if gates else None
            _write_chunk(y_i, *terms, buffer[: len(y_i)])
        return y


def _write_chunk(
    y: Tensor, broadcast: Sequence[Tensor], products: Sequence[ProductTerm], gate: GateTerm | None, buffer: Tensor
) -> None:
    """y = sum of broadcast terms + sum of products + g * gate."""
    total = broadcast[0].expand_as(y) if broadcast else None
    if total is not None:
        for term in broadcast[1:]:
            total = torch.add(total, term, out=y)
    for part in products:
        total = _multiply_add(total, *part.factors(buffer), y)
    if gate and total is None:
        multiply_gates(gate, y)
    elif gate:
        total = _multiply_add(total, gate.g, combine_gates(gate.gates, gate.combine, buffer), y)
    elif total is None:
        y.zero_()
    elif total is not y:
        y.copy_(total)


def _multiply_add(total: Tensor | None, a: Tensor, b: Tensor, y: Tensor) -> Tensor:
    """y = total + a * b."""
    return torch.mul(a, b, out=y) if total is None else torch.addcmul(total, a, b, out=y)


def multiply_gates(gate: GateTerm, y: Tensor) -> None:
    """y = g * gate. The product or sum of several gates is stored in y first, which is faster than a buffer."""
    torch.mul(gate.g, combine_gates(gate.gates, gate.combine, y), out=y)


def gate_map(x: Tensor, gates: Sequence[Tensor], combine: str) -> Tensor:
    """x * gate, chunk by chunk where the product or sum of the gates is as large as x."""
    if len(gates) == 1 or broadcast_shape(gates)[1:] != x.shape[1:]:
        return x * combine_gates(gates, combine, None)
    y = torch.empty_like(x)
    for part, y_n in zip(GateTerm(x, tuple(gates), combine).split(), chunks(y, y), strict=True):
        multiply_gates(part, y_n)
    return y


def combine_gates(gates: Sequence[Tensor], combine: str, buffer: Tensor | None) -> Tensor:
    """The product or sum of gates; in the buffer where it has the shape of the result."""
    if len(gates) == 1:
        return gates[0]
    op = COMBINES[combine]
    if buffer is None or broadcast_shape(gates) != buffer.shape:
        return reduce(op, gates)
    y = op(gates[0].expand_as(buffer), gates[1], out=buffer)
    for gate in gates[2:]:
        y = op(y, gate, out=buffer)
    return y


def broadcast_shape(gates: Sequence[Tensor]) -> tuple[int, ...]:
    """The shape to which gates broadcast. torch.broadcast_shapes takes 30 us, 1 % of a pass over a map."""
    return tuple(map(max, zip(*(gate.shape for gate in gates), strict=True)))


def chunks(t: Tensor, x: Tensor) -> Sequence[Tensor]:
    """t in the chunks of x, which are whole samples; t itself for each chunk if its batch is 1."""
    samples = max(1, CHUNK // max(1, prod(x.shape[1:])))
    return t.split(samples) if len(t) > 1 or len(x) <= samples else [t] * -(-len(x) // samples)


def chunk_buffer(x: Tensor) -> Tensor:
    """An empty tensor of the size of the largest chunk of x."""
    return torch.empty_like(chunks(x, x)[0])
