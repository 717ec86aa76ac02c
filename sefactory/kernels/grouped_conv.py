"""Convolutions in groups: merged groups that fill the registers, and gradients without dilation."""

from collections.abc import Sequence
from math import gcd
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from .constants import cached_constants

MAX_MERGED_CHANNELS = 32  # channels of merged groups up to which the products with zeros pay

Mask = tuple[bool, bool, bool]
Gradients = tuple[Tensor | None, Tensor | None, Tensor | None]


class ConvArguments(NamedTuple):
    """The arguments of a convolution besides its tensors, in the order of F.conv2d."""

    stride: int
    padding: tuple[int, ...]
    dilation: int
    groups: int


def groups_to_fill(weight: Tensor, groups: int, lanes: int) -> int:
    """How many groups fill whole registers with inputs and outputs; 1 if none do, or only with too many zeros."""
    inputs, out = weight.shape[1], weight.shape[0] // groups
    merged = lanes // min(gcd(lanes, inputs), gcd(lanes, out))
    return merged if groups % merged == 0 and merged * max(inputs, out) <= MAX_MERGED_CHANNELS else 1


def merge_groups(weight: Tensor, groups: int, merged: int) -> Tensor:
    """The weight (out, merged in, kernel...) of groups / merged groups, zero between channels of different groups."""
    if merged == 1:
        return weight
    out, inputs = weight.shape[0] // groups, weight.shape[1]
    blocks = weight.reshape(groups // merged, merged, out, 1, -1)
    return (blocks * _same_group(merged, weight.dtype)).reshape(weight.shape[0], merged * inputs, *weight.shape[2:])


def split_merged_gradient(gradient: Tensor, shape: Sequence[int], groups: int, merged: int) -> Tensor:
    """The gradient of a weight from the gradient of its merged form."""
    if merged == 1:
        return gradient
    blocks = gradient.reshape(groups // merged, merged, shape[0] // groups, merged, -1)
    return (blocks * _same_group(merged, gradient.dtype)).sum(3).reshape(tuple(shape))


@cached_constants(16)
def _same_group(merged: int, dtype: torch.dtype) -> Tensor:
    """1 where two of the merged groups are the same, else 0: (merged, 1, merged, 1)."""
    return torch.eye(merged, dtype=dtype).view(merged, 1, merged, 1)


def decomposed_weight_gradients(g: Tensor, x: Tensor, weight: Tensor, arguments: ConvArguments, needed: Mask) -> Gradients:
    """ATen's gradient of the input; those of weight and bias of the decomposed convolution."""
    gx = conv_gradients(g, x, weight, arguments, (needed[0], False, False))[0]
    return gx, *decomposed_gradients(g, x, weight, arguments, (False, *needed[1:]))[1:]


def channels_last_gradients(g: Tensor, x: Tensor, weight: Tensor, arguments: ConvArguments, needed: Mask) -> Gradients:
    """ATen's gradient of the input; those of weight and bias with channels last in memory."""
    gx = conv_gradients(g, x, weight, arguments, (needed[0], False, False))[0]
    g, x, weight = (t.contiguous(memory_format=torch.channels_last) for t in (g, x, weight))
    _, gw, gb = conv_gradients(g, x, weight, arguments, (False, *needed[1:]))
    return gx, gw if gw is None else gw.contiguous(), gb


def decomposed_gradients(g: Tensor, x: Tensor, weight: Tensor, arguments: ConvArguments, needed: Mask) -> Gradients:
    """The gradients for stride 1, dilation d and padding d p', from a convolution without dilation and with padding p'.

    x: (N, C, H, W), weight: (out, C / groups, kernel). Rows h, h + d, ... of x and of g are a convolution of their own.
    So the gradients are those of d^2 times as many smaller maps.
    """
    _, padding, dilation, groups = arguments
    rows, columns = (dilation if k > 1 else 1 for k in weight.shape[2:])  # a kernel size of 1 has none
    steps, inner = (rows, columns), ConvArguments(1, tuple(p // dilation for p in padding), 1, groups)
    g_parts, x_parts = (decompose_dilation(t, steps) for t in (g, x))
    gx, gw, gb = conv_gradients(g_parts, x_parts, weight, inner, needed)
    return gx if gx is None else recompose(gx, steps, x.shape[2:]), gw, gb


def decompose_dilation(x: Tensor, steps: tuple[int, int]) -> Tensor:
    """Every a-th row and b-th column as a map of its own: (N, C, H, W) -> (a b N, C, H / a, W / b).

    Zeros are padded below and to the right if a size is no multiple of its step.
    """
    down, right = (-n % step for n, step in zip(x.shape[2:], steps, strict=True))
    x = F.pad(x, (0, right, 0, down)) if down or right else x
    parts = torch.unflatten(torch.unflatten(x, 3, (-1, steps[1])), 2, (-1, steps[0]))
    return parts.permute(3, 5, 0, 1, 2, 4).flatten(0, 2)


def recompose(y: Tensor, steps: tuple[int, int], size: Sequence[int]) -> Tensor:
    """The inverse of `decompose_dilation` for a map of this height and width."""
    parts = torch.unflatten(y, 0, (*steps, -1)).permute(2, 3, 4, 0, 5, 1)
    return parts.flatten(4, 5).flatten(2, 3)[:, :, : size[0], : size[1]].contiguous()


def conv_gradients(g: Tensor, x: Tensor, weight: Tensor, arguments: ConvArguments, needed: Mask) -> Gradients:
    """ATen's gradients of the input, the weight and the bias; they are differentiable."""
    stride, padding, dilation, groups = arguments
    gradients: Gradients = torch.ops.aten.convolution_backward(
        g, x, weight, [weight.shape[0]], [stride], padding, [dilation], False, [0], groups, needed
    )
    return gradients
