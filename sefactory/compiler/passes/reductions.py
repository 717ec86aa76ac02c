"""Rewrite rules that move sums, means and extrema before the operations that do not need whole maps."""

from dataclasses import replace

from ...operators.layout import Unstack
from .. import ir as ops
from ..codegen.convolution import conv_layout
from ..codegen.layout import non_unit_axes, strip_unit_axes
from ..graph import Node
from .rewrite import UserCounts, has_one_user


def reduce_without_stack(node: Node, users: UserCounts) -> Node | None:
    """sum_S stack(a, b, ...) = a + b + ...

    The stack is not computed. Means, maxima and minima likewise.
    """
    op, (stack, *_) = node.op, node.inputs
    if not isinstance(op, ops.Reduce) or op.over != "S" or not isinstance(stack.op, ops.Stack):
        return None
    if any(x.sizes["S"] != 1 for x in stack.inputs):
        return None
    return _combine_statistics(op.by, stack.inputs, node)


def _combine_statistics(by: ops.Statistic, parts: tuple[Node, ...], node: Node) -> Node:
    """The statistic of all parts from the statistic of each. The parts have one size."""
    y = Node(ops.Elementwise(by if by in ("max", "min") else "sum"), parts, node.sizes, node.source_path)
    return y if by != "mean" else Node(ops.ScalarAffine(1 / len(parts)), (y,), node.sizes, node.source_path)


def reduce_without_concat(node: Node, users: UserCounts) -> Node | None:
    """mean_C concat(a, b, ...) = (mean_C a + mean_C b + ...) / n

    The concatenation of a stack on C is not computed. Sums and extrema likewise.
    """
    op, (concat, *_) = node.op, node.inputs
    if not isinstance(op, ops.Reduce) or "C" not in op.over:
        return None
    if not isinstance(concat.op, ops.OpaqueCall) or not isinstance(concat.op.call, Unstack):
        return None
    (stack,) = concat.inputs
    first = stack.inputs[0].sizes if isinstance(stack.op, ops.Stack) else None
    if first is None or first["S"] != 1 or any(x.sizes != first for x in stack.inputs):
        return None
    return _combine_statistics(op.by, tuple(Node(op, (x,), node.sizes, node.source_path) for x in stack.inputs), node)


def sum_gated_stack(node: Node, users: UserCounts) -> Node | None:
    """sum_S (stack(a, b) * g) = a g_0 + b g_1

    Neither the stack of feature maps nor its product is computed.
    """
    op, (gate, *_) = node.op, node.inputs
    if not isinstance(op, ops.Reduce) or op.over != "S" or op.by != "sum" or not has_one_user(gate, users):
        return None
    if not isinstance(gate.op, ops.Gate) or len(gate.inputs) != 2:
        return None
    stack, weights = gate.inputs
    if not isinstance(stack.op, ops.Stack) or weights.sizes["S"] != len(stack.inputs):
        return None
    if not set(stack.sizes.grid) <= set(non_unit_axes(stack.sizes)):  # of descriptors it takes fewer operations with the stack
        return None
    if any(x.sizes["S"] != 1 for x in stack.inputs):
        return None
    one = weights.sizes.replace({"S": 1})
    parts = [Node(ops.Slice("S", i, 1), (weights,), one, gate.source_path) for i in range(len(stack.inputs))]
    gated = [Node(gate.op, (x, part), x.sizes, gate.source_path) for x, part in zip(stack.inputs, parts, strict=True)]
    return Node(ops.Elementwise("sum"), tuple(gated), node.sizes, node.source_path)


def select_by_softmax(node: Node, users: UserCounts) -> Node | None:
    """a p_0 + b p_1 = b + p_0 (a - b), p = softmax_S(l) of two

    A linear interpolation is one operation.
    """
    if node.op != ops.Elementwise("sum") or len(node.inputs) != 2 or not all(x.op == ops.Gate() for x in node.inputs):
        return None
    (a, p), (b, q) = (x.inputs for x in node.inputs)
    if p.op != ops.Slice("S", 0, 1) or q.op != ops.Slice("S", 1, 1) or p.inputs[0] is not q.inputs[0]:
        return None
    (weights,) = p.inputs
    if weights.op != ops.Softmax("S") or weights.sizes["S"] != 2:
        return None
    return Node(ops.Select(), (a, b, p), node.sizes, node.source_path)


def mean_before_sum(node: Node, users: UserCounts) -> Node | None:
    """mean(a + b) = mean(a) + mean(b)

    The sum of feature maps is not computed.
    """
    op, (total, *_) = node.op, node.inputs
    if not isinstance(op, ops.Reduce) or op.by not in ("mean", "sum"):
        return None
    if total.op != ops.Elementwise("sum") or not has_one_user(total, users):
        return None
    if any(x.sizes != total.sizes for x in total.inputs) or not set(total.sizes.grid) & set(op.over):
        return None
    means = tuple(Node(op, (x,), node.sizes, node.source_path) for x in total.inputs)
    return Node(total.op, means, node.sizes, node.source_path)


def sum_before_linear(node: Node, users: UserCounts) -> Node | None:
    """sum_S (W x + b) = W sum_S(x) + n b

    One matrix product replaces n.
    """
    op, (linear, *_) = node.op, node.inputs
    if not isinstance(op, ops.Reduce) or (op.over, op.by) != ("S", "sum") or not isinstance(linear.op, ops.LinearOp):
        return None
    if linear.op.norm is not None or not has_one_user(linear, users):
        return None
    (x,) = linear.inputs
    count = x.sizes.number("S")
    total = Node(op, (x,), x.sizes.replace({"S": 1}), node.source_path)
    return Node(replace(linear.op, times=linear.op.times * count), (total,), node.sizes, linear.source_path)


def mean_before_conv(node: Node, users: UserCounts) -> Node | None:
    """mean_p sum_t w_t x(p + t) = sum_t w_t mean_p x(p + t)

    The means under each kernel tap are taken before the weights are applied.
    """
    op, (window, *_) = node.op, node.inputs
    if not isinstance(op, ops.Reduce) or op.by not in ("mean", "sum") or not isinstance(window.op, ops.ConvOp):
        return None
    along = window.op.conv.along
    if window.op.norm is not None or not has_one_user(window, users):
        return None
    if not set(strip_unit_axes(op.over, window.sizes)) <= set(along) <= set(op.over):
        return None
    if len(conv_layout(window.op, window.inputs[0].sizes)) != 1 + len(along):
        return None
    return Node(ops.ConvMean(window.op, op.by), window.inputs, node.sizes, window.source_path)
