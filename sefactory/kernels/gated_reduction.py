"""y = x * gate(statistics of x): the statistics of one map and the gates applied to it, with one backward for both.

Plain autograd writes the map's gradient once for the application and once for every statistic, and adds them up. Here it
is written once: d x = g * gate + sum d mean / n + sum [x = max] d max / ties + sum (x - mean) 2 d var / n, block by block of
about a sample, the sums over broadcast axes likewise, so that the temporaries are one block, which stays in the cache.

A forward is `token, statistics = squeezed(x, requests)`, gates from the statistics, `y = applied(token, gates, combine)`.
Both are autograd.Functions. `applied` hands (g, gates) to `squeezed` in backward, as an attribute on the gradient of a
scalar that leads from one to the other: nothing is kept between two backwards, so that the graph may be used twice, in
part or by threads. With create_graph both compute plain formulas instead, and the scalar carries nothing.

CPU milliseconds, plain torch and here, at 8 x 128 x 56 x 56, float32, one thread of a busy Zen 3, best of 21:

| statistics; gates | forward | with backward |
| --- | --- | --- |
| mean HW; C | 3.6, 3.6 | 16, 12 |
| mean and max HW; C | 5.7, 5.3 | 33, 13 |
| max and mean C; HW | 6.1, 4.8 | 35, 17 |
| mean W, mean H; CH * CW | 7.7, 6.9 | 34, 24 |
| max and mean of C, H, W; HW + CW + CH | 25, 20 | 94, 42 |
"""

from collections.abc import Sequence
from functools import reduce
from math import prod
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd import Function

from . import reduction
from .cache_tiling import EXTREMA, Request, gated, statistics
from .map_gradient import COMBINES, SHORT, Gated, Masked, Parts, Sloped, Spots, block_of, combined, pieces

Combine = Literal["product", "sum"]


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
        return Token(x, None), statistics(x, requests)
    edge, *found = _Squeeze.apply(x, tuple(requests))  # type: ignore[no-untyped-call]
    return Token(x, edge), found


def applied(token: Token, gates: Sequence[Tensor], combine: Combine = "product") -> Tensor:
    """x * g1 * g2 ... or x * (g1 + g2 + ...); each gate has the rank of x, and size 1 along axes it does not know.

    A token may be taken again; then only the first shares its backward with the statistics.
    """
    if any(gate.dtype != token.x.dtype for gate in gates):  # promotion is left to ATen
        return token.x * combined(gates, combine, None)
    if not torch.is_grad_enabled():  # apply itself takes 0.15 ms of a forward of 3
        return gated(token.x, gates, combine)[0]
    y: Tensor = _Apply.apply(token.take(), token.x, combine, *gates)  # type: ignore[no-untyped-call]
    return y


def measured(
    token: Token, gates: Sequence[Tensor], combine: Combine, requests: Sequence[Request]
) -> tuple[Tensor, list[Tensor] | None]:
    """`applied`, and without gradients the statistics of what comes out; None where they are for `squeezed` to take."""
    if torch.is_grad_enabled() or any(gate.dtype != token.x.dtype for gate in gates):
        return applied(token, gates, combine), None
    return gated(token.x, gates, combine, requests)


def selected(a: Token, b: Token, gate: Tensor) -> Tensor:
    """a * gate + b * (1 - gate) of two maps of one shape; the gate as in `applied`.

    With mean(a) + mean(b) under the gate: train 18 ms, 28 with lerp and plain autograd, 35 as written; forward 5, 5, 9.
    """
    if not torch.is_grad_enabled():
        return torch.lerp(b.x, a.x, gate)
    y: Tensor = _Select.apply(a.take(), b.take(), a.x, b.x, gate)  # type: ignore[no-untyped-call]
    return y


class _Squeeze(Function):
    """x -> (edge, statistics). Saves of an extremum its places where they are few, else itself and x."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, requests: tuple[Request, ...]) -> tuple[Tensor, ...]:
        apart = [name in EXTREMA and reduction.spots(x, dims) > 0 for name, dims in requests]
        rest = iter(statistics(x, [request for request, alone in zip(requests, apart, strict=True) if not alone]))
        both = [
            reduction.spotted(x, dims, EXTREMA[name]) if alone else (next(rest), None)
            for (name, dims), alone in zip(requests, apart, strict=True)
        ]
        found, places = [y for y, _ in both], [at for _, at in both]
        masked = [name in EXTREMA and spots is None for (name, _), spots in zip(requests, places, strict=True)]
        extrema = [y if mask else None for y, mask in zip(found, masked, strict=True)]
        again = any(masked) or any(name == "var" for name, _ in requests)
        ctx.save_for_backward(x if again else None, *places, *extrema)
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
                _add_term(parts, request, d, x, places, y)
        if torch.is_grad_enabled():
            return parts.plain(), None
        return parts.written(None if d_edge is None else _carried(d_edge)), None


def _add_term(parts: Parts, request: Request, d: Tensor, x: Tensor | None, places: Tensor | None, y: Tensor | None) -> None:
    """The term of one statistic of which d is the gradient."""
    name, dims = request
    if places is not None:
        parts.spots.append(Spots(places, d))
    elif x is not None and name == "var":
        slope = d * (2 / prod(parts.shape[dim] for dim in dims))
        parts.products.append(Sloped(x, slope))
        parts.add_level(-slope * reduction.mean(x, dims))
    elif x is not None and y is not None:
        parts.products.append(Masked(x, y, d, dims))
    else:
        parts.add_level(d / prod(parts.shape[dim] for dim in dims) if name == "mean" else d)


def _carried(d_edge: Tensor) -> Gated:
    gated = getattr(d_edge, "gated", None)
    if not isinstance(gated, Gated):
        raise RuntimeError("a gradient inside a gated map was replaced on its way, by a hook or a compiler")
    return gated


def _carrier(gated: Gated) -> Tensor:
    """A gradient for the edge, which says in an attribute what the map's gradient needs."""
    d_edge = gated.g.new_zeros(())
    d_edge.gated = gated  # type: ignore[attr-defined]
    return d_edge


class _Apply(Function):
    """(edge, x, gates) -> y. The gradient of x goes by the edge where there is one.

    Saves the gates, and x if one of them is learned.
    """

    @staticmethod
    def forward(ctx: Any, edge: Tensor | None, x: Tensor, combine: Combine, *gates: Tensor) -> Tensor:
        ctx.save_for_backward(x if any(ctx.needs_input_grad[3:]) else None, *gates)
        ctx.combine = combine
        return gated(x, gates, combine)[0]

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x, *gates = ctx.saved_tensors
        by_edge, to_x, _, *to_gates = ctx.needs_input_grad
        if torch.is_grad_enabled():
            d_x = g * reduce(COMBINES[ctx.combine], gates) if to_x else None
            return None, d_x, None, *_plain_gate_gradients(g, x, gates, ctx.combine, to_gates)
        gated = Gated(g.contiguous(), tuple(gates), ctx.combine)  # copied at most once
        d_edge, d_x = _handed_on(gated, by_edge, to_x)
        return d_edge, d_x, None, *gate_gradients(gated, x, to_gates)


def _handed_on(gated: Gated, by_edge: bool, to_x: bool) -> tuple[Tensor | None, Tensor | None]:
    """(gradient of the edge, gradient of x): the one or the other."""
    if by_edge:
        return _carrier(gated), None
    return None, Parts(gated.g.shape).written(gated) if to_x else None


class _Select(Function):
    """(edges, a, b, gate) -> a * gate + b * (1 - gate). Saves the gate, and a and b if it is learned."""

    @staticmethod
    def forward(ctx: Any, edge_a: Tensor | None, edge_b: Tensor | None, a: Tensor, b: Tensor, gate: Tensor) -> Tensor:
        ctx.save_for_backward(*((a, b) if ctx.needs_input_grad[4] else (None, None)), gate)
        return torch.lerp(b, a, gate)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        a, b, gate = ctx.saved_tensors
        by_a, by_b, to_a, to_b, to_gate = ctx.needs_input_grad
        if torch.is_grad_enabled():
            d_gate = (g * (a - b)).sum_to_size(gate.shape) if to_gate else None
            return None, None, g * gate if to_a else None, g * (1 - gate) if to_b else None, d_gate
        g = g.contiguous()
        first, second = (Gated(g, (part,), "product") for part in (gate, 1 - gate))
        edge_a, d_a = _handed_on(first, by_a, to_a)
        edge_b, d_b = _handed_on(second, by_b, to_b)
        (of_a,), (of_b,) = (gate_gradients(first, x, [to_gate]) for x in (a, b))
        return edge_a, edge_b, d_a, d_b, None if of_a is None or of_b is None else of_a - of_b


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


def gate_gradients(gated: Gated, x: Tensor | None, needs: Sequence[bool]) -> list[Tensor | None]:
    """The same, block by block: g * x once for all gates."""
    g, gates, combine = gated
    if x is None:
        return [None] * len(gates)
    length = reduction.rows(gates[0].shape, g.shape)
    if len(gates) == 1 and length >= SHORT:
        return [reduction.row_dots(g, x, length).view(gates[0].shape)]
    sums = [gate.new_empty(g.shape[:1] + gate.shape[1:]) if need else None for gate, need in zip(gates, needs, strict=True)]
    into = [None if y is None else pieces(y, g) for y in sums]
    p, q = block_of(g), block_of(g)
    for b, (at, x_1) in enumerate(zip(gated.split(), pieces(x, g), strict=True)):
        p_1 = torch.mul(at.g, x_1, out=p[: len(x_1)])
        for i, y in enumerate(into):
            if y is not None:
                y[b].copy_(reduction.contracted(p_1, _others(at.gates, i, combine), y[b].shape, q))
    return [None if y is None else y.sum_to_size(gate.shape) for y, gate in zip(sums, gates, strict=True)]
