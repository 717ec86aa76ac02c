"""What a block computes, as a graph of nodes. The tracer builds it, the passes rewrite it, codegen makes a program of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import is_

from ..shapes import Sizes
from .ir import Op


@dataclass(eq=False, slots=True)  # never changed; a frozen dataclass takes three times as long to create
class Node:
    """The result of one operation on other nodes: its sizes, and the path of the module that it comes from."""

    op: Op
    inputs: tuple["Node", ...]
    sizes: Sizes
    source_path: str = ""

    def with_inputs(self, inputs: Sequence["Node"]) -> "Node":
        """The same operation on other inputs."""
        same = all(map(is_, inputs, self.inputs))
        return self if same else Node(self.op, tuple(inputs), self.sizes, self.source_path)


def topological_order(root: Node) -> list[Node]:
    """Every node that a root depends on, once, each after its inputs."""
    found: dict[int, Node] = {}
    stack = [root]
    while stack:
        missing = [other for other in stack[-1].inputs if id(other) not in found]
        if missing:
            stack += reversed(missing)
        else:
            node = stack.pop()
            found[id(node)] = node
    return list(found.values())


def user_counts(nodes: Sequence[Node]) -> dict[int, int]:
    """How many nodes use each node, by its id. The last one, the result, has one user outside."""
    count = {id(nodes[-1]): 1}
    for node in nodes:
        for other in node.inputs:
            count[id(other)] = count.get(id(other), 0) + 1
    return count
