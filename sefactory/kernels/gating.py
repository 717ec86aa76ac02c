"""y = x * gate(statistics of x): the statistics of one map and the gates applied to it, with one backward for both.

Plain autograd writes the map's gradient once for the application and once for every statistic, and adds them up. Here it
is written once: d x = g * gate + sum d mean / n + sum [x = max] d max / ties, block by block of about a sample, the sums
over broadcast axes likewise, so that the temporaries are one block, which stays in the cache.

A forward is `token, statistics = squeezed(x, requests)`, gates from the statistics, `y = applied(token, gates, combine)`.
Both are autograd.Functions. `applied` hands (g, gates) to `squeezed` in backward, as an attribute on the gradient of a
scalar that leads from one to the other: nothing is kept between two backwards, so that the graph may be used twice, in
part or by threads. With create_graph both compute plain formulas instead, and the scalar carries nothing.
"""

from collections.abc import Sequence
from functools import reduce
from math import prod
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd import Function

from . import reduction
from .gradient import COMBINES, SHORT, Gated, Masked, Parts, Spots, block_of, blocks, combined, cut
from .reduction import Extremum

Combine = Literal["product", "sum"]
Request = tuple[str, tuple[int, ...]]
"""A statistic ("mean", "sum", "max", "min") and the axes it is over, none of them 0."""

EXTREMA = {"max": Extremum(True), "min": Extremum(False)}


class Token:
    """A map and the way back to the Function that squeezed it, for the first that takes it."""

    def __init__(self, x: Tensor, edge: Tensor | None) -> None:
        self.x = x
        self._edge = edge

    def take(self) -> Tensor | None:
        edge, self._edge = self._edge, None
        return edge


def squeezed(x: Tensor, requests: Sequence[Request]) -> tuple[Token, list[Tensor]]:
    """(token for `applied`, one statistic of x a request, with the reduced axes 1). x: (B, ...) of rank 2 or more."""
    if not (torch.is_grad_enabled() and x.requires_grad):
        return Token(x, None), [_statistic(x, name, dims) for name, dims in requests]
    edge, *found = _Squeeze.apply(x, tuple(requests))
    return Token(x, edge), found


def applied(token: Token, gates: Sequence[Tensor], combine: Combine = "product") -> Tensor:
    """x * g1 * g2 ... or x * (g1 + g2 + ...); each gate has the rank of x, and size 1 along axes it does not know.

    A token may be taken again; then only the first shares its backward with the statistics.
    """
    y: Tensor = _Apply.apply(token.take(), token.x, combine, *gates)
    return y


def _statistic(x: Tensor, name: str, dims: tuple[int, ...]) -> Tensor:
    if name in EXTREMA:
        return reduction.extremum(x, dims, EXTREMA[name])
    return {"mean": reduction.mean, "sum": reduction.total}[name](x, dims)


class _Squeeze(Function):
    """x -> (edge, statistics). Saves of an extremum its places where they are few, else itself and x."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, requests: tuple[Request, ...]) -> tuple[Tensor, ...]:
        found: list[Tensor] = []
        places: list[Tensor | None] = []
        for name, dims in requests:
            y, spots = reduction.spotted(x, dims, EXTREMA[name]) if name in EXTREMA else (_statistic(x, name, dims), None)
            found.append(y)
            places.append(spots)
        masks = [name in EXTREMA and spots is None for (name, _), spots in zip(requests, places, strict=True)]
        ctx.save_for_backward(x if any(masks) else None, *places, *(y if m else None for y, m in zip(found, masks, strict=True)))
        ctx.requests, ctx.shape = requests, x.shape
        ctx.set_materialize_grads(False)
        return x.new_zeros(()), *found

    @staticmethod
    def backward(ctx: Any, d_edge: Tensor | None, *d_found: Tensor | None) -> tuple[Tensor | None, None]:
        x, *kept = ctx.saved_tensors
        many = len(ctx.requests)
        parts = Parts(ctx.shape)
        for request, places, y, d in zip(ctx.requests, kept[:many], kept[many:], d_found, strict=True):
            if d is not None:
                _add(parts, request, d, x, places, y)
        if torch.is_grad_enabled():
            return parts.plain(), None
        return parts.written(None if d_edge is None else _carried(d_edge)), None


def _add(parts: Parts, request: Request, d: Tensor, x: Tensor | None, places: Tensor | None, y: Tensor | None) -> None:
    """The term of one statistic of which d is the gradient."""
    name, dims = request
    if places is not None:
        parts.spots.append(Spots(places, d))
    elif x is not None and y is not None:
        parts.masked.append(Masked(x, y, d, dims))
    else:
        parts.add_level(d / prod(parts.shape[dim] for dim in dims) if name == "mean" else d)


def _carried(d_edge: Tensor) -> Gated:
    gated = getattr(d_edge, "gated", None)
    if not isinstance(gated, Gated):
        raise RuntimeError("what `applied` gave to `squeezed` in backward was lost: a hook or a compiler put a tensor in its place")
    return gated


def _carrier(gated: Gated) -> Tensor:
    """A gradient for the edge, which says in an attribute what the map's gradient needs."""
    d_edge = gated.g.new_zeros(())
    d_edge.gated = gated  # type: ignore[attr-defined]
    return d_edge


class _Apply(Function):
    """(edge, x, gates) -> y. The gradient of x goes by the edge where there is one. Saves x, if a gate is learned, and the gates."""

    @staticmethod
    def forward(ctx: Any, edge: Tensor | None, x: Tensor, combine: Combine, *gates: Tensor) -> Tensor:
        ctx.save_for_backward(x if any(ctx.needs_input_grad[3:]) else None, *gates)
        ctx.combine = combine
        if len(gates) == 1 or torch.broadcast_shapes(*(gate.shape for gate in gates))[1:] != x.shape[1:]:
            return x * combined(gates, combine, None)
        y, buffer = torch.empty_like(x), block_of(x)
        for block in blocks(x):
            at = [cut(gate, block) for gate in gates]
            torch.mul(x[block], combined(at, combine, buffer[: len(x[block])]), out=y[block])
        return y

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x, *gates = ctx.saved_tensors
        by_edge, to_x, _, *to_gates = ctx.needs_input_grad
        if torch.is_grad_enabled():
            d_x = g * reduce(COMBINES[ctx.combine], gates) if to_x else None
            return None, d_x, None, *_plain_gate_gradients(g, x, gates, ctx.combine, to_gates)
        g = g.contiguous()
        gated = Gated(g, tuple(gates), ctx.combine)
        d_x = Parts(g.shape).written(gated) if to_x and not by_edge else None
        return _carrier(gated) if by_edge else None, d_x, None, *_gate_gradients(gated, x, to_gates)


def _others(gates: Sequence[Tensor], i: int, combine: str) -> list[Tensor]:
    """The gates that the gradient of gate i is multiplied with."""
    return [gate for j, gate in enumerate(gates) if j != i and combine == "product"]


def _plain_gate_gradients(
    g: Tensor, x: Tensor | None, gates: Sequence[Tensor], combine: str, needs: Sequence[bool]
) -> list[Tensor | None]:
    """sum g * x * others over the axes that a gate does not know, differentiable."""
    if x is None:
        return [None] * len(gates)
    return [
        reduce(torch.mul, _others(gates, i, combine), g * x).sum_to_size(gate.shape) if need else None
        for i, (gate, need) in enumerate(zip(gates, needs, strict=True))
    ]


def _gate_gradients(gated: Gated, x: Tensor | None, needs: Sequence[bool]) -> list[Tensor | None]:
    """The same, block by block: g * x once for all gates."""
    g, gates, combine = gated
    if x is None:
        return [None] * len(gates)
    length = reduction.rows(gates[0].shape, g.shape)
    if len(gates) == 1 and length >= SHORT:
        return [reduction.row_dots(g, x, length).view(gates[0].shape)]
    sums = [gate.new_empty(g.shape[:1] + gate.shape[1:]) if need else None for gate, need in zip(gates, needs, strict=True)]
    p, q = block_of(g), block_of(g)
    for block in blocks(g):
        p_1 = torch.mul(g[block], x[block], out=p[: len(g[block])])
        at = [cut(gate, block) for gate in gates]
        for i, y in enumerate(sums):
            if y is not None:
                y[block] = reduction.contracted(p_1, _others(at, i, combine), y.shape, q)
    return [None if y is None else y.sum_to_size(gate.shape) for y, gate in zip(sums, gates, strict=True)]
