"""Rewrite rules for devices other than the CPU, where one launch on a stack of maps costs less than one for each map."""

from .. import ir as ops
from ..graph import Node
from .reductions import reduce_without_stack
from .rewrite import Uses, alone


def reduce_single_use_stack(value: Node, used: Uses) -> Node | None:
    """sum_S stack(a, b, ...) = a + b + ..., where nothing else reads the stack."""
    return reduce_without_stack(value, used) if alone(value.inputs[0], used) else None


def mean_of_stack_sum(value: Node, used: Uses) -> Node | None:
    """mean(sum_S x) = sum_S,p x / n: the sum of the maps is never written."""
    op, (total, *_) = value.op, value.inputs
    if not isinstance(op, ops.Reduce) or op.by != "mean" or "S" in op.over or not alone(total, used):
        return None
    if total.op != ops.Reduce("S", "sum") or not isinstance(total.inputs[0].op, ops.Stack):
        return None
    return Node(ops.MeanOfSum(op.over), total.inputs, value.sizes, value.place)


def sum_weighted_stack(value: Node, used: Uses) -> Node | None:
    """sum_S softmax_S(l) x = x_1 + p_0 (x_0 - x_1) for two maps: one launch."""
    if value.op != ops.Reduce("S", "sum") or value.inputs[0].op != ops.Gate() or not alone(value.inputs[0], used):
        return None
    stack, weights, *others = value.inputs[0].inputs
    if (
        others
        or not isinstance(stack.op, ops.Stack)
        or weights.op != ops.Softmax("S")
        or weights.sizes["S"] != stack.sizes["S"]
    ):
        return None
    return Node(ops.WeightedSum(), (stack, weights), value.sizes, value.place)
