"""Reductions of contiguous maps, written as the calls that ATen's CPU kernels run fastest (docs/kernels.md, reductions)."""

from collections.abc import Callable, Sequence
from math import gcd, prod
from typing import NamedTuple

import torch
from torch import Tensor

VECTOR_COLUMNS = 32  # ATen's reductions take four registers at a time, and the remaining columns one by one
STAGE, FOLD = 16, 4  # rows of a stage and of a fold
MAX_OFFSET = 4.0  # mean^2 / variance beyond which E x^2 - (E x)^2 loses a digit
CENTRED_ROWS = 128  # rows beyond it that are centred at a time
MIN_BLOCKED_ROW = 256  # length of a row from which the positions of its extrema are faster than a mask
MAX_TIES = 4  # mean number of extrema of a row up to which their positions are faster than a mask


class Extremum(NamedTuple):
    """Maximum or minimum, over axes or of two maps."""

    over_axes: Callable[..., Tensor]
    elementwise: Callable[[Tensor, Tensor], Tensor]

    def reduce(self, x: Tensor, dims: Sequence[int]) -> Tensor:
        """The extremum over dims, kept at size 1."""
        return self.over_axes(x, tuple(dims), keepdim=True)


def total(x: Tensor, dims: Sequence[int]) -> Tensor:
    """sum of x over dims, kept at size 1; over many long rows in two stages, the first of 16 rows."""
    if not dims:
        return x
    if len(dims) == 1 and _needs_stages(x, dims[0]):
        x = torch.unflatten(x, dims[0], (-1, STAGE)).sum(dims[0] + 1)
    return torch.sum(x, tuple(dims), keepdim=True)


def mean(x: Tensor, dims: Sequence[int]) -> Tensor:
    """total(x) / n."""
    if len(dims) == 1 and _needs_stages(x, dims[0]):
        return total(x, dims).div_(x.shape[dims[0]])
    return torch.mean(x, tuple(dims), keepdim=True)


def extremum(x: Tensor, dims: Sequence[int], kind: Extremum) -> Tensor:
    """amax or amin of x over dims, kept at size 1, with ATen's values (nan included)."""
    if len(dims) != 1:
        return kind.reduce(x, dims)
    dim, n = dims[0], x.shape[dims[0]]
    columns = prod(x.shape[dim + 1 :])
    if columns == 1:
        return _of_short_rows(x, dim, kind)
    if columns % VECTOR_COLUMNS and n >= 2 * FOLD:
        x = _fold_rows(x, dim, kind)
    elif _needs_stages(x, dim):
        x = kind.reduce(torch.unflatten(x, dim, (-1, STAGE)), (dim + 1,)).squeeze(dim + 1)
    return kind.reduce(x, dims)


def variance(x: Tensor, dims: Sequence[int]) -> Tensor:
    """E (x - E x)^2 over dims, kept at size 1.

    Of rows it is E x^2 - (E x)^2 in one pass, except where their mean is large. Over other axes it is computed as written,
    sample by sample.
    """
    shape = [1 if i in dims else n for i, n in enumerate(x.shape)]
    length = row_length(shape, x.shape)
    if length >= VECTOR_COLUMNS and x.numel():
        return _row_variances(x.reshape(-1, length)).view(shape)
    y = x.new_empty(shape)
    for x_1, y_1 in zip(x.split(1), y.split(1), strict=True):
        y_1.copy_((x_1 - x_1.mean(tuple(dims), keepdim=True)).square_().mean(tuple(dims), keepdim=True))
    return y


def _row_variances(x: Tensor) -> Tensor:
    squares, sums = _row_sums(x, x, x.shape[1])
    square = (sums / x.shape[1]).square_()
    y = (squares / x.shape[1]).sub_(square)
    inexact = (square <= MAX_OFFSET * y).logical_not_()  # also where one is nan
    if bool(inexact.any()):
        for indices in inexact.nonzero().squeeze(1).split(CENTRED_ROWS):
            selected = x.index_select(0, indices)
            y[indices] = selected.sub_(selected.mean(1, keepdim=True)).square_().mean(1)
    return y


def _needs_stages(x: Tensor, dim: int) -> bool:
    """True for many rows of many columns: a stage of few rows stays in the cache."""
    return x.shape[dim] % STAGE == 0 and x.shape[dim] >= 4 * STAGE and prod(x.shape[dim + 1 :]) >= 16 * VECTOR_COLUMNS


def _fold_rows(x: Tensor, dim: int, kind: Extremum) -> Tensor:
    """Returns a quarter of the rows with the same extremum, so that almost all columns are read in full registers."""
    n = x.shape[dim]
    whole = n - n % FOLD
    y = kind.reduce(torch.unflatten(x.narrow(dim, 0, whole), dim, (-1, FOLD)), (dim,)).squeeze(dim)
    return kind.elementwise(y, x.narrow(dim, n - FOLD, FOLD)) if whole < n else y


def _of_short_rows(x: Tensor, dim: int, kind: Extremum) -> Tensor:
    """Of rows of 17 to 63 float32: the extremum of two overlapping parts of 16 or 32, sample by sample."""
    n = x.shape[dim]
    part = 16 if n <= 32 else 32
    if x.dtype != torch.float32 or not 16 < n < 64 or n == 32 or not len(x):
        return kind.reduce(x, (dim,))
    samples = x.split(1)
    parts = (kind.elementwise(t.narrow(dim, 0, part), t.narrow(dim, n - part, part)) for t in samples)
    return torch.cat([kind.reduce(t, (dim,)) for t in parts])


def row_length(shape: Sequence[int], full: Sequence[int]) -> int:
    """The number of values that share one, where `shape` is `full` with its last axes 1; else 0."""
    kept = next((i for i in range(len(full), 0, -1) if shape[i - 1] != 1), 0)
    return prod(full[kept:]) if tuple(shape[:kept]) == tuple(full[:kept]) else 0


def row_dot(a: Tensor, b: Tensor, length: int) -> Tensor:
    """sum_l a_rl b_rl of contiguous maps seen as rows, without storing their product.

    It is the weight gradient of a group norm of mean 0 and deviation 1.
    """
    return _row_sums(a, b, length)[0]


def _row_sums(a: Tensor, b: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """Returns (sum_l a_rl b_rl, sum_l a_rl), in one pass."""
    n = a.numel() // length if length else 0
    if n == 0:
        return a.new_zeros(n), a.new_zeros(n)
    zero, one = a.new_zeros(1, n), a.new_ones(1, n)
    inputs = a.reshape(1, n, length), b.reshape(1, n, length), zero, one, one[0], 1, n, length, n
    _, dots, sums = torch.ops.aten.native_group_norm_backward(*inputs, [False, True, True])
    return dots, sums


def row_affine(x: Tensor, scale: Tensor, shift: Tensor, length: int) -> Tensor:
    """y_rl = scale_r x_rl + shift_r of a contiguous map seen as rows, by a batch norm of mean 0 and variance 1."""
    n = x.numel() // length if length else 0
    if n == 0:
        return torch.empty_like(x)
    zero, one = x.new_zeros(n), x.new_ones(n)
    inputs = x.reshape(1, n, length), scale.reshape(n), shift.reshape(n), zero, one
    y: Tensor = torch.ops.aten.native_batch_norm(*inputs, False, 0.0, 0.0)[0]
    return y.view(x.shape)


def contract(p: Tensor, factors: Sequence[Tensor], shape: Sequence[int], buffer: Tensor) -> Tensor:
    """sum p * factors over the axes, except the first, that have size 1 in `shape`. The buffer holds the product.

    Over one of the last two axes, with a factor that does not depend on the other, it is a matrix product.
    """
    dims = tuple(i for i in range(1, p.dim()) if shape[i] == 1 and p.shape[i] != 1)
    if len(factors) == 1 and len(dims) == 1 and factors[0].shape[:-2] == p.shape[:-2]:
        if dims[0] == p.dim() - 1 and factors[0].shape[-2] == 1 and factors[0].shape[-1] == p.shape[-1]:
            return p @ factors[0].transpose(-1, -2)
        if dims[0] == p.dim() - 2 and factors[0].shape[-1] == 1 and factors[0].shape[-2] == p.shape[-2]:
            return factors[0].transpose(-1, -2) @ p
    for factor in factors:
        p = torch.mul(p, factor, out=buffer[: len(p)])
    return total(p, dims)


Request = tuple[str, tuple[int, ...]]
"""A statistic ("mean", "sum", "max", "min", or "var", which divides by n) and its axes, none of them 0."""

EXTREMA = {"max": Extremum(torch.amax, torch.maximum), "min": Extremum(torch.amin, torch.minimum)}
MOMENTS = {"mean": mean, "sum": total, "var": variance}


def statistic(x: Tensor, request: Request) -> Tensor:
    """One statistic, the axes kept at size 1."""
    name, dims = request
    return extremum(x, dims, EXTREMA[name]) if name in EXTREMA else MOMENTS[name](x, dims)


def argmax_positions(x: Tensor, dims: Sequence[int], kind: Extremum) -> tuple[Tensor, Tensor | None]:
    """Returns (extremum of x over dims, the flat positions of all values that equal it).

    Of long rows it takes the extrema of blocks first, then searches the blocks that hold the extremum. The positions are
    None where a mask is faster: for short rows, and for many ties (a dead channel).
    """
    shape = [1 if i in dims else n for i, n in enumerate(x.shape)]
    length = row_length(shape, x.shape)
    block = gcd(length, 2 * VECTOR_COLUMNS)
    if length < MIN_BLOCKED_ROW or block < 8 or x.numel() == 0 or not x.is_contiguous():
        return extremum(x, dims, kind), None
    blocks = kind.reduce(x.view(-1, length // block, block), (2,)).squeeze(2)
    y = kind.reduce(blocks, (1,))
    candidates = (blocks == y).view(-1).nonzero().squeeze(1)
    if candidates.numel() > MAX_TIES * y.numel():
        return y.view(shape), None
    values = x.view(-1, block).index_select(0, candidates)
    row, offset = (values == y.view(-1)[candidates // (length // block), None]).nonzero().unbind(1)
    return y.view(shape), candidates[row] * block + offset
