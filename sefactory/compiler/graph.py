"""What a block computes, as a graph: values that rest on other values. The rules rewrite it, and steps run it."""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import is_

from ..operators.norm import BatchNorm
from ..shapes import Sizes
from .ir import ConvOp, LinearOp, Op


@dataclass(eq=False, slots=True)  # never changed; a frozen one takes three times as long to make
class Node:
    """What an operation makes of other values: its sizes, and the path of the node that it comes from."""

    op: Op
    inputs: tuple["Node", ...]
    sizes: Sizes
    place: str = ""

    def resting_on(self, inputs: Sequence["Node"]) -> "Node":
        """The same of other values."""
        same = all(map(is_, inputs, self.inputs))
        return self if same else Node(self.op, tuple(inputs), self.sizes, self.place)


def topological_order(root: Node) -> list[Node]:
    """Every value below a root once, each behind those that it rests on."""
    found: dict[int, Node] = {}
    stack = [root]
    while stack:
        value = stack[-1]
        if left := [other for other in value.inputs if id(other) not in found]:
            stack += reversed(left)
        else:
            found[id(value)] = value
            stack.pop()
            while stack and id(stack[-1]) in found:
                stack.pop()
    return list(found.values())


def user_counts(values: Sequence[Node]) -> dict[int, int]:
    """How many values rest on each, by its id; the last one is used once, from outside."""
    count = {id(values[-1]): 1}
    for value in values:
        for other in value.inputs:
            count[id(other)] = count.get(id(other), 0) + 1
    return count


def eval_norms(root: Node) -> list[BatchNorm]:
    """The norms that the graph takes to be in eval mode."""
    found = (value.op for value in topological_order(root))
    return [op.norm for op in found if isinstance(op, LinearOp | ConvOp) and op.norm is not None]
