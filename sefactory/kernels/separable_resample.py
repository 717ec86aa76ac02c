"""Linear maps between positions, axis by axis: y = P_h x P_w^T, with a small matrix P for each axis.

The matrices are cached for each grid (docs/kernels.md, separable resampling). A position that is not finite makes its whole
row and column not finite, since 0 times it is not 0.
"""

from collections.abc import Sequence
from functools import reduce
from math import prod

import torch
from torch import Tensor

from .constants import cached_constants

CACHE_SIZE = 256  # matrices, of some kilobytes each
MAX_MATRIX_VALUES = 1 << 13  # values up to which one matrix for all axes is faster than one for each


@cached_constants(CACHE_SIZE)
def mean_matrix(n: int, kernel: int, stride: int, borders: bool, dtype: torch.dtype) -> Tensor:
    """(ceil(n / stride), n): the mean over a centred window. With `borders` zeros outside are counted as well.

    >>> mean_matrix(4, 3, 2, False, torch.float32)[0]
    tensor([0.5000, 0.5000, 0.0000, 0.0000])
    """
    first = torch.arange(0, n, stride)[:, None] - kernel // 2
    at = torch.arange(n)
    inside = ((at >= first) & (at < first + kernel)).to(dtype)
    return inside / (kernel if borders else inside.sum(1, keepdim=True))


def tap_counts(n: int, kernel: int, stride: int, padding: int, dilation: int, dtype: torch.dtype) -> tuple[Tensor, int]:
    """Returns (a (kernel, n) matrix of how often each tap of a convolution lies on each position, the number of outputs).

    >>> tap_counts(4, 3, 1, 1, 1, torch.float32)[0][0]
    tensor([1., 1., 1., 0.])
    """
    outputs = (n + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    positions = torch.arange(outputs) * stride - padding + torch.arange(kernel)[:, None] * dilation
    return (positions[:, :, None] == torch.arange(n)).sum(1).to(dtype), outputs


@cached_constants(CACHE_SIZE)
def tap_matrices(
    sides: tuple[int, ...],
    kernel: tuple[int, ...],
    stride: int,
    padding: tuple[int, ...],
    dilation: int,
    mean: bool,
    dtype: torch.dtype,
) -> tuple[tuple[Tensor, ...], int]:
    """The same for several axes: one matrix for each, or a single one (taps, positions) where it is small.

    With `mean` the matrices are divided by the number of outputs.
    """
    counts = [tap_counts(n, k, stride, p, dilation, dtype) for n, k, p in zip(sides, kernel, padding, strict=True)]
    matrices = [matrix / count if mean else matrix for matrix, count in counts]
    outputs = prod(count for _, count in counts)
    if prod(sides) * prod(kernel) > MAX_MATRIX_VALUES:
        return tuple(matrices), outputs
    return (reduce(torch.kron, matrices),), outputs


@cached_constants(CACHE_SIZE)
def nearest_index(n: int, m: int) -> tuple[Tensor, int]:
    """Returns (the index in n that F.interpolate takes for each of m, m / n if each is taken that often, else 0).

    >>> nearest_index(2, 4)
    (tensor([0, 0, 1, 1]), 2)
    """
    scale = torch.tensor(n, dtype=torch.float32) / m
    index = (torch.arange(m, dtype=torch.float32) * scale).floor().long().clamp(max=n - 1)
    is_even = m % n == 0 and torch.equal(index, torch.arange(m) // (m // n))
    return index, m // n if is_even else 0


def apply_matrices(x: Tensor, matrices: Sequence[Tensor | None]) -> Tensor:
    """x with one matrix (out, n) applied to each of its last axes, None for no change. x: (N, ..., n...), contiguous."""
    for dim, matrix in zip(range(x.dim() - len(matrices), x.dim()), matrices, strict=True):
        if matrix is not None:
            x = _apply_along(x, dim, matrix)
    return x


def _apply_along(x: Tensor, dim: int, matrix: Tensor) -> Tensor:
    shape = x.shape[:dim] + matrix.shape[:1] + x.shape[dim + 1 :]
    rest = x.shape[dim + 1 :].numel()
    if rest == 1:
        return (x.reshape(-1, x.shape[dim]) @ matrix.t()).view(shape)
    rows = x.reshape(-1, x.shape[dim], rest)
    return torch.bmm(matrix.expand(len(rows), -1, -1), rows).view(shape)  # matmul would copy x


def upsample_nearest(x: Tensor, sides: Sequence[int]) -> Tensor:
    """F.interpolate(x, sides, mode="nearest") over the last axes of x."""
    for dim, side in reversed(list(zip(range(x.dim() - len(sides), x.dim()), sides, strict=True))):
        if x.shape[dim] != side:
            index, times = nearest_index(x.shape[dim], side)
            x = x.repeat_interleave(times, dim) if times else x.index_select(dim, index)
    return x
