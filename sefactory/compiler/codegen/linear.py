"""Emitters of linear layers and batch norms."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.compiler import is_exporting
from torch.nn import functional as F

from ...kernels.batch_norm import batch_norm
from ...kernels.convolution import CONVOLUTIONS
from ...kernels.dispatch import contiguous_fast_path, is_eager
from ...operators.norm import BatchNorm, batch_norm_error
from ...shapes import Sizes
from .. import ir as ops
from ..graph import Node
from .emitter import Emitter
from .layout import strip_unit_axes
from .params import ReadParams, fold_norm, read_norm_params, read_params, scale_bias

FOLD_MIN_ELEMENTS = 2**16
"""Values of a map on the CPU above which folding a norm into weights costs less than a pass over the map."""
FOLD_MIN_ELEMENTS_ELSEWHERE = 2**20
"""The same on other devices, where folding is one kernel launch more than the norm."""


def emit_linear(op: ops.LinearOp, node: Node, emitter: Emitter) -> None:
    """W x + b over C: a matrix product of descriptors, a 1 x 1 convolution of a feature map."""
    (x,) = node.inputs
    current, whole = emitter.layout(x), f"C{x.sizes.spatial_axes}"
    axes = strip_unit_axes(current, x.sizes)
    if op.linear.groups == 1 and axes in ("", "C", "SC"):
        layout = axes or "C"
        emitter.call(node, _matrix_product(op), [emitter.register(x, layout)], layout, newly_allocated=True)
    elif x.sizes["S"] == 1:
        layout = current if current[:1] == "C" and len(current) == len(whole) else whole
        run = _pointwise_convolution(op, len(whole) - 1)
        emitter.call(node, run, [emitter.register(x, layout)], layout, newly_allocated=True)
    else:
        emitter.call(node, op.linear, [emitter.register(x, x.sizes.axes)], x.sizes.axes)


def _matrix_product(op: ops.LinearOp) -> Callable[[Tensor], Tensor]:
    params, times = read_params(op.linear), op.times

    def run(x: Tensor) -> Tensor:
        weight, bias = params()
        if bias is None or times == 1:
            return F.linear(x, weight, bias)
        return torch.addmm(bias, x, weight.t(), beta=times) if x.dim() == 2 else F.linear(x, weight, bias * times)

    return run if op.norm is None else compose(run, eval_norm(op.norm))


def _pointwise_convolution(op: ops.LinearOp, dims: int) -> Callable[[Tensor], Tensor]:
    """Returns x -> W x + b as a convolution of kernel size 1 over so many axes, with the norm folded where x is large."""
    params = scale_bias(read_params(op.linear), op.times)
    shape, groups, convolution = (*op.linear.weight.shape, *[1] * dims), op.linear.groups, CONVOLUTIONS[dims]

    def convolve(x: Tensor, params: ReadParams) -> Tensor:
        weight, bias = params()
        return convolution(x, weight.view(*shape), bias, groups=groups)

    if op.norm is None:
        return lambda x: convolve(x, params)
    folded_params, norm = fold_norm(params, op.norm), eval_norm(op.norm)
    return fold_if_large(lambda x: convolve(x, folded_params), lambda x: norm(convolve(x, params)))


def eval_norm(norm: BatchNorm) -> Callable[[Tensor], Tensor]:
    """The batch norm in eval mode, of (N, C, ...)."""
    params, momentum, eps = read_norm_params(norm), norm.momentum or 0.0, norm.eps

    def run(x: Tensor) -> Tensor:
        weight, bias, mean, var = params()
        return torch.batch_norm(x, weight, bias, mean, var, False, momentum, eps, True)

    return run


def emit_norm(op: ops.Norm, node: Node, emitter: Emitter) -> None:
    """Batch normalisation. Its channel axis comes first in the layout."""
    (x,) = node.inputs
    layout = norm_layout(op.norm, emitter.layout(x), x.sizes)
    if layout:
        emitter.call(node, _norm_function(op.norm, emitter.norms), [emitter.register(x, layout)], layout, newly_allocated=True)
    else:
        emitter.call(node, op.norm, [emitter.register(x, x.sizes.axes)], x.sizes.axes)


def count_batches(norms: Sequence[BatchNorm]) -> Callable[[Any], None]:
    """The step that adds the uses of each norm in training mode to its batch counter, in one call.

    A counter is in that call once, since a device may add to all counters at the same time.
    """
    uses = [*Counter(norms).items()]

    def step(registers: Any) -> None:
        trained = [(norm.num_batches_tracked, count) for norm, count in uses if norm.training]
        counted = [(n, count) for n, count in trained if n is not None]
        if len(counted) > 1 and all(is_eager(n) for n, _ in counted):
            torch._foreach_add_([n for n, _ in counted], [count for _, count in counted])
        else:
            for n, count in counted:
                n.add_(count)

    return step


def _norm_function(module: BatchNorm, counted: list[BatchNorm]) -> Callable[[Tensor], Tensor]:
    """The batch norm of (N, C, ...) in its current mode, which is added to `counted` unless it counts its batches itself."""
    params, momentum, eps = read_norm_params(module), module.momentum, module.eps
    if momentum is None or module.is_synchronized:
        return module.normalize
    counted.append(module)

    def run(x: Tensor) -> Tensor:
        weight, bias, mean, var = params()
        try:
            if module.training and contiguous_fast_path(x):
                return batch_norm(x, mean, var, weight, bias, momentum, eps)
            return F.batch_norm(x, mean, var, weight, bias, module.training, momentum, eps)
        except ValueError as error:
            raise batch_norm_error(error, module, x) from None

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
