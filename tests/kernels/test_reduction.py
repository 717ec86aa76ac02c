"""The repaired reductions: bit for bit or to rounding what ATen says."""

import pytest
import torch
from torch import Tensor

from sefactory.kernels import reduction
from sefactory.kernels.reduction import EXTREMA

LARGEST, SMALLEST = EXTREMA["max"], EXTREMA["min"]
SHAPES = [
    (2, 64, 28, 28),
    (3, 5, 56, 56),
    (2, 80, 7, 9),
    (1, 64, 20, 33),
    (2, 3, 30, 35),
    (2, 3, 1, 17),
    (2, 6, 9, 64),
    (0, 64, 28, 28),
    (2, 70),
]
AXES = [(1,), (2,), (3,), (2, 3), (1, 3), (1, 2, 3)]


def cases() -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    return [(shape, dims) for shape in SHAPES for dims in AXES if max(dims) < len(shape)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape, dims", cases())
def test_extrema_equal_aten_bit_for_bit(shape: tuple[int, ...], dims: tuple[int, ...], dtype: torch.dtype) -> None:
    x = torch.randn(shape, dtype=dtype)
    assert torch.equal(reduction.extremum(x, dims, LARGEST), x.amax(dims, keepdim=True))
    assert torch.equal(reduction.extremum(x, dims, SMALLEST), x.amin(dims, keepdim=True))


@pytest.mark.parametrize("shape, dims", cases())
def test_sums_and_means_equal_aten(shape: tuple[int, ...], dims: tuple[int, ...]) -> None:
    x = torch.randn(shape, dtype=torch.float64)
    torch.testing.assert_close(reduction.total(x, dims), x.sum(dims, keepdim=True), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(reduction.mean(x, dims), x.mean(dims, keepdim=True), rtol=1e-12, atol=1e-12)


def test_a_sum_over_no_axis_is_the_tensor() -> None:
    x = torch.randn(2, 3)
    assert reduction.total(x, ()) is x


@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("at", [(0, 0, 0), (63, 55, 55), (31, 30, 27)])
def test_nan_and_infinity_come_through(dim: int, at: tuple[int, int, int]) -> None:
    x = torch.randn(1, 64, 56, 56)
    for value in (torch.nan, torch.inf, -torch.inf):
        x[(0, *at)] = value
        given, wanted = reduction.extremum(x, (dim,), LARGEST), x.amax(dim, keepdim=True)
        torch.testing.assert_close(given, wanted, rtol=0, atol=0, equal_nan=True)


def test_views_are_reduced_too() -> None:
    x = torch.randn(56, 28, 3, 64).permute(2, 3, 0, 1)
    for dims in AXES:
        assert torch.equal(reduction.extremum(x, dims, LARGEST), x.amax(dims, keepdim=True))
        torch.testing.assert_close(reduction.total(x, dims), x.sum(dims, keepdim=True))
        assert torch.equal(reduction.argmax_positions(x, dims, LARGEST)[0], x.amax(dims, keepdim=True))


@pytest.mark.parametrize(
    "shape, length",
    [
        ((2, 3, 1, 1), 20),
        ((2, 3, 4, 1), 5),
        ((2, 1, 1, 1), 60),
        ((1, 1, 1, 1), 120),
        ((2, 3, 4, 5), 1),
        ((1, 3, 1, 1), 0),
        ((2, 1, 4, 5), 0),
        ((2, 3, 1, 5), 0),
    ],
)
def test_rows_are_the_values_that_share_one(shape: tuple[int, ...], length: int) -> None:
    assert reduction.row_length(shape, (2, 3, 4, 5)) == length


@pytest.mark.parametrize("n, length", [(6, 49), (128, 56), (3, 3136), (1, 40), (0, 7)])
def test_row_dots_and_lines(n: int, length: int) -> None:
    a, b = torch.randn(2, n, length, dtype=torch.float64)
    slope, level = torch.randn(2, n, 1, dtype=torch.float64)
    torch.testing.assert_close(reduction.row_dot(a, b, length), (a * b).sum(1), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(reduction.row_affine(a, slope, level, length), a * slope + level, rtol=1e-12, atol=1e-12)


def places_of(x: Tensor, dims: tuple[int, ...]) -> Tensor:
    return (x == x.amax(dims, keepdim=True)).view(-1).nonzero().squeeze(1)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("shape", [(3, 8, 28, 28), (2, 4, 56, 56), (2, 4, 16, 24, 8), (2, 3, 512)])
def test_argmax_positions_are_all_ties(shape: tuple[int, ...], ties: bool) -> None:
    x = torch.randn(shape)
    dims = tuple(range(2, len(shape)))
    if ties:
        x.view(*shape[:2], -1)[..., [3, 5, 400]] = 9.0
    y, places = reduction.argmax_positions(x, dims, LARGEST)
    assert torch.equal(y, x.amax(dims, keepdim=True))
    assert places is not None and torch.equal(places, places_of(x, dims))
    assert places.numel() == shape[0] * shape[1] * (3 if ties else 1)


def test_many_ties_short_rows_and_other_axes_have_no_places() -> None:
    assert reduction.argmax_positions(torch.zeros(2, 4, 28, 28), (2, 3), LARGEST)[1] is None
    assert reduction.argmax_positions(torch.randn(2, 4, 7, 7), (2, 3), LARGEST)[1] is None
    assert reduction.argmax_positions(torch.randn(2, 512, 7, 7), (1,), LARGEST)[1] is None


@pytest.mark.parametrize("shape", [(2, 3, 4, 1), (2, 3, 1, 5), (2, 1, 4, 5), (2, 3, 1, 1), (2, 3, 4, 5)])
@pytest.mark.parametrize("factors", [[], [(2, 3, 4, 1)], [(2, 3, 1, 5)], [(1, 1, 1, 5)], [(2, 3, 4, 1), (1, 3, 1, 5)]])
def test_contracted_is_the_sum_of_the_product(shape: tuple[int, ...], factors: list[tuple[int, ...]]) -> None:
    p = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    given = [torch.randn(size, dtype=torch.float64) for size in factors]
    wanted = p.clone()
    for factor in given:
        wanted = wanted * factor
    found = reduction.contract(p, given, shape, torch.empty_like(p))
    torch.testing.assert_close(found, wanted.sum_to_size(shape), rtol=1e-12, atol=1e-12)
