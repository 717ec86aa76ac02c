"""y = x * gate(statistics of x): the statistics of a map and its gates, with one backward for both.

Plain autograd writes the gradient of the map once for the gate and once for each statistic, and adds them up. Here it is
written once, chunk by chunk of about one sample, so that the temporaries stay in the cache (docs/kernels.md, gated
reductions):

    d x = g * gate + sum d mean / n + sum [x = max] d max / ties + sum 2 (x - mean) d var / n

A forward is `context, statistics = reduce_map(x, requests, gates=1)`, then the gates from the statistics, then
`y = apply_gates(context, gates)`. Each is an autograd.Function. The first returns edges beside the statistics: one for the
gradient of y and one for each gate. An edge is a zero expanded to the shape of x, which takes no memory. The second takes
the edges as inputs, and returns g and the gates as their gradients. So the first receives everything as ordinary
gradients. In a double backward both use plain formulas, and the edges have no gradient.
"""

from collections.abc import Sequence
from functools import reduce
from math import prod
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd import Function
from torch.compiler import is_compiling

from . import reduction
from .gate_gradient import gate_gradients, plain_gate_gradients
from .map_gradient import (
    COMBINES,
    ExtremumTerm,
    GateTerm,
    MapGradient,
    PositionsTerm,
    VarianceTerm,
    combine_gates,
    gate_map,
)
from .reduction import EXTREMA, Request, statistic

Combine = Literal["product", "sum"]


class MapContext:
    """A map, and the edges that lead from its gates back to its statistics."""

    def __init__(self, x: Tensor, edges: Sequence[Tensor] = (), combine: Combine = "product") -> None:
        self.x = x
        self._edges, self._combine = tuple(edges), combine

    def take_edges(self, gates: int, combine: Combine) -> tuple[Tensor, ...]:
        """The edges for so many gates. Empty if they were taken before, or were made for other gates."""
        if len(self._edges) != 1 + gates or self._combine != combine:
            return ()
        edges, self._edges = self._edges, ()
        return edges


def reduce_map(
    x: Tensor, requests: Sequence[Request], gates: int = 0, combine: Combine = "product"
) -> tuple[MapContext, list[Tensor]]:
    """Returns (context for `apply_gates`, one statistic of x for each request, the reduced axes kept at size 1).

    x: (B, ...) of rank 2 or more. `gates` and `combine` say which gates share the backward; 0 gates share none.
    """
    if not (requests and torch.is_grad_enabled() and x.requires_grad):
        return MapContext(x), [statistic(x, request) for request in requests]
    edges = 1 + gates if gates else 0
    outputs = _ReduceMap.apply(x, tuple(requests), edges, combine)  # type: ignore[no-untyped-call]
    return MapContext(x, outputs[:edges], combine), list(outputs[edges:])


def apply_gates(context: MapContext, gates: Sequence[Tensor], combine: Combine = "product") -> Tensor:
    """x * g1 * g2 ... or x * (g1 + g2 + ...). Each gate has the rank of x, and size 1 along axes that it does not depend on.

    A context may be used several times. The first use with the expected gates shares its backward with the statistics.
    """
    if any(gate.dtype != context.x.dtype for gate in gates):  # ATen promotes the dtypes
        return context.x * combine_gates(gates, combine, None)
    if not torch.is_grad_enabled():  # Function.apply takes 5 % of a forward
        return gate_map(context.x, gates, combine)
    edges = context.take_edges(len(gates), combine)
    y: Tensor = _ApplyGates.apply(context.x, combine, len(gates), *gates, *edges)  # type: ignore[no-untyped-call]
    return y


def select(a: MapContext, b: MapContext, gate: Tensor) -> Tensor:
    """a * gate + b * (1 - gate) of two maps of one shape; the gate as in `apply_gates`."""
    if not torch.is_grad_enabled():
        return torch.lerp(b.x, a.x, gate)
    edges_a, edges_b = (context.take_edges(1, "product") for context in (a, b))
    y: Tensor = _Select.apply(a.x, b.x, gate, len(edges_a), *edges_a, *edges_b)  # type: ignore[no-untyped-call]
    return y


class _ReduceMap(Function):
    """x -> (edges, statistics). Saves of an extremum its positions where they are few, else the extremum and x."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, requests: tuple[Request, ...], edges: int, combine: Combine) -> tuple[Tensor, ...]:
        results = [_statistic_and_positions(x, request) for request in requests]
        outputs, positions = [y for y, _ in results], [p for _, p in results]
        by_mask = [name in EXTREMA and p is None for (name, _), p in zip(requests, positions, strict=True)]
        extrema = [y if mask else None for y, mask in zip(outputs, by_mask, strict=True)]
        needs_x = any(by_mask) or any(name == "var" for name, _ in requests)
        ctx.save_for_backward(x if needs_x else None, *positions, *extrema)
        ctx.requests, ctx.edges, ctx.combine, ctx.shape = requests, edges, combine, x.shape
        ctx.set_materialize_grads(False)
        return *(x.new_zeros(()).expand(x.shape) for _ in range(edges)), *outputs

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, None, None, None]:
        x, *saved = ctx.saved_tensors
        count = len(ctx.requests)
        gradient = MapGradient(ctx.shape)
        given = zip(ctx.requests, saved[:count], saved[count:], gradients[ctx.edges :], strict=True)
        for request, positions, y, d in given:
            if d is not None:
                _add_statistic(gradient, request, d, x, positions, y)
        if _uses_plain_formulas():
            return gradient.differentiable(), None, None, None
        edges = [d for d in gradients[: ctx.edges] if d is not None]
        gate = GateTerm(edges[0], tuple(map(_unexpanded, edges[1:])), ctx.combine) if edges else None
        return gradient.total(gate), None, None, None


def _statistic_and_positions(x: Tensor, request: Request) -> tuple[Tensor, Tensor | None]:
    """Returns (the statistic, the positions of an extremum where they are few)."""
    name, dims = request
    return reduction.argmax_positions(x, dims, EXTREMA[name]) if name in EXTREMA else (statistic(x, request), None)


def _uses_plain_formulas() -> bool:
    """True in a double backward, and where a compiler records the backward, which fuses it itself."""
    return torch.is_grad_enabled() or is_compiling()


def _unexpanded(gate: Tensor) -> Tensor:
    """A gate before it was expanded to the shape of its map."""
    for dim, stride in enumerate(gate.stride()):
        if stride == 0 and gate.shape[dim] > 1:
            gate = gate.narrow(dim, 0, 1)
    return gate


def _add_statistic(
    gradient: MapGradient, request: Request, d: Tensor, x: Tensor | None, positions: Tensor | None, y: Tensor | None
) -> None:
    """Adds the term of one statistic, of which d is the gradient."""
    name, dims = request
    count = prod(gradient.shape[dim] for dim in dims)
    if positions is not None:
        gradient.positions.append(PositionsTerm(positions, d))
    elif x is not None and name == "var":
        slope = d * (2 / count)
        gradient.products.append(VarianceTerm(x, slope))
        gradient.add_broadcast(-slope * reduction.mean(x, dims))
    elif x is not None and y is not None:
        gradient.products.append(ExtremumTerm(x, y, d, dims))
    else:
        gradient.add_broadcast(d / count if name == "mean" else d)


class _ApplyGates(Function):
    """(x, gates, edges) -> y. The gradient of x goes by the edges where there are some. Saves x if a gate needs a gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, combine: Combine, count: int, *gates_and_edges: Tensor) -> Tensor:
        gates = gates_and_edges[:count]
        ctx.save_for_backward(x if any(ctx.needs_input_grad[3 : 3 + count]) else None, *gates)
        ctx.combine = combine
        return gate_map(x, gates, combine)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x, *gates = ctx.saved_tensors
        needs_x, _, _, *needs = ctx.needs_input_grad
        needs_gates, needs_edges = needs[: len(gates)], needs[len(gates) :]
        if _uses_plain_formulas():
            d_x = g * reduce(COMBINES[ctx.combine], gates) if needs_x else None
            return d_x, None, None, *plain_gate_gradients(g, x, gates, ctx.combine, needs_gates), *_none(needs_edges)
        gate = GateTerm(g.contiguous(), tuple(gates), ctx.combine)  # copied at most once
        d_x, d_edges = _map_gradients(gate, needs_x, needs_edges)
        return d_x, None, None, *gate_gradients(gate, x, needs_gates), *d_edges


def _none(needs: Sequence[bool]) -> list[Tensor | None]:
    return [None] * len(needs)


def _map_gradients(gate: GateTerm, needs_x: bool, needs_edges: Sequence[bool]) -> tuple[Tensor | None, Sequence[Tensor | None]]:
    """(gradient of x, gradients of the edges): the one or the others."""
    if any(needs_edges):
        return None, [gate.g, *(part.expand_as(gate.g) for part in gate.gates)]
    return MapGradient(gate.g.shape).total(gate) if needs_x else None, _none(needs_edges)


class _Select(Function):
    """(a, b, gate, edges of a, edges of b) -> a * gate + b * (1 - gate). Saves a and b if the gate needs a gradient."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, gate: Tensor, count: int, *edges: Tensor) -> Tensor:
        ctx.save_for_backward(*((a, b) if ctx.needs_input_grad[2] else (None, None)), gate)
        ctx.count = count
        return torch.lerp(b, a, gate)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        a, b, gate = ctx.saved_tensors
        needs_a, needs_b, needs_gate, _, *needs_edges = ctx.needs_input_grad
        if _uses_plain_formulas():
            d_gate = (g * (a - b)).sum_to_size(gate.shape) if needs_gate else None
            d_a, d_b = g * gate if needs_a else None, g * (1 - gate) if needs_b else None
            return d_a, d_b, d_gate, None, *_none(needs_edges)
        g = g.contiguous()
        of_a, of_b = (GateTerm(g, (part,), "product") for part in (gate, 1 - gate))
        d_a, edges_a = _map_gradients(of_a, needs_a, needs_edges[: ctx.count])
        d_b, edges_b = _map_gradients(of_b, needs_b, needs_edges[ctx.count :])
        (gate_a,), (gate_b,) = (gate_gradients(of_a, x, [needs_gate]) for x in (a, b))
        d_gate = None if gate_a is None or gate_b is None else gate_a - gate_b
        return d_a, d_b, d_gate, None, *edges_a, *edges_b
