"""Emitters of average pooling, nearest upsampling, and means of convolutions."""

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional as F

from ...kernels import separable_resample as bands
from ...kernels.convolution import plain_conv
from ...kernels.dispatch import contiguous_fast_path
from ...kernels.grouped_conv import ConvArguments
from .. import ir as ops
from ..graph import Node
from .convolution import conv_layout
from .emitter import Emitter
from .params import ReadParams, conv_params


def emit_avg_pool(op: ops.AvgPool, node: Node, emitter: Emitter) -> None:
    """Means over windows. On the CPU a large map takes one matrix product for each axis."""
    (x,), module = node.inputs, op.window
    if x.sizes["S"] != 1 or len(module.windows) != 2:
        emitter.call(node, module, [emitter.register(x, x.sizes.axes)], module.sizes.axes)
        return
    kernel, stride = ([window[i] for window in module.windows] for i in (0, 1))
    border, borders, layout = [k // 2 for k in kernel], module.count_include_pad, f"C{x.sizes.spatial_axes}"

    def run(x: Tensor) -> Tensor:
        if not contiguous_fast_path(x):
            return F.avg_pool2d(x, kernel, stride, border, count_include_pad=borders)
        sides = zip(x.shape[2:], kernel, stride, strict=True)
        return bands.apply_matrices(x, [None if k == 1 else bands.mean_matrix(n, k, s, borders, x.dtype) for n, k, s in sides])

    emitter.call(node, run, [emitter.register(x, layout)], layout, newly_allocated=True)


def emit_nearest_upsample(op: ops.NearestUpsample, node: Node, emitter: Emitter) -> None:
    """Nearest neighbour upsampling to the size of the second input."""
    (gate, x), space = node.inputs, node.sizes.spatial_axes
    layout = f"C{space}" if gate.sizes["S"] == 1 else f"SC{space}"
    whole, lead, axes = f"C{space}" if x.sizes["S"] == 1 else f"SC{space}", len(layout) - len(space), op.axes

    def run(gate: Tensor, x: Tensor) -> Tensor:
        given, there = gate.shape[1 + lead :], x.shape[x.dim() - len(space) :]
        sides = [there[i] if axis in axes else given[i] for i, axis in enumerate(space)]
        if contiguous_fast_path(x) and gate.is_contiguous():
            return bands.upsample_nearest(gate, sides)
        flat = gate.flatten(1, lead)
        return F.interpolate(flat, sides, mode="nearest").view(gate.shape[: 1 + lead] + tuple(sides))

    emitter.call(node, run, [emitter.register(gate, layout), emitter.register(x, whole)], layout, newly_allocated=True)


def emit_conv_mean(op: ops.ConvMean, node: Node, emitter: Emitter) -> None:
    """On the CPU the means under each kernel tap, then the weights; elsewhere the convolution and its mean."""
    (x,), conv = node.inputs, op.window.conv
    layout = conv_layout(op.window, x.sizes)
    params = conv_params(conv, op.window.others)
    arguments = ConvArguments(conv.stride, conv.padding, conv.dilation, conv.groups)
    mean_of_taps, dims, mean = _mean_of_taps(op, params), tuple(range(2, 2 + len(conv.along))), op.by == "mean"

    def run(x: Tensor) -> Tensor:
        if contiguous_fast_path(x, 0):
            return mean_of_taps(x)
        y = plain_conv(x, *params(), arguments)
        return y.mean(dims) if mean else y.sum(dims)

    emitter.call(node, run, [emitter.register(x, layout)], conv.mix or conv.each or layout[0], newly_allocated=True)


def _mean_of_taps(op: ops.ConvMean, params: ReadParams) -> Callable[[Tensor], Tensor]:
    """sum_t w_t s_t + b, where s_t is the mean or sum of x under tap t: (B, C, ...) -> (B, C')."""
    conv, mean = op.window.conv, op.by == "mean"
    stride, padding, dilation, groups = conv.stride, conv.padding, conv.dilation, conv.groups
    kernel = tuple(conv.weight.shape[-len(conv.along) :])

    def run(x: Tensor) -> Tensor:
        weight, bias = params()
        matrices, places = bands.tap_matrices(tuple(x.shape[2:]), kernel, stride, padding, dilation, mean, x.dtype)
        x = x.flatten(2) if len(matrices) < len(kernel) else x
        y = _apply_weights(bands.apply_matrices(x, matrices).flatten(2), weight.flatten(1), groups)
        return y if bias is None else y + (bias if mean else bias * places)

    return run


def _apply_weights(s_BCT: Tensor, weight: Tensor, groups: int) -> Tensor:
    """The sum over the channels of a group and the taps: weight (out, C / groups x T) -> (B, out)."""
    if groups == 1:
        return F.linear(s_BCT.flatten(1), weight)
    if groups == len(weight) == s_BCT.shape[1]:
        return (s_BCT * weight).sum(2)
    s_BG1T = s_BCT.reshape(len(s_BCT), groups, 1, -1)
    return (s_BG1T @ weight.view(groups, -1, weight.shape[1]).transpose(1, 2)).flatten(1)
