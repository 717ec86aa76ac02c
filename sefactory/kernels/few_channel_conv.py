"""Convolutions of one or two channels: neighbouring rows become channels, which fill the registers."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from .dispatch import LANES
from .grouped_conv import ConvArguments, Gradients, Mask

ROWS = LANES or 8  # neighbouring rows that become channels
MIN_PLANE, MIN_NUMEL = 1 << 10, 1 << 14  # values of a channel of a sample, and of a map, from which this form is faster


def is_few_channel_conv(x: Tensor, weight: Tensor, padding: tuple[int, ...]) -> bool:
    """True for a convolution of one or two channels to one, of the same size, with a kernel for which this form is faster."""
    is_few = x.dim() == 4 and weight.shape[0] == 1 and weight.shape[1] <= 2
    if not is_few or x.numel() < MIN_NUMEL or x.shape[2] * x.shape[3] < MIN_PLANE:
        return False
    kernel = weight.shape[2:]
    same = all(2 * p == k - 1 for k, p in zip(kernel, padding, strict=True))
    return same and kernel[0] in (3, 5, 7) and kernel[1] in (1, 3, 5, 7)


def few_channel_conv(x: Tensor, weight: Tensor, bias: Tensor | None, _: ConvArguments) -> Tensor:
    """y = w * x, (N, C, H, W) -> (N, 1, H, W), as a convolution with rows as channels."""
    return conv_rows_as_channels(x, weight, bias, ROWS)


def few_channel_gradients(g: Tensor, x: Tensor, weight: Tensor, _: ConvArguments, needed: Mask) -> Gradients:
    """The gradients of the input, the weight and the bias.

    gx = flipped w * g, as a convolution with rows as channels. gw[c, i, j] = sum x[c, h + i, w + j] g[h, w], as one product.
    """
    gx = conv_rows_as_channels(g, weight.transpose(0, 1).flip(2, 3), None, ROWS) if needed[0] else None
    gw = conv_weight_grad(x, g, weight.shape[2:]) if needed[1] else None
    return gx, gw, g.sum((0, 2, 3)) if needed[2] else None


def conv_rows_as_channels(x: Tensor, weight: Tensor, bias: Tensor | None, lanes: int) -> Tensor:
    """A same-size convolution as one of stride (lanes, 1), whose channels are `lanes` neighbouring rows of the result.

    weight: (out, in, k, l) -> (lanes out, in, lanes - 1 + k, l), each copy one row lower than the one before.
    """
    out, inputs, k, width = weight.shape
    rows = x.shape[2]
    wide = weight.new_zeros(lanes, out, inputs, lanes - 1 + k, width)
    stride = wide.stride()
    wide.as_strided((lanes, *weight.shape), (stride[0] + stride[3], *stride[1:])).copy_(weight)
    x = F.pad(x, (0, 0, 0, -rows % lanes)) if rows % lanes else x
    bias = None if bias is None else bias.repeat(lanes)
    y = F.conv2d(x, wide.flatten(0, 1), bias, (lanes, 1), (k // 2, width // 2))
    whole = y.new_empty(len(y), out, lanes * y.shape[2], y.shape[3])  # not a view: the result may be overwritten
    torch.unflatten(whole, 2, (-1, lanes)).copy_(torch.unflatten(y, 1, (lanes, out)).permute(0, 2, 3, 1, 4))
    return whole[:, :, :rows].contiguous() if whole.shape[2] > rows else whole


def conv_weight_grad(x: Tensor, g: Tensor, kernel: Sequence[int]) -> Tensor:
    """The weight's gradient of a same-size convolution to one channel, (1, C, k, l).

    It is the product of shifted rows of x and shifted columns of g, computed sample by sample in a pair of buffers,
    (C k, H W') and (l, H W') with W' = W + l - 1.
    """
    k, columns = kernel
    _, channels, height, width = x.shape
    padded = F.pad(x, (columns // 2, columns // 2, k // 2, k // 2))
    row = width + columns - 1
    shifted_rows = x.new_empty(channels, k, height * row)
    shifted_columns = x.new_zeros(columns, height, row)
    inside = shifted_columns.as_strided((columns, height, width), (height * row + 1, row, 1))
    total = x.new_zeros(channels * k, columns)
    for sample, gradient in zip(padded, g[:, 0], strict=True):
        strided = sample.as_strided(shifted_rows.shape, (sample.stride(0), row, 1), sample.storage_offset())
        shifted_rows.copy_(strided)
        inside.copy_(gradient)
        total.addmm_(shifted_rows.flatten(0, 1), shifted_columns.flatten(1).t())
    return total.view(1, channels, k, columns)
