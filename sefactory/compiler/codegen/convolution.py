"""Emitters of convolutions: torch's own, or a faster form on the CPU, in a layout without permutation if there is one."""

import math
from collections.abc import Callable

from torch import Tensor

from ...kernels import convolution, custom_ops
from ...kernels.dispatch import contiguous_fast_path
from ...kernels.im2col import MAX_CHANNELS
from ...operators.conv import Conv
from ...shapes import Sizes
from .. import ir as ops
from ..graph import Node
from .emitter import Emitter
from .linear import compose, eval_norm, fold_if_large
from .params import conv_params, fold_norm


def emit_conv(op: ops.ConvOp, node: Node, emitter: Emitter) -> None:
    """A convolution with one channel axis. Any other runs as the module tree does it."""
    (x,) = node.inputs
    layout = conv_layout(op, x.sizes)
    if not layout:
        run = op.conv if op.norm is None else compose(op.conv, op.norm)
        emitter.call(node, run, [emitter.register(x, x.sizes.axes)], x.sizes.axes)
        return
    if len(layout) > 1 + len(op.conv.along) and _has_one_channel(op.conv, x.sizes):
        run, layout = _shared_kernel(op, layout), layout[1:]
        out = layout
    else:
        run, out = _conv_with_norm(op, layout[1:]), (op.conv.mix or op.conv.each or layout[0]) + layout[1:]
    emitter.call(node, run, [emitter.register(x, layout)], out, newly_allocated=True)


def _shared_kernel(op: ops.ConvOp, layout: str) -> Callable[[Tensor], Tensor]:
    """One kernel for several maps: axes before the kernel's join the batch, axes after it are one with a kernel size of 1."""
    first = 1 + layout[1:].index(op.conv.along[0])  # behind the batch
    last = first + len(op.conv.along)
    behind = layout[last:][:1]
    run = _conv_with_norm(op, op.conv.along + behind)

    def batched(t: Tensor) -> Tensor:
        y = run(t.reshape(-1, 1, *t.shape[first:last], *([t.shape[last:].numel()] if behind else [])))
        return y.view(t.shape[:first] + y.shape[2 : 2 + last - first] + t.shape[last:])

    return batched


def conv_layout(op: ops.ConvOp, sizes: Sizes) -> str:
    """The layout that a convolution takes, its channels first. Empty if it has several channel axes.

    Before and after the axes of the kernel are those that share its weights, if there is one channel. With more channels
    they are spatial axes, along which the kernel has size 1.
    """
    conv = op.conv
    channels = conv.each + conv.mix
    shared = "".join(axis for axis in conv.batch_axes if sizes[axis] != 1)
    along = conv.along  # as written, also where that turns the map: a plane 7 high and 128 wide takes half the time
    if len(channels) > 1:
        return ""
    axis = channels or next((axis for axis in sizes.axes if axis not in along and sizes[axis] == 1), "1" if shared else "")
    if not shared:
        return axis and axis + along
    if not _has_one_channel(conv, sizes):
        return _grid_layout(conv, axis, shared, sizes)
    places = [sizes.axes.index(axis) for axis in along]
    before = "".join(axis for axis in shared if sizes.axes.index(axis) < min(places))
    behind = "".join(axis for axis in shared if sizes.axes.index(axis) > max(places))
    if len(before + behind) < len(shared) or (behind and (conv.stride > 1 or len(along) == len(convolution.CONVOLUTIONS))):
        return ""
    return axis + before + along + behind


def _has_one_channel(conv: Conv, sizes: Sizes) -> bool:
    """True if a convolution has one input and one output channel."""
    return all(sizes[axis] == 1 for axis in conv.each + conv.mix) and conv.weight.shape[len(conv.each)] == 1


def _grid_layout(conv: Conv, axis: str, shared: str, sizes: Sizes) -> str:
    """The channels and the spatial axes, for a kernel along some of them (docs/kernels.md, Compiler)."""
    space = "".join(a for a in sizes.spatial_axes if a in conv.along or a in shared)
    inside = set(shared + conv.along) <= set(sizes.spatial_axes) and [a for a in space if a in conv.along] == list(conv.along)
    return axis + space if inside and axis in conv.each + conv.mix and axis not in space and conv.stride == 1 else ""


def _conv_with_norm(op: ops.ConvOp, axes: str) -> Callable[[Tensor], Tensor]:
    """The convolution over some axes, with its norm folded. The kernel has size 1 along axes that are not its own."""
    params, convolved = conv_params(op.conv, op.others, axes), _conv_function(op.conv, axes)

    def run(x: Tensor) -> Tensor:
        return convolved(x, *params())

    if op.norm is None:
        return run
    folded_params = fold_norm(params, op.norm)
    return fold_if_large(lambda x: convolved(x, *folded_params()), compose(run, eval_norm(op.norm)))


def _conv_function(conv: Conv, axes: str) -> Callable[[Tensor, Tensor, Tensor | None], Tensor]:
    """Of a map, a weight and a bias: torch's convolution, or a faster form of it."""
    around = dict(zip(conv.along, conv.padding, strict=True))
    padding = tuple(around.get(axis, 0) for axis in axes)
    stride, dilation, groups = conv.stride, conv.dilation, conv.groups
    each, repaired = _is_depthwise(conv), _has_faster_form(conv)
    few = groups == 1 and math.prod(conv.weight.shape[: -len(conv.along)]) <= MAX_CHANNELS

    def run(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        x = x.contiguous() if repaired and not each else x
        if (few or repaired) and contiguous_fast_path(x, 0):
            return convolution.convolve(x, weight, bias, stride, padding, dilation, groups)
        return custom_ops.convolve(x, weight, bias, stride, padding, dilation, groups)

    return run


def _is_depthwise(conv: Conv) -> bool:
    """True if each channel has a kernel of its own."""
    return conv.groups > 1 and not conv.mix and conv.weight.shape[len(conv.each)] == 1


def _has_faster_form(conv: Conv) -> bool:
    """True if the CPU may have a faster form: few channels, groups of several channels, or a wide depthwise kernel."""
    if _is_depthwise(conv):
        return conv.dilation > 1 or max(conv.padding) > min(convolution.MAX_REACH.values())
    if conv.groups > 1:
        return bool(conv.mix)
    return math.prod(conv.weight.shape[: -len(conv.along)]) <= 2
