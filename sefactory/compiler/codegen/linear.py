"""Emitters of linear layers and batch norms."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ...kernels.dispatch import is_eager, is_exporting
from ...operators.norm import BatchNorm
from ...shapes import Sizes
from .. import ir as ops
from ..graph import Node
from .emitter import Emitter
from .layout import strip_unit_axes
from .params import fold_norm, read_norm_params, read_params, scale_bias

FOLD_MIN_ELEMENTS = 2**16
"""Values of a map on the CPU from which folding a norm into weights costs less than a pass over the map."""
FOLD_MIN_ELEMENTS_ELSEWHERE = 2**20
"""The same on other devices, where folding is one kernel launch more than the norm."""


def emit_linear(op: ops.LinearOp, node: Node, emitter: Emitter) -> None:
    """W x + b over C: a matrix product of descriptors, a 1 x 1 convolution of feature maps."""
    (x,) = node.inputs
    axes = strip_unit_axes(emitter.layout(x), x.sizes)
    if op.linear.groups == 1 and axes in ("", "C", "SC"):
        layout = axes or "C"
        emitter.call(node, _matrix_product(op), [emitter.register(x, layout)], layout, newly_allocated=True)
    elif x.sizes["S"] == 1 and len(x.sizes.spatial_axes) == 2:
        current = emitter.layout(x)
        layout = current if current[:1] == "C" and len(current) == 3 else f"C{x.sizes.spatial_axes}"
        emitter.call(node, _pointwise_convolution(op), [emitter.register(x, layout)], layout, newly_allocated=True)
    else:
        register = emitter.register(x, x.sizes.axes)
        register = emitter.unary(_module_call(op), register)
        emitter.record(node, register, x.sizes.axes)


def _matrix_product(op: ops.LinearOp) -> Callable[[Tensor], Tensor]:
    params, times = read_params(op.linear), op.times

    def run(x: Tensor) -> Tensor:
        weight, bias = params()
        if bias is None or times == 1:
            return F.linear(x, weight, bias)
        return torch.addmm(bias, x, weight.t(), beta=times) if x.dim() == 2 else F.linear(x, weight, bias * times)

    return run if op.norm is None else compose(run, eval_norm(op.norm))


def _pointwise_convolution(op: ops.LinearOp) -> Callable[[Tensor], Tensor]:
    """Returns x -> conv1x1(x), a linear layer of the channels as a convolution; its factors are folded into the weight."""
    params = scale_bias(read_params(op.linear), op.times)
    shape, groups = (*op.linear.weight.shape, 1, 1), op.linear.groups

    def run(x: Tensor) -> Tensor:
        weight, bias = params()
        return F.conv2d(x, weight.view(*shape), bias, groups=groups)

    if op.norm is None:
        return run
    folded_params = fold_norm(params, op.norm)

    def run_folded(x: Tensor) -> Tensor:
        weight, bias = folded_params()
        return F.conv2d(x, weight.view(*shape), bias, groups=groups)

    return fold_if_large(run_folded, compose(run, eval_norm(op.norm)))


def _module_call(op: ops.LinearOp) -> Callable[[Tensor], Tensor]:
    """The module, and what a rewrite rule has added to it."""
    linear, more = op.linear, op.times - 1

    def run(x: Tensor) -> Tensor:
        y: Tensor = linear(x)
        bias = linear.bias
        return y if bias is None or not more else y + (bias * more).view(-1, *[1] * (y.dim() - 3))

    return run if op.norm is None else compose(run, op.norm)


def eval_norm(norm: BatchNorm) -> Callable[[Tensor], Tensor]:
    """The batch norm in eval mode, of (N, C, ...)."""
    params, momentum, eps = read_norm_params(norm), norm.momentum, norm.eps

    def run(x: Tensor) -> Tensor:
        weight, bias, mean, var = params()
        return torch.batch_norm(x, weight, bias, mean, var, False, momentum, eps, True)

    return run


def emit_norm(op: ops.Norm, node: Node, emitter: Emitter) -> None:
    """Batch normalisation. Its channel axis comes first in the layout."""
    (x,) = node.inputs
    layout = norm_layout(op.norm, emitter.layout(x), x.sizes)
    if layout:
        emitter.norms.append(op.norm)
        emitter.call(node, _norm_function(op.norm), [emitter.register(x, layout)], layout, newly_allocated=True)
    else:
        emitter.call(node, op.norm, [emitter.register(x, x.sizes.axes)], x.sizes.axes)


def count_batches(norms: Sequence[BatchNorm]) -> Callable[[Any], None]:
    """The step that adds one to the batch counters of all norms in training mode, in one call."""

    def step(registers: Any) -> None:
        seen = [norm.num_batches_tracked for norm in norms if norm.training]
        if len(seen) > 1 and all(is_eager(n) for n in seen):
            torch._foreach_add_(seen, 1)
        else:
            for n in seen:
                n.add_(1)

    return step


def _norm_function(module: BatchNorm) -> Callable[[Tensor], Tensor]:
    params, momentum, eps, evaluated = read_norm_params(module), module.momentum, module.eps, eval_norm(module)

    def run(x: Tensor) -> Tensor:
        if not module.training:
            return evaluated(x)
        weight, bias, mean, var = params()
        return F.batch_norm(x, mean, var, weight, bias, True, momentum, eps)

    return run


def norm_layout(module: BatchNorm, layout: str, sizes: Sizes) -> str:
    """The layout with the channel axis of the norm first. Empty if the norm has several, or another axis comes first."""
    axis = module.each
    if len(axis) != 1:
        return ""
    if sizes[axis] == 1:
        first = layout[:1] if layout and sizes[layout[0]] == 1 else ""
        return axis + layout[len(first) :].replace(axis, "")
    while layout and sizes[layout[0]] == 1:
        layout = layout[1:]
    return layout if layout[:1] == axis else ""


def compose(first: Callable[[Tensor], Tensor], second: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """x -> second(first(x))."""
    return lambda x: second(first(x))


def fold_if_large(large: Callable[[Tensor], Tensor], small: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Folds the norm where the feature map is large. An exported program keeps the norm for its readers."""
    return lambda x: large(x) if not is_exporting() and is_worth_folding(x) else small(x)


def is_worth_folding(x: Tensor) -> bool:
    """True if changing the weights takes less time than a pass over the map."""
    return x.numel() > (FOLD_MIN_ELEMENTS if x.is_cpu else FOLD_MIN_ELEMENTS_ELSEWHERE)
