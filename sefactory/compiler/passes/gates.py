"""Rewrite rules that apply several gates in one pass over the feature map."""

from dataclasses import replace

from .. import ir as ops
from ..graph import Node
from .rewrite import UserCounts, has_one_user


def factor_out_map(node: Node, users: UserCounts) -> Node | None:
    """x g_1 + x g_2 + ... = x (g_1 + g_2 + ...)

    One pass over the feature map replaces one pass for each branch.
    """
    if node.op != ops.Elementwise("sum") or not all(_single_gate(x, users) for x in node.inputs):
        return None
    x = node.inputs[0].inputs[0]
    if any(other.inputs[0] is not x for other in node.inputs) or node.sizes != x.sizes:
        return None
    scales = {other.op.scale for other in node.inputs if isinstance(other.op, ops.Gate)}
    if len(scales) > 1:
        return None
    gates = tuple(gate for other in node.inputs for gate in other.inputs[1:])
    return Node(ops.Gate("sum", scales.pop()), (x, *gates), node.sizes, node.source_path)


def _single_gate(node: Node, users: UserCounts) -> bool:
    """True if a node is a gated map with one user, and its gates may be added to others."""
    op = node.op
    return isinstance(op, ops.Gate) and has_one_user(node, users) and (len(node.inputs) == 2 or op.kind == "sum")


def fold_residual_into_gate(node: Node, users: UserCounts) -> Node | None:
    """x + x g = x (g + 1)

    The gate is smaller than the feature map.
    """
    if node.op != ops.Elementwise("sum") or len(node.inputs) != 2:
        return None
    gated = next((x for x in node.inputs if x.op == ops.Gate() and len(x.inputs) == 2 and has_one_user(x, users)), None)
    if gated is None:
        return None
    x, gate = gated.inputs
    if not any(other is x for other in node.inputs) or all(gate.sizes[a] == x.sizes[a] for a in x.sizes.axes):
        return None
    more = Node(ops.ScalarAffine(1.0, 1.0), (gate,), gate.sizes, node.source_path)
    return Node(gated.op, (x, more), node.sizes, node.source_path)


def fold_scale_into_gate(node: Node, users: UserCounts) -> Node | None:
    """s (x g) = x (s g)

    The scale is applied to the gates, which are smaller than the feature map.
    """
    (gated, *_) = node.inputs
    match node.op, gated.op:
        case ops.ScalarAffine(scale, 0), ops.Gate() as gate if has_one_user(gated, users):
            return replace(gated, op=replace(gate, scale=gate.scale * scale))
    return None


def split_gate_product(node: Node, users: UserCounts) -> Node | None:
    """x (g_1 g_2) = x g_1 g_2

    The product of gates along different axes, which is as large as the map, is not computed.
    """
    if not isinstance(node.op, ops.Gate) or len(node.inputs) != 2:
        return None
    x, product = node.inputs
    if product.op != ops.Elementwise("product") or not has_one_user(product, users):
        return None
    if any(gate.sizes == product.sizes for gate in product.inputs):
        return None
    return Node(ops.Gate("product", node.op.scale), (x, *product.inputs), node.sizes, node.source_path)
