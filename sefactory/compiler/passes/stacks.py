"""Rewrite rules for devices other than the CPU, where one launch on a stack of maps costs less than one for each map."""

from .. import ir as ops
from ..graph import Node
from .reductions import reduce_without_stack
from .rewrite import UserCounts, has_one_user


def reduce_single_use_stack(node: Node, users: UserCounts) -> Node | None:
    """sum_S stack(a, b, ...) = a + b + ...

    Nothing else reads the stack.
    """
    return reduce_without_stack(node, users) if has_one_user(node.inputs[0], users) else None


def mean_of_stack_sum(node: Node, users: UserCounts) -> Node | None:
    """mean(sum_S x) = sum_S,p x / n

    The sum of the maps is not written.
    """
    op, (total, *_) = node.op, node.inputs
    if not isinstance(op, ops.Reduce) or op.by != "mean" or "S" in op.over or not has_one_user(total, users):
        return None
    if total.op != ops.Reduce("S", "sum") or not isinstance(total.inputs[0].op, ops.Stack):
        return None
    return Node(ops.MeanOfSum(op.over), total.inputs, node.sizes, node.source_path)


def sum_weighted_stack(node: Node, users: UserCounts) -> Node | None:
    """sum_S softmax_S(l) x = x_1 + p_0 (x_0 - x_1) for two maps

    Without gradients this is one launch.
    """
    if node.op != ops.Reduce("S", "sum") or node.inputs[0].op != ops.Gate() or not has_one_user(node.inputs[0], users):
        return None
    stack, weights, *others = node.inputs[0].inputs
    if others or not isinstance(stack.op, ops.Stack):
        return None
    if weights.op != ops.Softmax("S") or weights.sizes["S"] != stack.sizes["S"]:
        return None
    return Node(ops.WeightedSum(), (stack, weights), node.sizes, node.source_path)
