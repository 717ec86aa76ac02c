"""Rewrite rules that merge linear operations and fold norms into them."""

from dataclasses import replace

from ...operators.conv import Conv
from .. import ir as ops
from ..codegen.convolution import conv_layout
from ..codegen.linear import norm_layout
from ..graph import Node
from .rewrite import UserCounts, has_one_user


def fold_norm_into_linear(node: Node, users: UserCounts) -> Node | None:
    """s (W x + b) + t = (s W) x + (s b + t)

    s and t are the scale and shift of the norm. They are constants, because the norm is in eval mode.
    """
    (linear,) = node.inputs
    if not isinstance(node.op, ops.Norm) or not isinstance(linear.op, ops.LinearOp):
        return None
    if linear.op.norm is not None or not has_one_user(linear, users):
        return None
    if node.op.norm.each != "C" or linear.sizes["S"] != 1:
        return None
    return replace(linear, op=replace(linear.op, norm=node.op.norm))


def fold_norm_into_conv(node: Node, users: UserCounts) -> Node | None:
    """s (w * x) + t = (s w) * x + t

    s and t are the scale and shift of the norm. They are constants, because the norm is in eval mode.
    """
    (conv_node,) = node.inputs
    if not isinstance(node.op, ops.Norm) or not isinstance(conv_node.op, ops.ConvOp):
        return None
    layout = conv_layout(conv_node.op, conv_node.inputs[0].sizes)
    if conv_node.op.norm is not None or not layout or not has_one_user(conv_node, users):
        return None
    output_layout = (conv_node.op.conv.mix or conv_node.op.conv.each or layout[0]) + layout[1:]
    if len(node.op.norm.each) != 1 or norm_layout(node.op.norm, output_layout, conv_node.sizes)[1:] != output_layout[1:]:
        return None
    return replace(conv_node, op=replace(conv_node.op, norm=node.op.norm))


def merge_convs(node: Node, users: UserCounts) -> Node | None:
    """w_1 * x + w_2 * x + ... = (w_1 + w_2 + ...) * x

    The smaller kernels are padded to the size of the largest one.
    """
    convs = [x.op for x in node.inputs if isinstance(x.op, ops.ConvOp)]
    if node.op != ops.Elementwise("sum") or len(convs) < len(node.inputs) or len({x.inputs for x in node.inputs}) > 1:
        return None
    if any(op.norm is not None or op.others for op in convs) or not all(has_one_user(x, users) for x in node.inputs):
        return None
    first, *rest = sorted((op.conv for op in convs), key=lambda conv: conv.weight.numel(), reverse=True)
    (x,) = node.inputs[0].inputs
    if not all(_is_centred_in(conv, first) for conv in rest) or not conv_layout(ops.ConvOp(first), x.sizes):
        return None
    path = next(other.source_path for other in node.inputs if isinstance(other.op, ops.ConvOp) and other.op.conv is first)
    return Node(ops.ConvOp(first, others=tuple(rest)), (x,), node.sizes, path)


def _is_centred_in(conv: Conv, larger: Conv) -> bool:
    """True if the convolutions differ only in kernel size and padding, and the kernel of `conv` is centred in the larger."""
    names = ("along", "mix", "each", "stride", "dilation", "groups")
    same = all(getattr(conv, name) == getattr(larger, name) for name in names)
    axes = len(conv.along)
    if not same or conv.weight.shape[:-axes] != larger.weight.shape[:-axes]:
        return False
    differences = [b - a for a, b in zip(conv.weight.shape[-axes:], larger.weight.shape[-axes:], strict=True)]
    border = [b - a for a, b in zip(conv.padding, larger.padding, strict=True)]
    return all(k >= 0 and 2 * p == k * conv.dilation for k, p in zip(differences, border, strict=True))
