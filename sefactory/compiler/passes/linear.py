"""Linear maps one after the other, or side by side, become one."""

from dataclasses import replace

from ...operators.conv import Conv
from .. import ir as ops
from ..codegen.convolution import window_layout
from ..codegen.linear import norm_layout
from ..graph import Node
from .rewrite import Uses, alone


def norm_into_linear(value: Node, used: Uses) -> Node | None:
    """s (W x + b) + t = (s W) x + (s b + t), where the norm is fixed."""
    (dense,) = value.inputs
    if not isinstance(value.op, ops.Norm) or not isinstance(dense.op, ops.LinearOp):
        return None
    if dense.op.norm is not None or not alone(dense, used):
        return None
    if value.op.norm.each != "C" or dense.sizes["S"] != 1 or len(dense.sizes.spatial_axes) != 2:
        return None
    return replace(dense, op=replace(dense.op, norm=value.op.norm))


def norm_into_window(value: Node, used: Uses) -> Node | None:
    """s (w * x) + t = (s w) * x + t, where the norm is fixed."""
    (window,) = value.inputs
    if not isinstance(value.op, ops.Norm) or not isinstance(window.op, ops.ConvOp):
        return None
    layout = window_layout(window.op, window.inputs[0].sizes)
    if window.op.norm is not None or not layout or not alone(window, used):
        return None
    made = (window.op.conv.mix or window.op.conv.each or layout[0]) + layout[1:]
    if len(value.op.norm.each) != 1 or norm_layout(value.op.norm, made, window.sizes)[1:] != made[1:]:
        return None
    return replace(window, op=replace(window.op, norm=value.op.norm))


def windows_together(value: Node, used: Uses) -> Node | None:
    """w_1 * x + w_2 * x + ... = (w_1 + w_2 + ...) * x, each in the middle of the widest."""
    windows = [x.op for x in value.inputs if isinstance(x.op, ops.ConvOp)]
    if value.op != ops.Elementwise("sum") or len(windows) < len(value.inputs) or len({x.inputs for x in value.inputs}) > 1:
        return None
    if any(op.norm is not None or op.others for op in windows) or not all(alone(x, used) for x in value.inputs):
        return None
    first, *rest = sorted((op.conv for op in windows), key=lambda conv: conv.weight.numel(), reverse=True)
    if not all(_inside(conv, first) for conv in rest) or not window_layout(ops.ConvOp(first), value.inputs[0].inputs[0].sizes):
        return None
    return Node(ops.ConvOp(first, others=tuple(rest)), value.inputs[0].inputs, value.sizes, value.place)


def _inside(conv: Conv, wide: Conv) -> bool:
    """Whether both see the same places of the same channels, and one no further than the other."""
    same = all(getattr(conv, name) == getattr(wide, name) for name in ("along", "mix", "each", "stride", "dilation", "groups"))
    axes = len(conv.along)
    if not same or conv.weight.shape[:-axes] != wide.weight.shape[:-axes]:
        return False
    apart = [b - a for a, b in zip(conv.weight.shape[-axes:], wide.weight.shape[-axes:], strict=True)]
    border = [b - a for a, b in zip(conv.padding, wide.padding, strict=True)]
    return all(k >= 0 and 2 * p == k * conv.dilation for k, p in zip(apart, border, strict=True))
