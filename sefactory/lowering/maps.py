"""Learned maps and norms as steps: the widest layout without views, and one operation of torch each."""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from ..axes import Sizes
from ..kernels.convolution import convolve as faster
from ..kernels.guard import eligible
from ..kernels.normalisation import batch_norm
from ..operators.conv import CONVOLUTIONS, Conv
from ..operators.norm import BatchNorm
from . import graph as g
from .activations import OVERWRITING
from .graph import Value
from .layout import bare
from .program import Writer

LEAST = 2**13
"""Values of a map from which a convolution may have a faster form."""
FOLD = 2**16
"""Values of a map from which folding a norm into weights costs less than a pass over the map."""


def dense(op: g.Dense, value: Value, w: Writer) -> None:
    """W x + b over C: of descriptors as a matrix product, of maps as a 1 x 1 convolution."""
    (x,) = value.inputs
    axes = bare(w.layout(x), x.sizes)
    if op.linear.groups == 1 and axes in ("", "C", "SC"):
        layout = axes or "C"
        w.made(value, w.unary(_product(op), w.slot(x, layout)), layout, fresh=True)
    elif x.sizes["S"] == 1 and len(x.sizes.space) == 2:
        layout = f"C{x.sizes.space}"
        w.made(value, w.unary(_pointwise_convolution(op), w.slot(x, layout)), layout, fresh=True)
    else:
        slot = w.slot(x, x.sizes.axes)
        slot = w.unary(_plainly(op), slot)
        w.made(value, slot, x.sizes.axes)


def _term(op: g.Dense) -> Tensor | None:
    bias = op.linear.bias
    return bias if bias is None or op.times == 1 else bias * op.times


def _product(op: g.Dense) -> Callable[[Tensor], Tensor]:
    linear = op.linear

    def run(x: Tensor) -> Tensor:
        return F.linear(x, linear.weight, _term(op))

    return run if op.norm is None else _then(run, fixed_norm(op.norm))


def _pointwise_convolution(op: g.Dense) -> Callable[[Tensor], Tensor]:
    linear = op.linear
    shape, groups = (*linear.weight.shape, 1, 1), linear.groups

    def run(x: Tensor) -> Tensor:
        return F.conv2d(x, linear.weight.view(shape), _term(op), groups=groups)

    if op.norm is None:
        return run
    fixed = op.norm

    def folded(x: Tensor) -> Tensor:
        weight, term = fold(linear.weight, _term(op), fixed)
        return F.conv2d(x, weight.view(shape), term, groups=groups)

    return _by_size(folded, _then(run, fixed_norm(fixed)))


def _plainly(op: g.Dense) -> Callable[[Tensor], Tensor]:
    """The plain module, and what a rule has put into it."""
    linear, more = op.linear, op.times - 1

    def run(x: Tensor) -> Tensor:
        y: Tensor = linear(x)
        bias = linear.bias
        return y if bias is None or not more else y + (bias * more).view(-1, *[1] * (y.dim() - 3))

    return run if op.norm is None else _then(run, op.norm)


def window(op: g.Window, value: Value, w: Writer) -> None:
    """A convolution whose window axes stand last and whose channels are one axis; any other as the plain tree does it."""
    (x,) = value.inputs
    layout = window_layout(op, x.sizes)
    if not layout:
        run = op.conv if op.norm is None else _then(op.conv, op.norm)
        w.made(value, w.unary(run, w.slot(x, x.sizes.axes)), x.sizes.axes)
        return
    run = _convolution(op, layout[1:])
    out = (op.conv.mix or op.conv.each or layout[0]) + layout[1:]
    w.made(value, w.unary(run, w.slot(x, layout)), out, fresh=True)


def window_layout(op: g.Window, sizes: Sizes) -> str:
    """The layout a convolution takes; empty where it has several axes of channels, or maps that share its weights."""
    conv = op.conv
    channels = conv.each + conv.mix
    shared = [axis for axis in conv.shared if sizes[axis] != 1]
    if shared or len(channels) > 1:
        return ""
    axis = channels or next((axis for axis in sizes.axes if axis not in conv.along and sizes[axis] == 1), "")
    return axis and axis + "".join(sorted(conv.along, key=sizes.axes.index))


def _convolution(op: g.Window, along: str) -> Callable[[Tensor], Tensor]:
    conv = op.conv
    convolve = CONVOLUTIONS[len(along)]
    lead = len(conv.weight.shape) - len(along)
    order = [conv.along.index(axis) for axis in along]
    turned = tuple(range(lead)) + tuple(lead + i for i in order) if order != sorted(order) else ()
    padding, stride, dilation, groups = tuple(conv.padding[i] for i in order), conv.stride, conv.dilation, conv.groups

    def weights() -> tuple[Tensor, Tensor | None]:
        weight: Tensor = conv.weight.permute(turned) if turned else conv.weight
        bias = conv.bias
        return (weight.unsqueeze(0) if lead == 1 else weight), (bias.flatten() if bias is not None and bias.dim() > 1 else bias)

    repaired = _repaired(conv)

    def convolved(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if repaired and eligible(x, LEAST):
            return faster(x, weight, bias, stride, padding, dilation, groups)
        return convolve(x, weight, bias, stride, padding, dilation, groups)

    def run(x: Tensor) -> Tensor:
        return convolved(x, *weights())

    if op.norm is None:
        return run
    fixed = op.norm

    def folded(x: Tensor) -> Tensor:
        return convolved(x, *fold(*weights(), fixed))

    return _by_size(folded, _then(run, fixed_norm(fixed)))


def _repaired(conv: Conv) -> bool:
    """Whether there may be a faster form: few planes, or groups of several channels."""
    depthwise = conv.groups > 1 and not conv.mix
    return not depthwise and (conv.groups > 1 or math.prod(conv.weight.shape[: -len(conv.along)]) <= 2)


def fold(weight: Tensor, bias: Tensor | None, norm: BatchNorm) -> tuple[Tensor, Tensor]:
    """s W and s b + t where the norm is s y + t: s = w / sqrt(var + eps), t = b - s mean; (out, ...)."""
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    term = norm.bias - norm.running_mean * scale
    folded = weight * scale.view(-1, *[1] * (weight.dim() - 1))
    return folded, term if bias is None else term + bias * scale


def fixed_norm(norm: BatchNorm) -> Callable[[Tensor], Tensor]:
    """The norm in eval mode, of (N, C, ...)."""
    momentum, eps = norm.momentum, norm.eps

    def run(x: Tensor) -> Tensor:
        return torch.batch_norm(x, norm.weight, norm.bias, norm.running_mean, norm.running_var, False, momentum, eps, True)

    return run


def norm(op: g.Norm, value: Value, w: Writer) -> None:
    """Batch normalisation over one axis of channels, which stands first."""
    (x,) = value.inputs
    module, layout = op.norm, norm_layout(op.norm, w.layout(x), x.sizes)
    overwrite = OVERWRITING.get(op.activation)
    if not layout:
        run = module if overwrite is None else _then(module, overwrite)
        w.made(value, w.unary(run, w.slot(x, x.sizes.axes)), x.sizes.axes)
        return
    w.made(value, w.unary(_normed(module, overwrite), w.slot(x, layout)), layout, fresh=overwrite is None)


def _normed(module: BatchNorm, overwrite: Callable[[Tensor], Tensor] | None) -> Callable[[Tensor], Tensor]:
    momentum, eps = module.momentum, module.eps

    def run(x: Tensor) -> Tensor:
        training = module.training
        if training:
            module.num_batches_tracked.add_(1)
        normed = batch_norm if training and eligible(x) else F.batch_norm
        return normed(x, module.running_mean, module.running_var, module.weight, module.bias, training, momentum, eps)

    return run if overwrite is None else _then(run, overwrite)


def norm_layout(module: BatchNorm, layout: str, sizes: Sizes) -> str:
    """The layout in which the axis that the norm keeps stands first; empty where it keeps several, or others stand before."""
    axis = module.kept
    if len(axis) != 1:
        return ""
    if sizes[axis] == 1:
        first = layout[:1] if layout and sizes[layout[0]] == 1 else ""
        return axis + layout[len(first) :].replace(axis, "")
    while layout and sizes[layout[0]] == 1:
        layout = layout[1:]
    return layout if layout[:1] == axis else ""


def _then(first: Callable[[Tensor], Tensor], second: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda x: second(first(x))


def _by_size(large: Callable[[Tensor], Tensor], small: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda x: large(x) if x.numel() > FOLD else small(x)
