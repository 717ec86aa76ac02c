"""Linear maps between positions, axis by axis: y = P_h x P_w^T, where P is a small matrix that is made once for a grid.

CPU milliseconds of ATen's way and of this at 8 x 128 x 56 x 56, float32, one thread of a Zen 3, best of 21:

| | ATen | here |
| --- | --- | --- |
| means over 7 x 7 at stride 4 | avg_pool2d 8.9 | 5.9 |
| sums of x under each tap of a 3 x 3 window at stride 2 | the convolution itself, and its mean: 4.9 | 2.6 |
| 14 x 14 onto 56 x 56, nearest | interpolate 32, or 20 in four dimensions | 2.5 |

The matrices are kept, and made outside of inference mode, so that autograd may save them later.
A position that is not finite makes its whole row and column so, as 0 times it is not 0.
"""

from collections.abc import Sequence
from functools import lru_cache, reduce
from math import prod

import torch
from torch import Tensor

KEPT = 256  # matrices that are kept: some kilobytes each
SMALL = 1 << 13  # values of a matrix up to which one for all axes is better than one for each


@lru_cache(KEPT)
@torch.inference_mode(False)
def means(n: int, kernel: int, stride: int, borders: bool, dtype: torch.dtype) -> Tensor:
    """(ceil(n / stride), n): the mean over a centred window, of what lies inside, or with `borders` of zeros outside as well.

    >>> means(4, 3, 2, False, torch.float32)[0]
    tensor([0.5000, 0.5000, 0.0000, 0.0000])
    """
    first = torch.arange(0, n, stride)[:, None] - kernel // 2
    at = torch.arange(n)
    inside = ((at >= first) & (at < first + kernel)).to(dtype)
    return inside / (kernel if borders else inside.sum(1, keepdim=True))


def taps(n: int, kernel: int, stride: int, padding: int, dilation: int, dtype: torch.dtype) -> tuple[Tensor, int]:
    """(kernel, n): how often a tap of a convolution lies on a position, over all places of its window; and their number.

    >>> taps(4, 3, 1, 1, 1, torch.float32)[0][0]
    tensor([1., 1., 1., 0.])
    """
    places = (n + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    seen = torch.arange(places) * stride - padding + torch.arange(kernel)[:, None] * dilation
    return (seen[:, :, None] == torch.arange(n)).sum(1).to(dtype), places


@lru_cache(KEPT)
@torch.inference_mode(False)
def tapped(
    sides: tuple[int, ...],
    kernel: tuple[int, ...],
    stride: int,
    padding: tuple[int, ...],
    dilation: int,
    mean: bool,
    dtype: torch.dtype,
) -> tuple[tuple[Tensor, ...], int]:
    """The same for several axes, as one matrix for each; as one of all of them, (taps, positions), where that is small.

    With `mean` divided by the number of places.
    """
    found = [taps(n, k, stride, p, dilation, dtype) for n, k, p in zip(sides, kernel, padding, strict=True)]
    matrices, places = [matrix / count if mean else matrix for matrix, count in found], prod(count for _, count in found)
    if prod(sides) * prod(kernel) > SMALL:
        return tuple(matrices), places
    return (reduce(torch.kron, matrices),), places


@lru_cache(KEPT)
@torch.inference_mode(False)
def nearest(n: int, m: int) -> tuple[Tensor, int]:
    """The index in n that `interpolate` takes for each of m, in its own float32; and m / n where each is taken that often.

    >>> nearest(2, 4)
    (tensor([0, 0, 1, 1]), 2)
    """
    scale = torch.tensor(n, dtype=torch.float32) / m
    index = (torch.arange(m, dtype=torch.float32) * scale).floor().long().clamp(max=n - 1)
    even = m % n == 0 and torch.equal(index, torch.arange(m) // (m // n))
    return index, m // n if even else 0


def mapped(x: Tensor, matrices: Sequence[Tensor | None]) -> Tensor:
    """x with its last axes mapped by one matrix each, (out, n); by none where it is None. x contiguous: (N, ..., n...)."""
    for dim, matrix in zip(range(x.dim() - len(matrices), x.dim()), matrices, strict=True):
        if matrix is not None:
            x = _along(x, dim, matrix)
    return x


def _along(x: Tensor, dim: int, matrix: Tensor) -> Tensor:
    shape = x.shape[:dim] + matrix.shape[:1] + x.shape[dim + 1 :]
    rest = x.shape[dim + 1 :].numel()
    if rest == 1:
        return (x.reshape(-1, x.shape[dim]) @ matrix.t()).view(shape)
    rows = x.reshape(-1, x.shape[dim], rest)
    return torch.bmm(matrix.expand(len(rows), -1, -1), rows).view(shape)  # matmul would fold, and copy x for it


def enlarged(x: Tensor, sides: Sequence[int]) -> Tensor:
    """The last axes of x on a finer grid, each position by the nearest, as `interpolate` finds it."""
    for dim, side in reversed(list(zip(range(x.dim() - len(sides), x.dim()), sides, strict=True))):
        if x.shape[dim] != side:
            index, times = nearest(x.shape[dim], side)
            x = x.repeat_interleave(times, dim) if times else x.index_select(dim, index)
    return x
