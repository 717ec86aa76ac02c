"""Windows over one or two planes: neighbouring rows as channels, which fill the registers."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional as F

from .grouped_conv import Gradients, Mask, gradients

PLANE, THIN = 1 << 10, 1 << 14  # values of a plane, and of a map, from which the thin form gains


def thin(x: Tensor, weight: Tensor, padding: tuple[int, ...]) -> bool:
    """Whether one or two planes become one of the same size, through a window that is worth it."""
    if x.dim() != 4 or weight.shape[0] > 1 or weight.shape[1] > 2:
        return False
    if x.numel() < THIN or x.shape[2] * x.shape[3] < PLANE:
        return False
    kernel = weight.shape[2:]
    same = all(2 * p == k - 1 for k, p in zip(kernel, padding, strict=True))
    return same and kernel[0] in (3, 5, 7) and kernel[1] in (1, 3, 5, 7)


class Thin(Function):
    """A same-size window over few planes: all three are convolutions of which the `lanes` rows are channels, or one product.

    y = w * x, gx = flipped w * g, gw[c, i, j] = sum x[c, h + i, w + j] g[h, w]. x: (N, C, H, W), weight: (out, C, kernel).
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, lanes: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.lanes = lanes
        return lifted(x, weight, bias, lanes)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        needed = ctx.needs_input_grad[:3]
        if torch.is_grad_enabled():
            padding = [k // 2 for k in weight.shape[2:]]
            return (*gradients(g, x, weight, 1, padding, 1, 1, needed), None)
        return (*thin_gradients(g, x, weight, ctx.lanes, needed), None)


windowed_thinly: Callable[..., Tensor] = Thin.apply


def thin_gradients(g: Tensor, x: Tensor, weight: Tensor, lanes: int, needed: Mask) -> Gradients:
    """Of the input, by a lifted convolution as well; of the weight, by one product; of the bias."""
    gx = lifted(g, weight.transpose(0, 1).flip(2, 3), None, lanes) if needed[0] else None
    gw = correlated(x, g, weight.shape[2:]) if needed[1] else None
    return gx, gw, g.sum((0, 2, 3)) if needed[2] else None


def lifted(x: Tensor, weight: Tensor, bias: Tensor | None, lanes: int) -> Tensor:
    """A same-size convolution, exactly, whose `lanes` neighbouring rows are channels of one with stride (lanes, 1).

    weight: (out, in, k, l) -> (lanes out, in, lanes - 1 + k, l), each copy a row lower than the one before.
    """
    out, inputs, k, width = weight.shape
    rows = x.shape[2]
    wide = weight.new_zeros(lanes, out, inputs, lanes - 1 + k, width)
    stride = wide.stride()
    wide.as_strided((lanes, *weight.shape), (stride[0] + stride[3], *stride[1:])).copy_(weight)
    x = F.pad(x, (0, 0, 0, -rows % lanes)) if rows % lanes else x
    bias = None if bias is None else bias.repeat(lanes)
    y = F.conv2d(x, wide.flatten(0, 1), bias, (lanes, 1), (k // 2, width // 2))
    whole = y.new_empty(len(y), out, lanes * y.shape[2], y.shape[3])  # and no view of it, which nothing could be written into
    torch.unflatten(whole, 2, (-1, lanes)).copy_(torch.unflatten(y, 1, (lanes, out)).permute(0, 2, 3, 1, 4))
    return whole[:, :, :rows].contiguous() if whole.shape[2] > rows else whole


def correlated(x: Tensor, g: Tensor, kernel: Sequence[int]) -> Tensor:
    """The weight's gradient of a same-size window onto one plane, (1, C, k, l): shifted rows of x times shifted columns of g.

    Sample by sample in one pair of buffers, (C k, H W') and (l, H W') where W' = W + l - 1.
    """
    k, columns = kernel
    _, channels, height, width = x.shape
    padded = F.pad(x, (columns // 2, columns // 2, k // 2, k // 2))
    row = width + columns - 1
    lower = x.new_empty(channels, k, height * row)
    right = x.new_zeros(columns, height, row)
    inside = right.as_strided((columns, height, width), (height * row + 1, row, 1))
    total = x.new_zeros(channels * k, columns)
    for sample, gradient in zip(padded, g[:, 0], strict=True):
        lower.copy_(sample.as_strided(lower.shape, (sample.stride(0), row, 1), sample.storage_offset()))
        inside.copy_(gradient)
        total.addmm_(lower.flatten(0, 1), right.flatten(1).t())
    return total.view(1, channels, k, columns)
