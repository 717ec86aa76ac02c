"""Gates on one map become one pass over it."""

from dataclasses import replace

from .. import ir as ops
from ..graph import Node
from .rewrite import Uses, alone


def factor_map_out(value: Node, used: Uses) -> Node | None:
    """x g_1 + x g_2 + ... = x (g_1 + g_2 + ...): one pass over the map in place of one for each branch."""
    if value.op != ops.Elementwise("sum") or not all(_single_gate(x, used) for x in value.inputs):
        return None
    x = value.inputs[0].inputs[0]
    if any(other.inputs[0] is not x for other in value.inputs) or value.sizes != x.sizes:
        return None
    scales = {other.op.scale for other in value.inputs if isinstance(other.op, ops.Gate)}
    if len(scales) > 1:
        return None
    gates = tuple(gate for other in value.inputs for gate in other.inputs[1:])
    return Node(ops.Gate("sum", scales.pop()), (x, *gates), value.sizes, value.place)


def _single_gate(value: Node, used: Uses) -> bool:
    op = value.op
    return isinstance(op, ops.Gate) and alone(value, used) and (len(value.inputs) == 2 or op.kind == "sum")


def residual_into_gate(value: Node, used: Uses) -> Node | None:
    """x + x g = x (g + 1): the gate is smaller than the map."""
    if value.op != ops.Elementwise("sum") or len(value.inputs) != 2:
        return None
    gated = next((x for x in value.inputs if x.op == ops.Gate() and len(x.inputs) == 2 and alone(x, used)), None)
    if gated is None:
        return None
    x, gate = gated.inputs
    if not any(other is x for other in value.inputs) or all(gate.sizes[a] == x.sizes[a] for a in x.sizes.axes):
        return None
    more = Node(ops.ScalarAffine(1.0, 1.0), (gate,), gate.sizes, value.place)
    return Node(gated.op, (x, more), value.sizes, value.place)


def scale_into_gate(value: Node, used: Uses) -> Node | None:
    """s (x g) = x (s g): the factor goes into the gates, which are smaller than the map."""
    (gated, *_) = value.inputs
    if (
        not isinstance(value.op, ops.ScalarAffine)
        or value.op.shift
        or not isinstance(gated.op, ops.Gate)
        or not alone(gated, used)
    ):
        return None
    return replace(gated, op=replace(gated.op, scale=gated.op.scale * value.op.scale))


def gates_one_by_one(value: Node, used: Uses) -> Node | None:
    """x (g_1 g_2) = x g_1 g_2: the product of gates that lie along different axes is never made."""
    if not isinstance(value.op, ops.Gate) or len(value.inputs) != 2:
        return None
    x, product = value.inputs
    if product.op != ops.Elementwise("product") or not alone(product, used):
        return None
    if any(gate.sizes == product.sizes for gate in product.inputs):
        return None
    return Node(ops.Gate("product", value.op.scale), (x, *product.inputs), value.sizes, value.place)
