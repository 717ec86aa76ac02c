"""Sums, means and extrema go before what they do not need."""

from dataclasses import replace

from ...operators.layout import Unstack
from .. import ir as ops
from ..codegen.convolution import window_layout
from ..codegen.layout import non_unit_axes, strip_unit_axes
from ..graph import Node
from .rewrite import Uses, alone


def reduce_without_stack(value: Node, used: Uses) -> Node | None:
    """sum_S stack(a, b, ...) = a + b + ..., so the stack is never made."""
    op, (stack, *_) = value.op, value.inputs
    if not isinstance(op, ops.Reduce) or op.over != "S" or not isinstance(stack.op, ops.Stack):
        return None
    if any(x.sizes["S"] != 1 for x in stack.inputs):
        return None
    return _together(op.by, stack.inputs, value)


def _together(by: ops.Statistic, parts: tuple[Node, ...], value: Node) -> Node:
    """The statistic of all parts, in the place of a value, from that of each: means of parts of one size, sums, extrema."""
    y = Node(ops.Elementwise(by if by in ("max", "min") else "sum"), parts, value.sizes, value.place)
    return y if by != "mean" else Node(ops.ScalarAffine(1 / len(parts)), (y,), value.sizes, value.place)


def reduce_without_concat(value: Node, used: Uses) -> Node | None:
    """mean_C concat(a, b, ...) = (mean_C a + mean_C b + ...) / n, extrema likewise: a stack is never laid end to end on C."""
    op, (whole, *_) = value.op, value.inputs
    if not isinstance(op, ops.Reduce) or "C" not in op.over:
        return None
    if not isinstance(whole.op, ops.OpaqueCall) or not isinstance(whole.op.call, Unstack):
        return None
    (stack,) = whole.inputs
    first = stack.inputs[0].sizes if isinstance(stack.op, ops.Stack) else None
    if first is None or first["S"] != 1 or any(x.sizes != first for x in stack.inputs):
        return None
    return _together(op.by, tuple(Node(op, (x,), value.sizes, value.place) for x in stack.inputs), value)


def sum_gated_stack(value: Node, used: Uses) -> Node | None:
    """sum_S(stack(a, b) * g) = a g_0 + b g_1: neither a stack of maps nor its product is made."""
    op, (gate, *_) = value.op, value.inputs
    if not isinstance(op, ops.Reduce) or op.over != "S" or op.by != "sum" or not alone(gate, used):
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
    parts = [Node(ops.Slice("S", i, 1), (weights,), one, value.place) for i in range(len(stack.inputs))]
    gated = [Node(gate.op, (x, part), x.sizes, value.place) for x, part in zip(stack.inputs, parts, strict=True)]
    return Node(ops.Elementwise("sum"), tuple(gated), value.sizes, value.place)


def select_by_softmax(value: Node, used: Uses) -> Node | None:
    """a p_0 + b p_1 = b + p_0 (a - b), where p = softmax_S(l) of two."""
    if value.op != ops.Elementwise("sum") or len(value.inputs) != 2 or not all(x.op == ops.Gate() for x in value.inputs):
        return None
    (a, p), (b, q) = (x.inputs for x in value.inputs)
    if p.op != ops.Slice("S", 0, 1) or q.op != ops.Slice("S", 1, 1) or p.inputs[0] is not q.inputs[0]:
        return None
    (weights,) = p.inputs
    if weights.op != ops.Softmax("S") or weights.sizes["S"] != 2:
        return None
    return Node(ops.Select(), (a, b, p), value.sizes, value.place)


def mean_before_sum(value: Node, used: Uses) -> Node | None:
    """mean(a + b) = mean(a) + mean(b): the sum of maps is never made."""
    op, (total, *_) = value.op, value.inputs
    if not isinstance(op, ops.Reduce) or op.by not in ("mean", "sum"):
        return None
    if total.op != ops.Elementwise("sum") or not alone(total, used):
        return None
    if any(x.sizes != total.sizes for x in total.inputs) or not set(total.sizes.grid) & set(op.over):
        return None
    return Node(total.op, tuple(Node(op, (x,), value.sizes, value.place) for x in total.inputs), value.sizes, value.place)


def sum_before_linear(value: Node, used: Uses) -> Node | None:
    """sum_S(W x + b) = W sum_S(x) + n b: one product in place of n."""
    op, (map_, *_) = value.op, value.inputs
    if not isinstance(op, ops.Reduce) or (op.over, op.by) != ("S", "sum") or not isinstance(map_.op, ops.LinearOp):
        return None
    if map_.op.norm is not None or not alone(map_, used):
        return None
    (x,) = map_.inputs
    count = x.sizes.number("S")
    total = Node(op, (x,), x.sizes.replace({"S": 1}), value.place)
    return Node(replace(map_.op, times=map_.op.times * count), (total,), value.sizes, map_.place)


def mean_of_window(value: Node, used: Uses) -> Node | None:
    """mean_p sum_t w_t x(p + t) = sum_t w_t mean_p x(p + t): the sums under each tap come before the weights."""
    op, (window, *_) = value.op, value.inputs
    if not isinstance(op, ops.Reduce) or op.by not in ("mean", "sum") or not isinstance(window.op, ops.ConvOp):
        return None
    along = window.op.conv.along
    if (
        window.op.norm is not None
        or not alone(window, used)
        or not set(strip_unit_axes(op.over, window.sizes)) <= set(along) <= set(op.over)
    ):
        return None
    if len(window_layout(window.op, window.inputs[0].sizes)) != 1 + len(along):
        return None
    return Node(ops.ConvMean(window.op, op.by), window.inputs, value.sizes, value.place)
