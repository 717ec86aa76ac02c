"""Convolutions that oneDNN has no good kernel for, written as ones that it has."""

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from .few_channel_conv import thin, thin_gradients, windowed_thinly
from .grouped_conv import (
    Gradients,
    Mask,
    fewest,
    gradients,
    gradients_last,
    merged,
    phased_gradients,
    unmerged,
    windowed_apart,
    windowed_each,
)
from .im2col import columned, columned_gradients, few

CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
LANES = {"AVX2": 8, "AVX512": 16}.get(torch.backends.cpu.get_cpu_capability(), 0)  # float32 values in a register; 0: plain
LEAST = 1 << 13  # values of a map from which merged groups gain
APART = 1 << 15  # values of a map from which a gradient of its own gains: with AVX-512 0.8 of the speed at 2 x 128 x 7 x 7
NARROW = {False: 8, True: 16}  # channels of a group up to which it does with AVX-512, without a dilation and with one
REACH = {8: 4, 16: 6}  # columns beyond a border, by lanes, up to which oneDNN has a kernel for windows of each channel
FILLED = 8  # channels of a group up to which groups are merged, also where a register holds more


class Form(NamedTuple):
    """How a convolution is written: rows as channels, windows as columns, so many groups merged, or the gradient apart."""

    thin: bool = False
    columns: bool = False
    together: int = 1
    apart: bool = False
    """The gradient is that of the dilation's phases where `phased`, else of channels that lie last."""
    phased: bool = False
    each: bool = False
    """A window of each channel: one that reaches far with its border laid out, the gradient that of the dilation's phases."""


def form(
    x: Tensor, weight: Tensor, stride: int, padding: tuple[int, ...], dilation: int, groups: int, lanes: int, trained: bool
) -> Form:
    """The form that is fastest where a register holds so many values; `trained` where the weight has a gradient."""
    if stride == dilation == groups == 1:
        if thin(x, weight, padding):
            return Form(thin=True)
        columns = few(x, weight, padding)
        return Form(columns=columns, apart=not columns and lanes == 8 and _few_planes(x, weight))
    if groups == 1 or prod(weight.shape[2:]) == 1:
        return Form()
    whole = dilation > 1 and all(p % dilation == 0 for p in padding)
    if weight.shape[:2] == (groups, 1):
        large = x.dim() == 4 and stride == 1 and x.numel() > LEAST and (dilation == 1 or whole)
        return Form(each=large and (far(padding, lanes) or (trained and whole)))
    together = _together(weight, groups, dilation, lanes, trained) if x.numel() > LEAST else 1
    if x.dim() != 4 or stride != 1 or x.numel() <= APART:
        return Form(together=together)
    phased = lanes == 8 and whole
    narrow = lanes == 16 and together * weight.shape[1] < NARROW[dilation > 1]
    return Form(together=together, apart=phased or narrow, phased=phased)


def _together(weight: Tensor, groups: int, dilation: int, lanes: int, trained: bool) -> int:
    """How many groups are merged. With AVX-512 groups of 4 channels are not, but where their weight's gradient gains."""
    together = fewest(weight, groups, FILLED) if lanes else 1
    return together if lanes == 8 or together > 2 or (trained and dilation == 1) else 1


def far(padding: Sequence[int], lanes: int) -> bool:
    """Whether a window of each channel reaches further beyond the border than oneDNN has kernels for."""
    return padding[-1] > REACH.get(lanes, padding[-1])


def _chosen(
    x: Tensor, weight: Tensor, stride: int, padding: tuple[int, ...], dilation: int, groups: int, trained: bool
) -> Form:
    if not LANES or x.dim() > 4 or x.dtype != torch.float32:
        return Form()
    return form(x, weight, stride, padding, dilation, groups, LANES, trained)


def _few_planes(x: Tensor, weight: Tensor) -> bool:
    """Two or three planes of several samples to one, of which oneDNN's gradient is twice as fast with channels last."""
    return x.dim() == 4 and len(x) > 1 and weight.shape[0] == 1 and weight.shape[1] in (2, 3) and prod(weight.shape[2:]) > 1


def better(x: Tensor, weight: Tensor, stride: int, padding: tuple[int, ...], dilation: int, groups: int) -> bool:
    """Whether there is a form of its own, and not the plain convolution."""
    way = _chosen(x, weight, stride, padding, dilation, groups, torch.is_grad_enabled())
    return way != (Form(apart=way.apart, phased=way.phased) if not torch.is_grad_enabled() else Form())


def convolve(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: Sequence[int], dilation: int, groups: int
) -> Tensor:
    """F.conv1d, F.conv2d or F.conv3d, in the form that is fastest on this processor.

    x: (N, C, ...), weight: (out, C / groups, kernel...), bias: (out,), padding: one number for each axis.

    Milliseconds of F.conv2d and of this, forward then forward and backward, batch 8, float32, one thread of a Zen 3 (AVX2):

    | 7x7, 2 planes to 1, 56 x 56             | 1.33 -> 0.67 |  8.5 ->  2.9 |
    | 7x7, 2 planes to 1, 128 x 56            | 2.76 -> 1.27 | 15.5 ->  3.8 |
    | the same, 28 x 28                       | 0.49         |  2.7 ->  1.5 |
    | 5x1, 1 plane, 128 x 56                  | 0.37 -> 0.24 |  2.0 ->  1.1 |
    | 5x1, 1 plane, 128 x 3136                |   82 ->  7.1 |  444 ->   28 |
    | 3x3, 128 channels in 32 groups, 28 x 28 |  8.1 ->  4.8 | 36.1 -> 12.3 |
    | the same, dilation 2                    |  8.2 ->  4.5 | 33.9 -> 15.3 |
    | 3x3, 64 channels in 32 groups, 56 x 56  | 14.5 ->  8.1 | 65.9 -> 20.2 |

    Windows of each of 128 channels, 28 x 28, on a Sapphire Rapids with AVX-512 (with AVX2 alike):

    | 7x7, dilation 3                         |   47 -> 3.3 |  151 ->  81 |
    | 15x15, 64 channels                      |   86 -> 2.8 |  187 -> 114 |
    | 1x15                                    |   14 -> 2.2 |   33 ->  27 |
    | 5x5, dilation 2                         |  1.4        |   70 ->  49 |

    oneDNN multiplies groups of 4 channels as matrices where AVX2 needs 8, dilated weight gradients likewise; with AVX-512 it
    has kernels for both, and only the weight's gradient is repaired: channels last 6.6 -> 4.7 on a Zen 4. The last three rows
    on a Sapphire Rapids (AVX-512): 2.6 -> 2.6 and 18.5 -> 9.5; 2.5 -> 2.5 and 18.9 -> 12.5; 15.6 -> 5.7 and 56.7 -> 20.4.
    """
    padding = tuple(padding)
    way = _chosen(x, weight, stride, padding, dilation, groups, weight.requires_grad and torch.is_grad_enabled())
    return written(way, x, weight, bias, stride, padding, dilation, groups)


def written(
    way: Form,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: int,
    padding: tuple[int, ...],
    dilation: int,
    groups: int,
) -> Tensor:
    """The convolution in that form."""
    if way.thin:
        return windowed_thinly(x, weight, bias, LANES)
    if way.columns:
        return columned(x, weight, bias, padding)
    if way.each:
        return windowed_each(x, weight, bias, padding, dilation, far(padding, LANES))
    weight, groups = merged(weight, groups, way.together), groups // way.together
    if way.apart and weight.requires_grad and torch.is_grad_enabled():
        return windowed_apart(x, weight, bias, stride, padding, dilation, groups, way.phased)
    return CONVOLUTIONS[x.dim() - 2](x, weight, bias, stride, padding, dilation, groups)


def convolve_backward(
    g: Tensor, x: Tensor, weight: Tensor, stride: int, padding: Sequence[int], dilation: int, groups: int, needed: Mask
) -> Gradients:
    """The gradients of `convolve` by themselves: for a compiler, which cannot look inside of its Functions."""
    padding = tuple(padding)
    way = _chosen(x, weight, stride, padding, dilation, groups, trained=True)
    if way.thin:
        return thin_gradients(g, x, weight, LANES, needed)
    if way.columns:
        return columned_gradients(g, x, weight, padding, needed)
    wide, given = merged(weight, groups, way.together), (stride, padding, dilation, groups // way.together)
    found = (phased_gradients if way.phased else gradients_last) if way.apart else gradients
    gx, gw, gb = found(g, x, wide, *given, needed)
    return gx, gw if gw is None else unmerged(gw, weight.shape, groups, way.together), gb
