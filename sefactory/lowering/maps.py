"""Learned maps and norms as steps: the widest layout without views, and one operation of torch each."""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from ..axes import Sizes
from ..kernels import compiled
from ..kernels.columns import PLANES
from ..kernels.convolution import better
from ..kernels.convolution import convolve as faster
from ..kernels.guard import eligible, exporting, folds
from ..kernels.normalisation import batch_norm
from ..operators.conv import CONVOLUTIONS, Conv
from ..operators.norm import BatchNorm
from . import operations as ops
from .graph import Value
from .layout import bare
from .program import Writer
from .terms import folded, held, held_norm, of_window, times_bias

WORTH = 2**15
"""Values of a map from which a compiler is given a faster form of a convolution, which is a call to it."""
PLAIN = 2**12
"""The same for few planes, in training in whatever form: for one convolution that a compiler sees, it lays all maps with
channels last, and statistics over C and their gates, with backward, take 2.5 times as long."""
WIDE = 5
"""Width of a window in groups up to which a compiler is given such a form. With channels last, as a compiler lays maps for its
own convolutions, 7 x 7 of 128 channels in 8 groups takes 163 ms with backward, and 176 so; 9 x 9 in 16 groups 94, and 326."""
FOLD = 2**16
"""Values of a map from which folding a norm into weights costs less than a pass over the map."""


def dense(op: ops.Dense, value: Value, w: Writer) -> None:
    """W x + b over C: of descriptors as a matrix product, of maps as a 1 x 1 convolution."""
    (x,) = value.inputs
    axes = bare(w.layout(x), x.sizes)
    if op.linear.groups == 1 and axes in ("", "C", "SC"):
        layout = axes or "C"
        w.made(value, w.unary(_product(op), w.slot(x, layout)), layout, fresh=True)
    elif x.sizes["S"] == 1 and len(x.sizes.space) == 2:
        made = w.layout(x)
        layout = made if made[:1] == "C" and len(made) == 3 else f"C{x.sizes.space}"
        w.made(value, w.unary(_pointwise_convolution(op, laid_apart(x, w)), w.slot(x, layout)), layout, fresh=True)
    else:
        slot = w.slot(x, x.sizes.axes)
        slot = w.unary(_plainly(op), slot)
        w.made(value, slot, x.sizes.axes)


def _product(op: ops.Dense) -> Callable[[Tensor], Tensor]:
    terms = times_bias(held(op.linear), op.times)

    def run(x: Tensor) -> Tensor:
        return F.linear(x, *terms())

    return run if op.norm is None else _then(run, fixed_norm(op.norm))


def _pointwise_convolution(op: ops.Dense, apart: bool) -> Callable[[Tensor], Tensor]:
    terms = times_bias(held(op.linear), op.times)
    shape, groups = (*op.linear.weight.shape, 1, 1), op.linear.groups

    def run(x: Tensor) -> Tensor:
        weight, bias = terms()
        return F.conv2d(compiled.apart(x) if apart else x, weight.view(*shape), bias, groups=groups)

    if op.norm is None:
        return run
    both = folded(terms, op.norm)

    def at_once(x: Tensor) -> Tensor:
        weight, bias = both()
        return F.conv2d(compiled.apart(x) if apart else x, weight.view(*shape), bias, groups=groups)

    return _by_size(at_once, _then(run, fixed_norm(op.norm)))


def _plainly(op: ops.Dense) -> Callable[[Tensor], Tensor]:
    """The plain module, and what a rule has put into it."""
    linear, more = op.linear, op.times - 1

    def run(x: Tensor) -> Tensor:
        y: Tensor = linear(x)
        bias = linear.bias
        return y if bias is None or not more else y + (bias * more).view(-1, *[1] * (y.dim() - 3))

    return run if op.norm is None else _then(run, op.norm)


def window(op: ops.Window, value: Value, w: Writer) -> None:
    """A convolution whose window axes stand last and whose channels are one axis; any other as the plain tree does it."""
    (x,) = value.inputs
    layout = window_layout(op, x.sizes)
    if not layout:
        run = op.conv if op.norm is None else _then(op.conv, op.norm)
        w.made(value, w.unary(run, w.slot(x, x.sizes.axes)), x.sizes.axes)
        return
    if len(layout) > 1 + len(op.conv.along):
        _shared(op, value, layout, w)
        return
    run = _convolution(op, apart=laid_apart(x, w))
    out = (op.conv.mix or op.conv.each or layout[0]) + layout[1:]
    w.made(value, w.unary(run, w.slot(x, layout)), out, fresh=True)


def laid_apart(x: Value, w: Writer) -> bool:
    """Whether a compiler lays a map for a convolution alone: the block's own, or one that others read in another layout."""
    return isinstance(x.op, ops.Source) or any(isinstance(reader.op, ops.Plain | ops.Cut) for reader in w.readers[id(x)])


def _shared(op: ops.Window, value: Value, layout: str, w: Writer) -> None:
    """Of maps that share one window: those before its axes go with the batch, those behind are one axis with a kernel of 1."""
    (x,) = value.inputs
    first = 1 + layout[1:].index(op.conv.along[0])  # behind the batch
    last = first + len(op.conv.along)
    behind = len(layout) > last
    run = _convolution(op, behind)

    def batched(t: Tensor) -> Tensor:
        y = run(t.reshape(-1, 1, *t.shape[first:last], *([t.shape[last:].numel()] if behind else [])))
        return y.view(t.shape[:first] + y.shape[2 : 2 + last - first] + t.shape[last:])

    w.made(value, w.unary(batched, w.slot(x, layout[1:])), layout[1:], fresh=True)


def window_layout(op: ops.Window, sizes: Sizes) -> str:
    """The layout a convolution takes, its channels first; empty where it has several axes of them.

    Before and behind the axes of the window stand those that share its weights, where there is one channel.
    """
    conv = op.conv
    channels = conv.each + conv.mix
    shared = "".join(axis for axis in conv.shared if sizes[axis] != 1)
    along = conv.along  # as written, also where that turns the map: a plane 7 high and 128 wide takes half the time
    if len(channels) > 1:
        return ""
    axis = channels or next((axis for axis in sizes.axes if axis not in along and sizes[axis] == 1), "1" if shared else "")
    if not shared:
        return axis and axis + along
    one = all(sizes[axis] == 1 for axis in channels) and conv.weight.shape[len(conv.each)] == 1
    places = [sizes.axes.index(axis) for axis in along]
    before = "".join(axis for axis in shared if sizes.axes.index(axis) < min(places))
    behind = "".join(axis for axis in shared if sizes.axes.index(axis) > max(places))
    if not one or len(before + behind) < len(shared) or (behind and (conv.stride > 1 or len(along) == len(CONVOLUTIONS))):
        return ""
    return axis + before + along + behind


def _convolution(op: ops.Window, behind: bool = False, apart: bool = False) -> Callable[[Tensor], Tensor]:
    """The convolution; with one more axis behind the window's, along which it has a kernel of 1."""
    conv = op.conv
    convolve, padding = CONVOLUTIONS[len(conv.along) + behind], conv.padding + (0,) * behind
    stride, dilation, groups = conv.stride, conv.dilation, conv.groups
    terms, repaired = of_window(conv, op.others, behind), _repaired(conv)
    few = groups == 1 and math.prod(conv.weight.shape[: -len(conv.along)]) <= PLANES
    given, worth = few or (repaired and conv.weight.shape[-1] <= WIDE), PLAIN if few else WORTH

    def convolved(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        x = x.contiguous() if repaired else x
        if (few or repaired) and eligible(x, 0):
            return faster(x, weight, bias, stride, padding, dilation, groups)
        if given and compiled.wanted(x, worth) and x.is_contiguous():
            if (few and torch.is_grad_enabled()) or better(x, weight, stride, padding, dilation, groups):
                return compiled.convolve(x, weight, bias, stride, padding, dilation, groups)
        return convolve(compiled.apart(x) if apart else x, weight, bias, stride, padding, dilation, groups)

    def run(x: Tensor) -> Tensor:
        return convolved(x, *terms())

    if op.norm is None:
        return run
    both = folded(terms, op.norm)
    return _by_size(lambda x: convolved(x, *both()), _then(run, fixed_norm(op.norm)))


def _repaired(conv: Conv) -> bool:
    """Whether there may be a faster form: few planes, or groups of several channels."""
    depthwise = conv.groups > 1 and not conv.mix
    return not depthwise and (conv.groups > 1 or math.prod(conv.weight.shape[: -len(conv.along)]) <= 2)


def fixed_norm(norm: BatchNorm) -> Callable[[Tensor], Tensor]:
    """The norm in eval mode, of (N, C, ...)."""
    terms, momentum, eps = held_norm(norm), norm.momentum, norm.eps

    def run(x: Tensor) -> Tensor:
        weight, bias, mean, var = terms()
        return torch.batch_norm(x, weight, bias, mean, var, False, momentum, eps, True)

    return run


def norm(op: ops.Norm, value: Value, w: Writer) -> None:
    """Batch normalisation over one axis of channels, which stands first."""
    (x,) = value.inputs
    layout = norm_layout(op.norm, w.layout(x), x.sizes)
    if layout:
        w.made(value, w.unary(_normed(op.norm), w.slot(x, layout)), layout, fresh=True)
    else:
        w.made(value, w.unary(op.norm, w.slot(x, x.sizes.axes)), x.sizes.axes)


def _normed(module: BatchNorm) -> Callable[[Tensor], Tensor]:
    terms, momentum, eps, evaluated = held_norm(module), module.momentum, module.eps, fixed_norm(module)

    def run(x: Tensor) -> Tensor:
        if not module.training:
            return evaluated(x)
        module.num_batches_tracked.add_(1)
        weight, bias, mean, var = terms()
        normed = batch_norm if eligible(x) else F.batch_norm
        return normed(x, mean, var, weight, bias, True, momentum, eps)

    return run


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
    """An exported program keeps the norm, for those who read it."""
    return lambda x: large(x) if folds(x, FOLD) and not exporting() else small(x)
