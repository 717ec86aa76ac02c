"""Convolutions for which oneDNN has no fast kernel, written as others for which it has one (docs/kernels.md, convolution)."""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional as F

from .dispatch import LANES
from .few_channel_conv import few_channel_conv, few_channel_gradients, is_few_channel_conv
from .grouped_conv import (
    ConvArguments,
    Gradients,
    Mask,
    channels_last_gradients,
    conv_gradients,
    decomposed_gradients,
    decomposed_weight_gradients,
    groups_to_fill,
    merge_groups,
    split_merged_gradient,
)
from .im2col import im2col_conv, im2col_gradients, is_small_conv

CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
MIN_NUMEL = 1 << 13  # values of a map above which merged groups are faster
MIN_NUMEL_BACKWARD = 1 << 15  # values of a map above which the backwards in Python are faster
MAX_NARROW_CHANNELS = {False: 8, True: 16}  # channels of a group up to which one is with AVX-512, without dilation and with
MAX_REACH = {8: 4, 16: 6}  # columns beyond a border, by lanes, up to which oneDNN has a depthwise kernel
MERGED_CHANNELS = 8  # channels of a group up to which groups are merged, also where a register holds more


def plain_conv(x: Tensor, weight: Tensor, bias: Tensor | None, arguments: ConvArguments) -> Tensor:
    """ATen's convolution of a map with 1, 2 or 3 axes."""
    return CONVOLUTIONS[x.dim() - 2](x, weight, bias, *arguments)


def padded_conv(x: Tensor, weight: Tensor, bias: Tensor | None, arguments: ConvArguments) -> Tensor:
    """ATen's convolution of stride 1 of a map with padded columns."""
    _, (rows, columns), dilation, groups = arguments
    return F.conv2d(F.pad(x, (columns, columns)), weight, bias, 1, (rows, 0), dilation, groups)


class Form(NamedTuple):
    """How a convolution and its gradients are computed; by default as ATen does."""

    convolve: Callable[[Tensor, Tensor, Tensor | None, ConvArguments], Tensor] = plain_conv
    gradients: Callable[[Tensor, Tensor, Tensor, ConvArguments, Mask], Gradients] = conv_gradients
    merged_groups: int = 1


def choose_form(x: Tensor, weight: Tensor, arguments: ConvArguments, lanes: int, trained: bool) -> Form:
    """The fastest form for registers of `lanes` values. `trained`: the weight has a gradient."""
    stride, padding, dilation, groups = arguments
    if stride == dilation == groups == 1:
        if is_few_channel_conv(x, weight, padding):
            return Form(few_channel_conv, few_channel_gradients)
        return Form(im2col_conv, im2col_gradients) if is_small_conv(x, weight, padding) else Form()
    if groups == 1 or prod(weight.shape[2:]) == 1:
        return Form()
    is_large = x.dim() == 4 and stride == 1 and x.numel() > MIN_NUMEL_BACKWARD
    decomposable = dilation > 1 and all(p % dilation == 0 for p in padding)
    if weight.shape[:2] == (groups, 1):
        reaches_far = padding[-1] > MAX_REACH.get(lanes, padding[-1])
        if not (is_large and (dilation == 1 or decomposable) and (reaches_far or trained)):
            return Form()
        return Form(padded_conv if reaches_far else plain_conv, decomposed_gradients if decomposable else conv_gradients)
    merged = _groups_to_merge(weight, groups, dilation, lanes, trained) if x.numel() > MIN_NUMEL else 1
    if is_large and trained and lanes == 8 and decomposable:
        return Form(gradients=decomposed_weight_gradients, merged_groups=merged)
    if is_large and trained and lanes == 16 and merged * weight.shape[1] < MAX_NARROW_CHANNELS[dilation > 1]:
        return Form(gradients=channels_last_gradients, merged_groups=merged)
    return Form(merged_groups=merged)


def _groups_to_merge(weight: Tensor, groups: int, dilation: int, lanes: int, trained: bool) -> int:
    """How many groups become one. With AVX-512 groups of 4 channels only for their weight's gradient without dilation."""
    merged = groups_to_fill(weight, groups, MERGED_CHANNELS) if lanes else 1
    return merged if lanes == 8 or merged > 2 or (trained and dilation == 1) else 1


def _form_of(x: Tensor, weight: Tensor, arguments: ConvArguments, trained: bool) -> Form:
    """`choose_form` on this processor."""
    if not LANES or x.dim() > 4 or x.dtype != torch.float32:
        return Form()
    return choose_form(x, weight, arguments, LANES, trained)


def has_faster_form(x: Tensor, weight: Tensor, arguments: ConvArguments) -> bool:
    """True if the fastest form is another than ATen's."""
    return _form_of(x, weight, arguments, torch.is_grad_enabled()) != Form()


def convolve(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: Sequence[int], dilation: int, groups: int
) -> Tensor:
    """F.conv1d, F.conv2d or F.conv3d in the form that is fastest on this processor.

    x: (N, C, ...), weight: (out, C / groups, kernel...), bias: (out,), padding: one number for each axis.
    """
    arguments = ConvArguments(stride, tuple(padding), dilation, groups)
    form = _form_of(x, weight, arguments, weight.requires_grad and torch.is_grad_enabled())
    return run_form(form, x, weight, bias, arguments)


def run_form(form: Form, x: Tensor, weight: Tensor, bias: Tensor | None, arguments: ConvArguments) -> Tensor:
    """The convolution in that form."""
    if form.merged_groups > 1:
        weight, arguments = _merge(weight, arguments, form.merged_groups)
    if form.convolve is im2col_conv or (form.convolve, form.gradients) == (plain_conv, conv_gradients):
        return form.convolve(x, weight, bias, arguments)  # differentiated by autograd
    y: Tensor = CustomConv.apply(x, weight, bias, arguments, form)  # type: ignore[no-untyped-call]
    return y


class CustomConv(Function):
    """A convolution with the gradients of its form; in a double backward with those of ATen. Saves x and the weight."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, arguments: ConvArguments, form: Form) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.arguments, ctx.gradients = arguments, form.gradients
        return form.convolve(x, weight, bias, arguments)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        gradients = conv_gradients if torch.is_grad_enabled() else ctx.gradients
        return *gradients(g, x, weight, ctx.arguments, ctx.needs_input_grad[:3]), None, None


def convolve_backward(g: Tensor, x: Tensor, weight: Tensor, arguments: ConvArguments) -> Gradients:
    """The gradients of `convolve` for the input, the weight and the bias."""
    form = _form_of(x, weight, arguments, trained=True)
    merged_weight, merged = _merge(weight, arguments, form.merged_groups)
    gx, gw, gb = form.gradients(g, x, merged_weight, merged, (True, True, True))
    return gx, gw if gw is None else split_merged_gradient(gw, weight.shape, arguments.groups, form.merged_groups), gb


def _merge(weight: Tensor, arguments: ConvArguments, merged: int) -> tuple[Tensor, ConvArguments]:
    """The weight and arguments of the convolution whose groups are `merged` groups each."""
    return merge_groups(weight, arguments.groups, merged), arguments._replace(groups=arguments.groups // merged)
