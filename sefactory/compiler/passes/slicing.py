"""What is laid end to end is taken apart where it is read apart."""

from .. import ir as ops
from ..graph import Node
from .rewrite import Uses


def part_of_concat(value: Node, used: Uses) -> Node | None:
    """(a | b)[of b] = b, and what lies inside of b is a part of b: maps are not laid end to end to be taken apart again."""
    op, (whole, *_) = value.op, value.inputs
    if not isinstance(op, ops.Slice) or op.over != "C" or not isinstance(whole.op, ops.Concat):
        return None
    start = op.start
    for x in whole.inputs:
        width = x.sizes.number("C")
        if 0 <= start and start + op.length <= width:
            return x if op.length == width else Node(ops.Slice("C", start, op.length), (x,), value.sizes, value.place)
        start -= width
    return None
