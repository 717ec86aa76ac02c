"""Reductions of contiguous maps by the calls that ATen's CPU kernels are good at.

Milliseconds at 8 x 128 x 56 x 56, float32, one thread of a Zen 3 (AVX2), best of 25 (in brackets: median under noise):

| over | amax | here | sum | here |
| --- | --- | --- | --- | --- |
| HW, rows of 3,136 | 0.8 | ATen's | 0.7 | ATen's |
| C, 128 rows of 3,136 columns | 1.6 (2.4) | staged 0.8 (1.1) | 0.8 (1.4) | staged 0.6 (0.8) |
| H, 56 rows of 56 columns | 5.1 (5.5) | folded 1.7 (2.6) | 0.6 (1.1) | ATen's |
| W, rows of 56 | 4.6 (4.8) | halved 1.7 (2.0) | 1.3 (1.4) | ATen's |

The mean over W of small maps, in us at 2 x 128 (and with backward): 7 x 7 20, as a product with 1 / n 8 (119, 95); 14 x 14
66, 25 (295, 193).

The variance over HW: 7.8 as mean, difference, square and sum, 21.8 by torch.var, here 2.2 (7.6 where all rows lie far from 0).
"""

from collections.abc import Sequence
from functools import lru_cache
from math import gcd, prod
from typing import NamedTuple

import torch
from torch import Tensor

LANES = 32  # ATen's reductions take four registers at a time and the columns left over one by one
STAGE, FOLD = 16, 4  # 8 and 16 rows a stage are alike, 4 and 32 slower; 2 and 8 rows a fold are slower at 56 columns
FAR = 4.0  # mean^2 / variance beyond which E x^2 - (E x)^2 loses a digit
ROWS = 128  # of those at a time
SHARE = 4  # maxima per row, on average, up to which a list of places is shorter work than a mask


class Extremum(NamedTuple):
    """The direction of an extremum: over axes, and of two maps."""

    largest: bool

    def over(self, x: Tensor, dims: Sequence[int], y: Tensor | None = None) -> Tensor:
        return (torch.amax if self.largest else torch.amin)(x, tuple(dims), keepdim=True, out=y)

    def of(self, a: Tensor, b: Tensor) -> Tensor:
        return torch.maximum(a, b) if self.largest else torch.minimum(a, b)


def total(x: Tensor, dims: Sequence[int], y: Tensor | None = None) -> Tensor:
    """sum of x over dims, kept at size 1, into y where it is given; over many long rows in two stages, the first of 16 rows."""
    if not dims:
        return x if y is None else y.copy_(x)
    if len(dims) == 1 and _long(x, dims[0]):
        x = torch.unflatten(x, dims[0], (-1, STAGE)).sum(dims[0] + 1)
    return torch.sum(x, tuple(dims), keepdim=True, out=y)


def mean(x: Tensor, dims: Sequence[int], y: Tensor | None = None) -> Tensor:
    """total(x) / n, into y where it is given."""
    if len(dims) == 1 and _long(x, dims[0]):
        return total(x, dims, y).div_(x.shape[dims[0]])
    return torch.mean(x, tuple(dims), keepdim=True, out=y)


def row_means(x: Tensor) -> Tensor:
    """The mean over the last axis, as a matrix times a vector; differentiable."""
    return torch.matmul(x, _shares(x.shape[-1], x.dtype))


@lru_cache(maxsize=256)
@torch.inference_mode(False)  # kept for autograd as well
def _shares(n: int, dtype: torch.dtype) -> Tensor:
    """1 / n, n times."""
    return torch.full((n,), 1 / n, dtype=dtype, device="cpu")


def extremum(x: Tensor, dims: Sequence[int], kind: Extremum, y: Tensor | None = None) -> Tensor:
    """amax or amin of x over dims, kept at size 1, bit for bit (nan where one is); into y where it is given."""
    if len(dims) != 1:
        return kind.over(x, dims, y)
    dim, n = dims[0], x.shape[dims[0]]
    columns = prod(x.shape[dim + 1 :])
    if columns == 1:
        return _over_rows(x, dim, kind, y)
    if columns % LANES and n >= 2 * FOLD:
        x = _folded(x, dim, kind)
    elif _long(x, dim):
        x = kind.over(torch.unflatten(x, dim, (-1, STAGE)), (dim + 1,)).squeeze(dim + 1)
    return kind.over(x, dims, y)


def variance(x: Tensor, dims: Sequence[int], y: Tensor | None = None) -> Tensor:
    """E (x - E x)^2 over dims, kept at size 1: of rows by E x^2 - (E x)^2 in one pass, but for those that lie far from 0.

    Over other axes as written, sample by sample. Into y where it is given.
    """
    y = x.new_empty([1 if i in dims else n for i, n in enumerate(x.shape)]) if y is None else y
    length = rows(y.shape, x.shape)
    if length >= LANES and x.numel():
        return y.copy_(_row_variances(x.reshape(-1, length)).view(y.shape))
    for x_1, y_1 in zip(x.split(1), y.split(1), strict=True):
        y_1.copy_((x_1 - x_1.mean(tuple(dims), keepdim=True)).square_().mean(tuple(dims), keepdim=True))
    return y


def _row_variances(x: Tensor) -> Tensor:
    squares, sums = _row_sums(x, x, x.shape[1])
    square = (sums / x.shape[1]).square_()
    y = (squares / x.shape[1]).sub_(square)
    far = (square <= FAR * y).logical_not_()  # and where one is nan
    if bool(far.any()):
        for some in far.nonzero().squeeze(1).split(ROWS):
            near = x.index_select(0, some)
            y[some] = near.sub_(near.mean(1, keepdim=True)).square_().mean(1)
    return y


def _long(x: Tensor, dim: int) -> bool:
    """Many rows of many columns, which are far from each other in memory: one stage of few rows stays in the cache."""
    return x.shape[dim] % STAGE == 0 and x.shape[dim] >= 4 * STAGE and prod(x.shape[dim + 1 :]) >= 16 * LANES


def _folded(x: Tensor, dim: int, kind: Extremum) -> Tensor:
    """Four rows that have the extremum of all: each fourth as one, so that (almost) all columns are taken in full registers."""
    n = x.shape[dim]
    whole = n - n % FOLD
    y = kind.over(torch.unflatten(x.narrow(dim, 0, whole), dim, (-1, FOLD)), (dim,)).squeeze(dim)
    return kind.of(y, x.narrow(dim, n - FOLD, FOLD)) if whole < n else y


def _over_rows(x: Tensor, dim: int, kind: Extremum, y: Tensor | None) -> Tensor:
    """Rows of 17 to 63 float32 as the extremum of two overlapping parts of 16 or 32, sample by sample."""
    n = x.shape[dim]
    part = 16 if n <= 32 else 32
    if x.dtype != torch.float32 or not 16 < n < 64 or n == 32:
        return kind.over(x, (dim,), y)
    y = x.new_empty([1 if i == dim else size for i, size in enumerate(x.shape)]) if y is None else y
    for x_1, y_1 in zip(x.split(1), y.split(1), strict=True):
        kind.over(kind.of(x_1.narrow(dim, 0, part), x_1.narrow(dim, n - part, part)), (dim,), y_1)
    return y


def rows(shape: Sequence[int], full: Sequence[int]) -> int:
    """The length of a row where `shape` is `full` with its last axes 1: as many values share one; else 0."""
    kept = next((i for i in range(len(full), 0, -1) if shape[i - 1] != 1), 0)
    return prod(full[kept:]) if tuple(shape[:kept]) == tuple(full[:kept]) else 0


def row_dots(a: Tensor, b: Tensor, length: int) -> Tensor:
    """sum_l a_rl b_rl of contiguous maps seen as rows, without their product.

    The weight gradient of a group norm of mean 0 and deviation 1: 2.0 ms, where reading both takes 1.9. That of a batch
    norm takes 2.5, product and sum 3.1 whole and 2.4 in blocks, vecdot 3.7.
    """
    return _row_sums(a, b, length)[0]


def _row_sums(a: Tensor, b: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """(sum_l a_rl b_rl, sum_l a_rl), in one pass."""
    n = a.numel() // length if length else 0
    if n == 0:
        return a.new_zeros(n), a.new_zeros(n)
    zero, one = a.new_zeros(1, n), a.new_ones(1, n)
    given = a.reshape(1, n, length), b.reshape(1, n, length), zero, one, one[0], 1, n, length, n
    _, dots, sums = torch.ops.aten.native_group_norm_backward(*given, [False, True, True])
    return dots, sums


def row_lines(x: Tensor, slope: Tensor, level: Tensor, length: int) -> Tensor:
    """y_rl = slope_r x_rl + level_r of a contiguous map seen as rows.

    An inference batch norm of mean 0 and variance 1: 2.1 ms, mul and add_ 2.7 (addcmul with two such operands 3.5).
    """
    n = x.numel() // length if length else 0
    if n == 0:
        return torch.empty_like(x)
    zero, one = x.new_zeros(n), x.new_ones(n)
    given = x.reshape(1, n, length), slope.reshape(n), level.reshape(n), zero, one
    y: Tensor = torch.ops.aten.native_batch_norm(*given, False, 0.0, 0.0)[0]
    return y.view(x.shape)


def contracted(p: Tensor, factors: Sequence[Tensor], shape: Sequence[int], buffer: Tensor) -> Tensor:
    """sum p * factors over the axes that have size 1 in `shape` (the first apart); the buffer holds the product.

    Over the last axis or the last but one, with a factor that does not know the other of both, it is a product of
    matrices: 0.9 and 1.6 ms where mul and sum take about 1.6 and 2.0.
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


def spots(x: Tensor, dims: Sequence[int]) -> int:
    """The size of the blocks in which the extrema of long rows are looked for; 0 where a mask is better than places."""
    length = rows([1 if i in dims else n for i, n in enumerate(x.shape)], x.shape)
    block = gcd(length, 2 * LANES)
    return 0 if length < 256 or block < 8 or x.numel() == 0 or not x.is_contiguous() else block


def spotted(x: Tensor, dims: Sequence[int], kind: Extremum) -> tuple[Tensor, Tensor | None]:
    """(extremum of x over dims, the flat places of all that equal it); None where a mask is better than places.

    For long rows: block extrema first, then a look into the blocks that hold it. 0.6 ms and 128 places a sample, instead
    of a mask, its sum and its product, 4 ms. Ties are all found; where there are many (a dead channel), None.
    """
    block = spots(x, dims)
    if not block:
        return extremum(x, dims, kind), None
    shape = [1 if i in dims else n for i, n in enumerate(x.shape)]
    length = rows(shape, x.shape)
    blocks = kind.over(x.view(-1, length // block, block), (2,)).squeeze(2)
    y = kind.over(blocks, (1,))
    holding = (blocks == y).view(-1).nonzero().squeeze(1)
    if holding.numel() > SHARE * y.numel():
        return y.view(shape), None
    inside = x.view(-1, block).index_select(0, holding)
    where, at = (inside == y.view(-1)[holding // (length // block), None]).nonzero().unbind(1)
    return y.view(shape), holding[where] * block + at
