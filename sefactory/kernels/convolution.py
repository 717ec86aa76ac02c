"""Convolutions for which oneDNN has no fast kernel, written as others for which it has one (docs/kernels.md, convolution)."""

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from .few_channel_conv import few_channel_conv, few_channel_gradients, is_few_channel_conv
from .grouped_conv import (
    Gradients,
    Mask,
    channels_last_gradients,
    conv_custom_backward,
    conv_gradients,
    decomposed_weight_gradients,
    depthwise_conv,
    groups_to_fill,
    merge_groups,
    split_merged_gradient,
)
from .im2col import im2col_conv, im2col_gradients, is_small_conv

CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
LANES = {"AVX2": 8, "AVX512": 16}.get(torch.backends.cpu.get_cpu_capability(), 0)
"""float32 values of a register. 0: plain convolutions only."""
MIN_NUMEL = 1 << 13  # values of a map from which merged groups are faster
MIN_NUMEL_BACKWARD = 1 << 15  # values of a map from which the backwards in Python are faster
MAX_NARROW_CHANNELS = {False: 8, True: 16}  # channels of a group up to which one is with AVX-512, without dilation and with
MAX_REACH = {8: 4, 16: 6}  # columns beyond a border, by lanes, up to which oneDNN has a depthwise kernel
MERGED_CHANNELS = 8  # channels of a group up to which groups are merged, also where a register holds more


class Form(NamedTuple):
    """How a convolution is computed; by default as ATen does."""

    few_channels: bool = False
    """Neighbouring rows as channels."""
    im2col: bool = False
    depthwise: bool = False
    """One window for each channel, with padded columns or a decomposed gradient."""
    merged_groups: int = 1
    custom_backward: bool = False
    """The weight's gradient with channels last, or decomposed."""
    dilation_decomposed: bool = False


def choose_form(
    x: Tensor, weight: Tensor, stride: int, padding: tuple[int, ...], dilation: int, groups: int, lanes: int, trained: bool
) -> Form:
    """The fastest form for registers of `lanes` values. `trained`: the weight has a gradient."""
    if stride == dilation == groups == 1:
        if is_few_channel_conv(x, weight, padding):
            return Form(few_channels=True)
        return Form(im2col=is_small_conv(x, weight, padding))
    if groups == 1 or prod(weight.shape[2:]) == 1:
        return Form()
    decomposable = dilation > 1 and all(p % dilation == 0 for p in padding)
    is_large = x.dim() == 4 and stride == 1 and x.numel() > MIN_NUMEL_BACKWARD
    if weight.shape[:2] == (groups, 1):
        helps = reaches_far(padding, lanes) or (trained and decomposable)
        return Form(depthwise=is_large and (dilation == 1 or decomposable) and helps)
    merged = _groups_to_merge(weight, groups, dilation, lanes, trained) if x.numel() > MIN_NUMEL else 1
    if not is_large:
        return Form(merged_groups=merged)
    decomposed = lanes == 8 and decomposable
    is_narrow = lanes == 16 and merged * weight.shape[1] < MAX_NARROW_CHANNELS[dilation > 1]
    return Form(merged_groups=merged, custom_backward=decomposed or is_narrow, dilation_decomposed=decomposed)


def _groups_to_merge(weight: Tensor, groups: int, dilation: int, lanes: int, trained: bool) -> int:
    """How many groups become one. With AVX-512 groups of 4 channels only for their weight's gradient without dilation."""
    merged = groups_to_fill(weight, groups, MERGED_CHANNELS) if lanes else 1
    return merged if lanes == 8 or merged > 2 or (trained and dilation == 1) else 1


def reaches_far(padding: Sequence[int], lanes: int) -> bool:
    """True if a depthwise window reaches further beyond the border than oneDNN has kernels for."""
    return padding[-1] > MAX_REACH.get(lanes, padding[-1])


def _form_of(
    x: Tensor, weight: Tensor, stride: int, padding: tuple[int, ...], dilation: int, groups: int, trained: bool
) -> Form:
    """`choose_form` on this processor."""
    if not LANES or x.dim() > 4 or x.dtype != torch.float32:
        return Form()
    return choose_form(x, weight, stride, padding, dilation, groups, LANES, trained)


def has_faster_form(x: Tensor, weight: Tensor, stride: int, padding: tuple[int, ...], dilation: int, groups: int) -> bool:
    """True if the fastest form is another than ATen's. Without gradients another backward does not count."""
    form = _form_of(x, weight, stride, padding, dilation, groups, torch.is_grad_enabled())
    return form._replace(custom_backward=False, dilation_decomposed=False) != Form() or (
        form.custom_backward and torch.is_grad_enabled()
    )


def convolve(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: Sequence[int], dilation: int, groups: int
) -> Tensor:
    """F.conv1d, F.conv2d or F.conv3d in the form that is fastest on this processor.

    x: (N, C, ...), weight: (out, C / groups, kernel...), bias: (out,), padding: one number for each axis.
    """
    padding = tuple(padding)
    form = _form_of(x, weight, stride, padding, dilation, groups, weight.requires_grad and torch.is_grad_enabled())
    return run_form(form, x, weight, bias, stride, padding, dilation, groups)


def run_form(
    form: Form,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: int,
    padding: tuple[int, ...],
    dilation: int,
    groups: int,
) -> Tensor:
    """The convolution in that form."""
    if form.few_channels:
        return few_channel_conv(x, weight, bias, LANES)
    if form.im2col:
        return im2col_conv(x, weight, bias, padding)
    if form.depthwise:
        return depthwise_conv(x, weight, bias, padding, dilation, reaches_far(padding, LANES))
    weight, groups = merge_groups(weight, groups, form.merged_groups), groups // form.merged_groups
    if form.custom_backward and weight.requires_grad and torch.is_grad_enabled():
        return conv_custom_backward(x, weight, bias, stride, padding, dilation, groups, form.dilation_decomposed)
    return CONVOLUTIONS[x.dim() - 2](x, weight, bias, stride, padding, dilation, groups)


def convolve_backward(
    g: Tensor, x: Tensor, weight: Tensor, stride: int, padding: Sequence[int], dilation: int, groups: int, needed: Mask
) -> Gradients:
    """The gradients of `convolve` for the input, the weight and the bias; None for those that are not `needed`."""
    padding = tuple(padding)
    form = _form_of(x, weight, stride, padding, dilation, groups, trained=True)
    if form.few_channels:
        return few_channel_gradients(g, x, weight, LANES, needed)
    if form.im2col:
        return im2col_gradients(g, x, weight, padding, needed)
    merged = merge_groups(weight, groups, form.merged_groups)
    function = conv_gradients
    if form.custom_backward:
        function = decomposed_weight_gradients if form.dilation_decomposed else channels_last_gradients
    gx, gw, gb = function(g, x, merged, stride, padding, dilation, groups // form.merged_groups, needed)
    return gx, gw if gw is None else split_merged_gradient(gw, weight.shape, groups, form.merged_groups), gb
