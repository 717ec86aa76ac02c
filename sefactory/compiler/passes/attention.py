"""Gains, residuals, projections and factors go into the products of attention."""

from dataclasses import replace

from ...operators.elementwise import Gain
from ...operators.layout import Unstack
from .. import ir as ops
from ..codegen.attention import attend_layout
from ..codegen.attention_parts import heads_layout
from ..graph import Node
from .rewrite import Uses, alone


def gain_into_attention(value: Node, used: Uses) -> Node | None:
    """w attention(x) = attention with its values times w."""
    (x,) = value.inputs
    if not isinstance(value.op, ops.LearnedScale) or not isinstance(x.op, ops.Attend) or not alone(x, used):
        return None
    if x.op.gain is not None or len(x.inputs) > 1 or not attend_layout(x.op.attention, x.inputs[0].sizes):
        return None
    return replace(x, op=replace(x.op, gain=value.op.gain))


def linear_into_attention(value: Node, used: Uses) -> Node | None:
    """attention(y), y = W x + b: q, k and v in one product, into which a gain of the values can be folded."""
    op, (dense, *rest) = value.op, value.inputs
    if not isinstance(op, ops.Attend) or op.linear is not None or op.attention.key is None:
        return None
    if not isinstance(dense.op, ops.LinearOp) or dense.op.norm is not None or dense.op.times != 1 or not alone(dense, used):
        return None
    layout = attend_layout(op.attention, dense.sizes)
    if layout != attend_layout(op.attention, dense.inputs[0].sizes) or not layout:
        return None
    return replace(value, op=replace(op, linear=dense.op.linear), inputs=(*dense.inputs, *rest))


def residual_into_attention(value: Node, used: Uses) -> Node | None:
    """x + A x = (A + I) x among channels; y + v A^T in one product among positions."""
    if value.op != ops.Elementwise("sum") or len(value.inputs) != 2:
        return None
    for attended, other in (value.inputs, value.inputs[::-1]):
        op = attended.op
        if not isinstance(op, ops.Attend) or len(attended.inputs) != 1 or not alone(attended, used):
            continue
        if not _of_one_map(attended) or other.sizes != attended.sizes:
            continue
        if op.attention.key is None and other is attended.inputs[0] and "C" in _tokens(attended):
            return replace(attended, op=replace(op, identity=op.identity + 1.0))
        if op.attention.key is not None or "C" not in _tokens(attended):
            return replace(attended, inputs=(*attended.inputs, other))
    return None


def _of_one_map(value: Node) -> bool:
    """Whether attention is lowered, and of a map that is alone on S."""
    op = value.op
    return isinstance(op, ops.Attend) and attend_layout(op.attention, value.inputs[0].sizes)[:1] == "C"


def _tokens(value: Node) -> str:
    op = value.op
    return value.sizes.axes_of(op.attention.tokens) if isinstance(op, ops.Attend) else ""


def residuals_together(value: Node, used: Uses) -> Node | None:
    """(y + x) + (A + I) x = y + (A + 2 I) x: both residuals lie in the matrix of the channels."""
    if value.op != ops.Elementwise("sum") or len(value.inputs) != 2:
        return None
    for first, second in (value.inputs, value.inputs[::-1]):
        if not all(isinstance(x.op, ops.Attend) and alone(x, used) for x in (first, second)) or len(first.inputs) != 2:
            continue
        op = second.op
        if isinstance(op, ops.Attend) and len(second.inputs) == 1 and "C" in _tokens(second) and op.attention.key is None:
            if first.inputs[1] is second.inputs[0] and _of_one_map(second):
                both = replace(second, op=replace(op, identity=op.identity + 1.0))
                return replace(first, inputs=(first.inputs[0], both))
    return None


def parts_of_attention(value: Node, used: Uses) -> Node | None:
    """attention(q | k | v) = softmax(q k^T) v among the channels of heads: each part is read where it lies."""
    op, (x, *_) = value.op, value.inputs
    if not isinstance(op, ops.Attend) or not heads_layout(op.attention, x.sizes):
        return None
    width, one = op.attention.width, value.sizes
    parts = tuple(Node(ops.Slice("C", i * width, width), (x,), one, value.place) for i in range(3))
    return Node(ops.AttendParts(op.attention), parts, one, value.place)


FACTORED: dict[ops.Op, ops.Combination] = {
    ops.Gate(): "product",
    ops.Elementwise("product"): "product",
    ops.Elementwise("quotient"): "quotient",
}
"""A map and its factor, and how it goes onto the map."""


def factor_behind_product(value: Node, used: Uses) -> Node | None:
    """(a_i q_i) . (b_j k_j) = a_i b_j (q_i . k_j): what is one number for a channel is put onto the scores, not the map."""
    op = value.op
    for side, x in _factored(value):
        kind = FACTORED.get(x.op)
        if kind is None or len(x.inputs) != 2 or not alone(x, used):
            continue
        inner, factor = x.inputs
        flat = x.sizes.replace(dict.fromkeys(x.sizes.spatial_axes, 1))
        if isinstance(op, ops.AttendParts) and inner.sizes == x.sizes and factor.sizes == flat:
            return _behind(value, side, inner, (factor,), replace(op, onto=(*op.onto, (side, kind))))
    return None


def gain_behind_product(value: Node, used: Uses) -> Node | None:
    """(w_h q_h) . k_h = w_h (q_h . k_h), of one w or of one for each head: a temperature of the scores."""
    op = value.op
    for side, x in _factored(value):
        if isinstance(op, ops.AttendParts) and (found := _gained(x, op.attention.heads, used)):
            gain, inner = found
            return _behind(value, side, inner, (), replace(op, gains=(*op.gains, gain)))
    return None


def _factored(value: Node) -> list[tuple[int, Node]]:
    """q and k where factors of them are factors of the scores; between directions they would be lost."""
    op = value.op
    return list(enumerate(value.inputs[:2])) if isinstance(op, ops.AttendParts) and op.attention.similarity == "dot" else []


def _behind(value: Node, side: int, inner: Node, factors: tuple[Node, ...], op: ops.AttendParts) -> Node:
    """The same with what lies below a factor in its place."""
    inputs = (*value.inputs[:side], inner, *value.inputs[side + 1 :], *factors)
    return replace(value, op=op, inputs=inputs)


def _gained(x: Node, heads: int, used: Uses) -> tuple[Gain, Node] | None:
    """The gain of q or of k as a whole, or of the maps on S into which it is cut for that and which are its heads."""
    if isinstance(x.op, ops.LearnedScale) and alone(x, used):
        return x.op.gain, x.inputs[0]
    chain = [x]
    while len(chain) < 3 and len(chain[-1].inputs) == 1:
        chain.append(chain[-1].inputs[0])
    if len(chain) < 3 or chain[2].op != ops.ChannelSplit(heads) or not all(alone(value, used) for value in chain):
        return None
    unstack, gain = (value.op.call if isinstance(value.op, ops.OpaqueCall) else None for value in chain[:2])
    if not isinstance(unstack, Unstack) or not isinstance(gain, Gain) or unstack.groups != 1:
        return None
    return (gain, chain[2].inputs[0]) if gain.each == "S" and gain.bias is None else None
