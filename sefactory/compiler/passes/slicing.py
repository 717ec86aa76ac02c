"""A rewrite rule for slices of concatenations."""

from .. import ir as ops
from ..graph import Node
from .rewrite import UserCounts


def slice_of_concat(node: Node, users: UserCounts) -> Node | None:
    """concat(a, b)[slice of b] = b[slice]

    Maps are not concatenated only to be sliced again.
    """
    op, (concat, *_) = node.op, node.inputs
    if not isinstance(op, ops.Slice) or op.over != "C" or not isinstance(concat.op, ops.Concat):
        return None
    start = op.start
    for x in concat.inputs:
        width = x.sizes.number("C")
        if 0 <= start and start + op.length <= width:
            return x if op.length == width else Node(ops.Slice("C", start, op.length), (x,), node.sizes, node.source_path)
        start -= width
    return None
