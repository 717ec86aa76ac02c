"""How each operation of the graph becomes steps: in which layout it takes its inputs, and which function of torch it is."""

from collections.abc import Callable
from functools import reduce
from typing import Any

import torch
from torch import Tensor
from torch.compiler import is_compiling

from ...kernels.dispatch import cpu_fast_path
from .. import ir as ops
from ..graph import Node
from .activations import FUNCTIONS, GRADIENT_FROM_RESULT, IN_PLACE, PAIRS
from .attention import attend
from .attention_parts import attend_parts
from .convolution import window
from .gated_reduction import gate, reduction, select
from .layout import broadcast_layout, non_unit_axes
from .linear import count_batches, dense, norm
from .pooling import gather
from .program import Emitter, Program, Slots
from .resample import coarsened, enlarged, window_mean
from .slicing import concat, cut, join, part, split
from .stacks import mean_of_sum, stack_place, stacked, weighted_sum


def program(root: Node, frozen: bool = False) -> Program:
    """The program of a graph: it takes (B, C, ...) and leaves (B, C', ...)."""
    writer = Emitter(root, frozen)
    for value in writer.values:
        if id(value) not in writer.layouts:
            WRITERS[type(value.op)](value.op, value, writer)
    sizes = root.sizes
    if writer.norms:
        writer.steps.insert(0, (count_batches(writer.norms), ()))
    return writer.program(writer.slot(root, f"C{sizes.grid}"))


def _source(op: ops.Source, value: Node, w: Emitter) -> None:
    w.made(value, w.new(), f"C{value.sizes.grid}")


def _plain(op: ops.OpaqueCall, value: Node, w: Emitter) -> None:
    axes = value.sizes.axes
    w.made(value, w.nary(op.call, [w.slot(x, axes) for x in value.inputs]), axes)


def _combined(op: ops.Elementwise, value: Node, w: Emitter) -> None:
    layout = broadcast_layout([(w.layout(x), x.sizes) for x in value.inputs], value.sizes.axes)
    pair = PAIRS[op.kind]
    whole = [set(non_unit_axes(x.sizes)) for x in value.inputs]
    grown = op.kind == "sum" and all(later <= whole[0] | whole[1] for later in whole[2:])
    again: Callable[[Tensor, Tensor], Tensor] = Tensor.add_ if grown else pair

    def run(*maps: Tensor) -> Tensor:
        return reduce(again, maps[2:], pair(maps[0], maps[1]))

    slots = [w.slot(x, layout) for x in value.inputs]
    if len(slots) == 2:
        into = next((i for i, x in enumerate(value.inputs) if x.sizes == value.sizes and w.own(x)), None)
        slot = w.binary(pair if into is None else _into(op.kind, into), *slots)
    else:
        slot = w.nary(run, slots)
    w.made(value, slot, layout, fresh=op.kind == "sum")


def _into(kind: str, place: int) -> Callable[[Tensor, Tensor], Tensor]:
    """The pair written into one of the two, where that is large and has no gradient."""
    pair = PAIRS[kind]
    if kind not in ("sum", "product"):
        return pair
    over: Callable[[Tensor, Tensor], Tensor] = Tensor.add_ if kind == "sum" else Tensor.mul_

    def run(a: Tensor, b: Tensor) -> Tensor:
        if torch.is_grad_enabled() or a.dtype != b.dtype or not _is_large(a if place == 0 else b):
            return pair(a, b)
        return over(a, b) if place == 0 else over(b, a)

    return run


def _is_large(x: Tensor) -> bool:
    return cpu_fast_path(x) and x.is_contiguous()


def _scaled(op: ops.ScalarAffine, value: Node, w: Emitter) -> None:
    (x,) = value.inputs
    scale, shift = op.scale, op.shift

    def run(t: Tensor) -> Tensor:
        t = t * scale if scale != 1 else t
        return t + shift if shift else t

    w.made(value, w.unary(run, w.slot(x)), w.layout(x), fresh=scale != 1 or shift != 0)


def _gained(op: ops.LearnedScale, value: Node, w: Emitter) -> None:
    (x,) = value.inputs
    gain = op.gain
    w.made(value, w.unary(lambda t: t * gain.weight, w.slot(x)), w.layout(x))


def _pointwise(op: ops.Pointwise, value: Node, w: Emitter) -> None:
    (x,) = value.inputs
    run = _overwriting(op.name) if w.own(x) and op.name in IN_PLACE else FUNCTIONS[op.name]
    place, source, layout = stack_place(value, w.layout(x), w), w.slot(x), w.layout(x)
    if place is not None:
        o = w.new()

        def step(slots: Slots) -> None:
            t = slots[source]
            y = place.output(slots, t, t.shape, layout)
            slots[o] = run(t) if y is None else torch.clamp(t, min=0, out=y)

        w.put(step, source)
        w.made(value, o, layout)
        return
    w.made(value, w.unary(run, w.slot(x)), w.layout(x), fresh=w.frozen)


def _overwriting(name: str) -> Callable[[Tensor], Tensor]:
    """The function in place, where autograd allows it without a copy: not on a view, whose base would be copied."""
    plain, in_place, always = FUNCTIONS[name], IN_PLACE[name], name in GRADIENT_FROM_RESULT

    def run(x: Tensor) -> Tensor:
        if torch.is_grad_enabled() and (not always or is_compiling() or x._is_view()):
            return plain(x)
        return in_place(x)

    return run


def _softmax(op: ops.Softmax, value: Node, w: Emitter) -> None:
    (x,) = value.inputs
    layout = w.layout(x) if op.over in w.layout(x) else x.sizes.axes
    dim = 1 + layout.index(op.over)
    w.made(value, w.unary(lambda t: t.softmax(dim), w.slot(x, layout)), layout)


WRITERS: dict[type[ops.Op], Callable[[Any, Node, Emitter], None]] = {
    ops.Source: _source,
    ops.OpaqueCall: _plain,
    ops.Reduce: reduction,
    ops.Variance: reduction,
    ops.WeightedPool: gather,
    ops.Stack: stacked,
    ops.Concat: concat,
    ops.Elementwise: _combined,
    ops.ScalarAffine: _scaled,
    ops.LearnedScale: _gained,
    ops.LinearOp: dense,
    ops.ConvOp: window,
    ops.ConvMean: window_mean,
    ops.AvgPool: coarsened,
    ops.NearestUpsample: enlarged,
    ops.Norm: norm,
    ops.Pointwise: _pointwise,
    ops.Softmax: _softmax,
    ops.Slice: part,
    ops.ChannelSplit: cut,
    ops.Attend: attend,
    ops.AttendParts: attend_parts,
    ops.Gate: gate,
    ops.MeanOfSum: mean_of_sum,
    ops.WeightedSum: weighted_sum,
    ops.Select: select,
    ops.ConcatPositions: join,
    ops.SplitPositions: split,
}
