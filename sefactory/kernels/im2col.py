"""Windows over few values: each laid out as a column, and one product with the weight, as ATen did before oneDNN.

oneDNN lays out maps and weights for every call, which takes it 60 to 200 us however small they are. Microseconds of
F.conv1d or F.conv2d and of this, forward then forward and backward, batch 2, float32, one thread of a Zen 3:

| 7x7, 2 planes to 1, 7 x 7     | 110 ->  27 | 590 -> 240 |
| the same, 14 x 14             | 155 ->  57 | 710 -> 325 |
| the same, 128 x 7             | 170 ->  52 | 830 -> 300 |
| 3, 1 plane, 128               | 109 ->  15 | 497 -> 118 |
"""

from collections.abc import Callable, Sequence
from math import prod

import torch
from torch import Tensor

from .grouped_conv import Gradients, Mask

COPIES = 6_000
"""Pieces of rows that are copied into the columns: up to so many that takes less than what it saves."""
VALUES = 400_000
"""Values of all columns: the same."""
PLANES = 4
"""Channels in, of windows with one out. Of more it gains as well (3x3, 16 to 16: 168 -> 65) and is as near to float64, but is
rounded in another order than the exported program, which then differs by more than 1e-5 of a block's output."""
ALONE = 20_480  # values of a single sample up to which ATen does not ask oneDNN

_by_columns: Callable[..., Tensor] = torch._C._nn.thnn_conv2d  # type: ignore[attr-defined]


def few(x: Tensor, weight: Tensor, padding: Sequence[int]) -> bool:
    """Whether the columns of a window of stride 1 are made in no time: x (N, C, L) or (N, C, H, W).

    A single small sample is left to ATen, which makes columns of it by itself.
    """
    if x.dim() not in (3, 4) or prod(weight.shape[2:]) == 1 or (len(x) == 1 and x.numel() <= ALONE):
        return False
    if weight.shape[0] > 1 or weight.shape[1] > PLANES:
        return False
    places = [n + 2 * p - k + 1 for n, k, p in zip(x.shape[2:], weight.shape[2:], padding, strict=True)]
    pieces = len(x) * prod(weight.shape[1:]) * (min(places) if len(places) == 2 else 1)
    return min(places) > 0 and 0 < pieces <= COPIES and pieces * max(places) <= VALUES


def columned(x: Tensor, weight: Tensor, bias: Tensor | None, padding: Sequence[int]) -> Tensor:
    """The convolution, differentiable as often as one likes. The longer axis lies last, so that rows are long."""
    if x.dim() == 3:
        return _columned(x.unsqueeze(2), weight.unsqueeze(2), bias, (0, *padding)).squeeze(2)
    if x.shape[2] <= x.shape[3]:
        return _columned(x, weight, bias, tuple(padding))
    return _columned(x.transpose(2, 3), weight.transpose(2, 3), bias, tuple(padding[::-1])).transpose(2, 3)


def _columned(x: Tensor, weight: Tensor, bias: Tensor | None, padding: tuple[int, ...]) -> Tensor:
    # contiguous, as ATen's gradient of the weight is wrong where the input is not
    return _by_columns(x.contiguous(), weight.contiguous(), weight.shape[2:], bias, 1, padding)


def columned_gradients(g: Tensor, x: Tensor, weight: Tensor, padding: Sequence[int], needed: Mask) -> Gradients:
    """Of the input, the weight and the bias."""
    x, weight = x.detach().requires_grad_(), weight.detach().requires_grad_()
    with torch.enable_grad():
        y = columned(x, weight, None, padding)
    gx, gw = torch.autograd.grad(y, (x, weight), g)
    return gx if needed[0] else None, gw if needed[1] else None, g.sum((0, *range(2, g.dim()))) if needed[2] else None
