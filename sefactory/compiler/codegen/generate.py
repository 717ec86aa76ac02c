"""Generates the program of a graph: the table of emitters, and those of elementwise operations."""

from collections.abc import Callable
from functools import partial, reduce
from typing import Any

import torch
from torch import Tensor
from torch.compiler import is_compiling

from ...kernels.dispatch import contiguous_fast_path
from .. import ir as ops
from ..graph import Node
from .activations import FUNCTIONS, GRADIENT_FROM_RESULT, IN_PLACE, PAIRS
from .attention import emit_attention
from .channel_attention import emit_channel_attention
from .convolution import emit_conv
from .emitter import EmittedStep, Emitter, Program, TensorFunction
from .gated_reduction import emit_gate, emit_reduction, emit_select
from .layout import broadcast_layout, non_unit_axes
from .linear import count_batches, emit_linear, emit_norm
from .pooling import emit_weighted_pool
from .resample import emit_avg_pool, emit_conv_mean, emit_nearest_upsample
from .slicing import emit_channel_split, emit_concat, emit_concat_positions, emit_slice, emit_split_positions
from .stacks import emit_mean_of_sum, emit_stack, emit_weighted_sum, step_into_stack


def generate(root: Node, frozen: bool = False) -> Program:
    """The program of a graph, (B, C, ...) -> (B, C', ...). `frozen`: weights are constants and there are no gradients."""
    emitter = Emitter(root, frozen)
    for node in emitter.nodes:
        emitter.source_path = node.source_path
        if id(node) not in emitter.layouts:
            EMITTERS[type(node.op)](node.op, node, emitter)
    if emitter.norms:
        counted = [node.source_path for node in emitter.nodes if isinstance(node.op, ops.Norm)]
        emitter.steps.insert(0, EmittedStep(count_batches(emitter.norms), (), tuple(counted)))
    return emitter.program(emitter.register(root, f"C{root.sizes.grid}"))


def _emit_source(op: ops.Source, node: Node, emitter: Emitter) -> None:
    emitter.record(node, emitter.new_register(), f"C{node.sizes.grid}")


def _emit_opaque(op: ops.OpaqueCall, node: Node, emitter: Emitter) -> None:
    axes = node.sizes.axes
    emitter.call(node, op.call, [emitter.register(x, axes) for x in node.inputs], axes)


def _emit_elementwise(op: ops.Elementwise, node: Node, emitter: Emitter) -> None:
    """The inputs combined in their common layout; sums of more than two add in place."""
    layout = broadcast_layout([(emitter.layout(x), x.sizes) for x in node.inputs], node.sizes.axes)
    pair = PAIRS[op.kind]
    if len(node.inputs) == 2:
        into = next((i for i, x in enumerate(node.inputs) if x.sizes == node.sizes and emitter.may_overwrite(x)), None)
        run = pair if into is None else _in_place_pair(op.kind, into)
    else:
        first, second, *others = [set(non_unit_axes(x.sizes)) for x in node.inputs]
        has_grown = op.kind == "sum" and all(axes <= first | second for axes in others)
        run = _left_fold(pair, Tensor.add_ if has_grown else pair)
    emitter.call(node, run, [emitter.register(x, layout) for x in node.inputs], layout, newly_allocated=op.kind == "sum")


def _left_fold(first: TensorFunction, again: TensorFunction) -> TensorFunction:
    return lambda a, b, *others: reduce(again, others, first(a, b))


def _in_place_pair(kind: str, place: int) -> Callable[[Tensor, Tensor], Tensor]:
    """The operation in place on one of its two inputs, if that is large and there are no gradients."""
    pair = PAIRS[kind]
    if kind not in ("sum", "product"):
        return pair
    over: Callable[[Tensor, Tensor], Tensor] = Tensor.add_ if kind == "sum" else Tensor.mul_

    def run(a: Tensor, b: Tensor) -> Tensor:
        if torch.is_grad_enabled() or a.dtype != b.dtype or not contiguous_fast_path(a if place == 0 else b):
            return pair(a, b)
        return over(a, b) if place == 0 else over(b, a)

    return run


def _emit_scalar_affine(op: ops.ScalarAffine, node: Node, emitter: Emitter) -> None:
    (x,) = node.inputs
    scale, shift = op.scale, op.shift

    def run(t: Tensor) -> Tensor:
        t = t * scale if scale != 1 else t
        return t + shift if shift else t

    emitter.call(node, run, [emitter.register(x)], emitter.layout(x), newly_allocated=scale != 1 or shift != 0)


def _emit_learned_scale(op: ops.LearnedScale, node: Node, emitter: Emitter) -> None:
    (x,) = node.inputs
    gain = op.gain
    emitter.call(node, lambda t: t * gain.weight, [emitter.register(x)], emitter.layout(x))


def _emit_pointwise(op: ops.Pointwise, node: Node, emitter: Emitter) -> None:
    """A function of one tensor, in place or into a stack where that is possible. Only relu is written into a stack."""
    (x,) = node.inputs
    run = _overwriting(op.name) if emitter.may_overwrite(x) and op.name in IN_PLACE else FUNCTIONS[op.name]
    o, layout = emitter.new_register(), emitter.layout(x)
    emitter.emit(step_into_stack(node, o, layout, emitter, run, partial(torch.clamp, min=0)), emitter.register(x))
    emitter.record(node, o, layout, newly_allocated=emitter.frozen)


def _overwriting(name: str) -> Callable[[Tensor], Tensor]:
    """The function in place, where autograd allows it without a copy. On a view autograd would copy the base."""
    plain, in_place, always = FUNCTIONS[name], IN_PLACE[name], name in GRADIENT_FROM_RESULT

    def run(x: Tensor) -> Tensor:
        if torch.is_grad_enabled() and (not always or is_compiling() or x._is_view()):
            return plain(x)
        return in_place(x)

    return run


def _emit_softmax(op: ops.Softmax, node: Node, emitter: Emitter) -> None:
    (x,) = node.inputs
    layout = emitter.layout(x) if op.over in emitter.layout(x) else x.sizes.axes
    dim = 1 + layout.index(op.over)
    emitter.call(node, lambda t: t.softmax(dim), [emitter.register(x, layout)], layout)


EMITTERS: dict[type[ops.Op], Callable[[Any, Node, Emitter], None]] = {
    ops.Source: _emit_source,
    ops.OpaqueCall: _emit_opaque,
    ops.Reduce: emit_reduction,
    ops.Variance: emit_reduction,
    ops.WeightedPool: emit_weighted_pool,
    ops.Stack: emit_stack,
    ops.Concat: emit_concat,
    ops.Elementwise: _emit_elementwise,
    ops.ScalarAffine: _emit_scalar_affine,
    ops.LearnedScale: _emit_learned_scale,
    ops.LinearOp: emit_linear,
    ops.ConvOp: emit_conv,
    ops.ConvMean: emit_conv_mean,
    ops.AvgPool: emit_avg_pool,
    ops.NearestUpsample: emit_nearest_upsample,
    ops.Norm: emit_norm,
    ops.Pointwise: _emit_pointwise,
    ops.Softmax: _emit_softmax,
    ops.Slice: emit_slice,
    ops.ChannelSplit: emit_channel_split,
    ops.AttentionOp: emit_attention,
    ops.ChannelAttentionOp: emit_channel_attention,
    ops.Gate: emit_gate,
    ops.MeanOfSum: emit_mean_of_sum,
    ops.WeightedSum: emit_weighted_sum,
    ops.Select: emit_select,
    ops.ConcatPositions: emit_concat_positions,
    ops.SplitPositions: emit_split_positions,
}
