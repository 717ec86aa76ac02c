"""Small convolutions by im2col: every window becomes a column, and one product with the weight follows.

For every call oneDNN converts the layouts of the map and the weight, which takes longer than a small convolution itself
(docs/kernels.md, im2col).
"""

from collections.abc import Callable, Sequence
from math import prod

import torch
from torch import Tensor

from .grouped_conv import ConvArguments, Gradients, Mask

MAX_ROW_COPIES = 6_000  # pieces of rows that are copied into the columns, up to which copying is faster
MAX_COLUMN_VALUES = 400_000  # values of all columns, up to which it is
MAX_CHANNELS = 4
"""Input channels of a convolution to one channel. With more it is faster too, but rounds in another order than the exported
program, which then differs by more than 1e-5 of a block's output."""
MAX_SINGLE_SAMPLE = 20_480  # values of a single sample up to which ATen does not call oneDNN

_slow_conv2d: Callable[..., Tensor] = torch._C._nn.thnn_conv2d  # type: ignore[attr-defined]


def is_small_conv(x: Tensor, weight: Tensor, padding: Sequence[int]) -> bool:
    """True if im2col is faster for a convolution of stride 1. x: (N, C, L) or (N, C, H, W).

    For a single small sample ATen uses im2col by itself.
    """
    is_few = x.dim() in (3, 4) and weight.shape[0] == 1 and weight.shape[1] <= MAX_CHANNELS
    if not is_few or prod(weight.shape[2:]) == 1 or (len(x) == 1 and x.numel() <= MAX_SINGLE_SAMPLE):
        return False
    sizes = [n + 2 * p - k + 1 for n, k, p in zip(x.shape[2:], weight.shape[2:], padding, strict=True)]
    copies = len(x) * prod(weight.shape[1:]) * (min(sizes) if len(sizes) == 2 else 1)
    return min(sizes) > 0 and 0 < copies <= MAX_ROW_COPIES and copies * max(sizes) <= MAX_COLUMN_VALUES


def im2col_conv(x: Tensor, weight: Tensor, bias: Tensor | None, arguments: ConvArguments) -> Tensor:
    """The convolution, differentiable any number of times. The longer axis is laid last, so that rows are long."""
    padding = arguments.padding
    if x.dim() == 3:
        return _im2col_conv2d(x.unsqueeze(2), weight.unsqueeze(2), bias, (0, *padding)).squeeze(2)
    if x.shape[2] <= x.shape[3]:
        return _im2col_conv2d(x, weight, bias, padding)
    return _im2col_conv2d(x.transpose(2, 3), weight.transpose(2, 3), bias, padding[::-1]).transpose(2, 3)


def _im2col_conv2d(x: Tensor, weight: Tensor, bias: Tensor | None, padding: tuple[int, ...]) -> Tensor:
    # contiguous, as ATen's gradient of the weight is wrong where the input is not
    return _slow_conv2d(x.contiguous(), weight.contiguous(), weight.shape[2:], bias, 1, padding)


def im2col_gradients(g: Tensor, x: Tensor, weight: Tensor, arguments: ConvArguments, needed: Mask) -> Gradients:
    """The gradients of the input, the weight and the bias."""
    x, weight = x.detach().requires_grad_(), weight.detach().requires_grad_()
    with torch.enable_grad():
        y = im2col_conv(x, weight, None, arguments)
    gx, gw = torch.autograd.grad(y, (x, weight), g)
    return gx if needed[0] else None, gw if needed[1] else None, g.sum((0, *range(2, g.dim()))) if needed[2] else None
