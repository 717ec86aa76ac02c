"""Rewrite rules that fold gains, residuals, projections and factors into the matrix products of attention."""

from dataclasses import replace

from ...operators.elementwise import Gain
from ...operators.layout import Unstack
from .. import ir as ops
from ..codegen.attention import attention_layout
from ..codegen.channel_attention import heads_layout
from ..graph import Node
from .rewrite import UserCounts, has_one_user


def fold_gain_into_attention(node: Node, users: UserCounts) -> Node | None:
    """w attention(x) = attention(x) with its values times w

    The multiplication is part of a matrix product.
    """
    (x,) = node.inputs
    if not isinstance(node.op, ops.LearnedScale) or not isinstance(x.op, ops.AttentionOp) or not has_one_user(x, users):
        return None
    if x.op.gain is not None or len(x.inputs) > 1 or not attention_layout(x.op.attention, x.inputs[0].sizes):
        return None
    return replace(x, op=replace(x.op, gain=node.op.gain))


def fold_projection_into_attention(node: Node, users: UserCounts) -> Node | None:
    """attention(W x + b) = softmax(q k^T) v, (q, k, v) = W x + b

    The projection becomes part of the attention, which can fold a gain into its weights.
    """
    op, (projection, *rest) = node.op, node.inputs
    if not isinstance(op, ops.AttentionOp) or op.linear is not None or op.attention.key is None:
        return None
    if not isinstance(projection.op, ops.LinearOp) or not has_one_user(projection, users):
        return None
    if projection.op.norm is not None or projection.op.times != 1:
        return None
    layout = attention_layout(op.attention, projection.sizes)
    if layout != attention_layout(op.attention, projection.inputs[0].sizes) or not layout:
        return None
    return replace(node, op=replace(op, linear=projection.op.linear), inputs=(*projection.inputs, *rest))


def fold_residual_into_attention(node: Node, users: UserCounts) -> Node | None:
    """x + A x = (A + I) x among channels; y + v A^T among positions

    The residual is added inside a matrix product.
    """
    if node.op != ops.Elementwise("sum") or len(node.inputs) != 2:
        return None
    for attended, other in (node.inputs, node.inputs[::-1]):
        op = _open_attention(attended, users)
        if op is None or other.sizes != attended.sizes:
            continue
        if not _is_among_channels(attended, op):
            return replace(attended, inputs=(*attended.inputs, other))
        if other is attended.inputs[0]:
            return replace(attended, op=replace(op, identity=op.identity + 1.0))
    return None


def merge_residuals(node: Node, users: UserCounts) -> Node | None:
    """(y + x) + (A + I) x = y + (A + 2 I) x

    Both residuals are added inside the product of channel attention.
    """
    if node.op != ops.Elementwise("sum") or len(node.inputs) != 2:
        return None
    for first, second in (node.inputs, node.inputs[::-1]):
        op = _open_attention(second, users)
        has_same_residual = isinstance(first.op, ops.AttentionOp) and first.inputs[1:] == second.inputs
        if op is not None and _is_among_channels(second, op) and has_same_residual and has_one_user(first, users):
            both = replace(second, op=replace(op, identity=op.identity + 1.0))
            return replace(first, inputs=(first.inputs[0], both))
    return None


def _open_attention(node: Node, users: UserCounts) -> ops.AttentionOp | None:
    """The attention of a node that can take a residual: compiled, of one map on S, with one user, without a residual."""
    op = node.op
    if not isinstance(op, ops.AttentionOp) or len(node.inputs) != 1 or not has_one_user(node, users):
        return None
    return op if attention_layout(op.attention, node.inputs[0].sizes)[:1] == "C" else None


def _is_among_channels(node: Node, op: ops.AttentionOp) -> bool:
    return "C" in node.sizes.axes_of(op.attention.tokens)


def split_qkv(node: Node, users: UserCounts) -> Node | None:
    """attention(q | k | v) = softmax(q k^T) v among the channels of heads

    Each part is read without a concatenation.
    """
    op, (x, *_) = node.op, node.inputs
    if not isinstance(op, ops.AttentionOp) or not heads_layout(op.attention, x.sizes):
        return None
    width, one = op.attention.width, node.sizes
    parts = tuple(Node(ops.Slice("C", i * width, width), (x,), one, node.source_path) for i in range(3))
    return Node(ops.ChannelAttentionOp(op.attention), parts, one, node.source_path)


FACTOR_OPS: dict[ops.Op, ops.Combination] = {
    ops.Gate(): "product",
    ops.Elementwise("product"): "product",
    ops.Elementwise("quotient"): "quotient",
}
"""A map and its factor, and how it goes onto the map."""


def move_factor_to_scores(node: Node, users: UserCounts) -> Node | None:
    """(a_i q_i) . (b_j k_j) = a_i b_j (q_i . k_j)

    A factor of each channel is applied to the scores instead of the feature map.
    """
    op = node.op
    if not isinstance(op, ops.ChannelAttentionOp) or op.attention.similarity != "dot":
        return None
    for side, x in enumerate(node.inputs[:2]):
        kind = FACTOR_OPS.get(x.op)
        if kind is None or len(x.inputs) != 2 or not has_one_user(x, users):
            continue
        inner, factor = x.inputs
        if inner.sizes == x.sizes and factor.sizes == x.sizes.replace(dict.fromkeys(x.sizes.spatial_axes, 1)):
            return _replace_input(node, side, inner, (factor,), replace(op, factor_ops=(*op.factor_ops, (side, kind))))
    return None


def move_gain_to_scores(node: Node, users: UserCounts) -> Node | None:
    """(w_h q_h) . k_h = w_h (q_h . k_h)

    One w, or one for each head, is a temperature of the scores.
    """
    op = node.op
    if not isinstance(op, ops.ChannelAttentionOp) or op.attention.similarity != "dot":
        return None
    for side, x in enumerate(node.inputs[:2]):
        if found := _gain_of(x, op.attention.heads, users):
            gain, inner = found
            return _replace_input(node, side, inner, (), replace(op, gains=(*op.gains, gain)))
    return None


def _replace_input(node: Node, side: int, inner: Node, factors: tuple[Node, ...], op: ops.ChannelAttentionOp) -> Node:
    """The attention with `inner` in place of the input that held a factor."""
    inputs = (*node.inputs[:side], inner, *node.inputs[side + 1 :], *factors)
    return replace(node, op=op, inputs=inputs)


def _gain_of(x: Node, heads: int, users: UserCounts) -> tuple[Gain, Node] | None:
    """The gain of q or k and what it is applied to: the gain of the whole, or of the heads on S."""
    if isinstance(x.op, ops.LearnedScale) and has_one_user(x, users):
        return x.op.gain, x.inputs[0]
    chain = [x]
    while len(chain) < 3 and len(chain[-1].inputs) == 1:
        chain.append(chain[-1].inputs[0])
    if len(chain) < 3 or chain[2].op != ops.ChannelSplit(heads) or not all(has_one_user(node, users) for node in chain):
        return None
    unstack, gain = (node.op.call if isinstance(node.op, ops.OpaqueCall) else None for node in chain[:2])
    if not isinstance(unstack, Unstack) or not isinstance(gain, Gain) or unstack.groups != 1:
        return None
    return (gain, chain[2].inputs[0]) if gain.each == "S" and gain.bias is None else None
