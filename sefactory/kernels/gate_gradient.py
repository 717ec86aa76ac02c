"""The gradients of gates: sum g * x * other gates over the axes that a gate does not depend on."""

from collections.abc import Sequence
from functools import reduce

import torch
from torch import Tensor

from . import reduction
from .map_gradient import MIN_ROW, GateTerm, chunk_buffer, chunks


def _other_gates(gates: Sequence[Tensor], i: int, combine: str) -> list[Tensor]:
    """The gates that the gradient of gate i is multiplied with."""
    return [gate for j, gate in enumerate(gates) if j != i and combine == "product"]


def plain_gate_gradients(
    g: Tensor, x: Tensor | None, gates: Sequence[Tensor], combine: str, needs: Sequence[bool]
) -> list[Tensor | None]:
    """sum g * x * others over the axes that a gate does not depend on, differentiable."""
    if x is None:
        return [None] * len(gates)
    return [
        reduce(torch.mul, _other_gates(gates, i, combine), g * x).sum_to_size(gate.shape) if need else None
        for i, (gate, need) in enumerate(zip(gates, needs, strict=True))
    ]


def gate_gradients(gate_term: GateTerm, x: Tensor | None, needs: Sequence[bool]) -> list[Tensor | None]:
    """The same, chunk by chunk: g * x is computed once for all gates."""
    g, gates, combine = gate_term
    if x is None:
        return [None] * len(gates)
    length = reduction.row_length(gates[0].shape, g.shape)
    if len(gates) == 1 and length >= MIN_ROW:
        return [reduction.row_dot(g, x, length).view(gates[0].shape)]
    sums = [gate.new_empty(g.shape[:1] + gate.shape[1:]) if need else None for gate, need in zip(gates, needs, strict=True)]
    outputs = [None if y is None else chunks(y, g) for y in sums]
    product, buffer = chunk_buffer(g), chunk_buffer(g)
    for n, (part, x_n) in enumerate(zip(gate_term.split(), chunks(x, g), strict=True)):
        g_x = torch.mul(part.g, x_n, out=product[: len(x_n)])
        for i, y in enumerate(outputs):
            if y is not None:
                y[n].copy_(reduction.contract(g_x, _other_gates(part.gates, i, combine), y[n].shape, buffer))
    return [None if y is None else y.sum_to_size(gate.shape) for y, gate in zip(sums, gates, strict=True)]
