"""Maps between positions as matrices: what torch's own operations say, in float64."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses import FakeTensorMode
from torch.nn import functional as F

from sefactory.compiler.codegen import params
from sefactory.kernels import grouped_conv
from sefactory.kernels import separable_resample as bands


def values(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("borders", [False, True])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (5, 3), (7, 4), (9, 2)])
def test_means_equal_avg_pool(kernel: int, stride: int, borders: bool) -> None:
    for side in (4, 7, 8, 13):
        x = values(2, 3, side, side + 2).requires_grad_()
        wanted = F.avg_pool2d(x, kernel, stride, kernel // 2, count_include_pad=borders)
        matrices = [bands.mean_matrix(n, kernel, stride, borders, x.dtype) for n in x.shape[2:]]
        found = bands.apply_matrices(x, matrices)
        torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)
        g = values(*found.shape)
        torch.testing.assert_close(*(torch.autograd.grad(y, x, g)[0] for y in (found, wanted)), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("mean", [False, True])
@pytest.mark.parametrize("sides", [(5, 9), (40, 33)])  # one matrix, and one for each axis
def test_sums_under_each_tap_weighed_are_the_mean_of_a_convolution(sides: tuple[int, int], mean: bool) -> None:
    for kernel, stride, padding, dilation in product([(3, 3), (1, 5)], [1, 2], [(0, 0), (2, 1)], [1, 2]):
        x, weight = values(2, 3, *sides), values(3, 1, *kernel)
        if any(dilation * (k - 1) + 1 > n + 2 * p for k, n, p in zip(kernel, sides, padding, strict=True)):
            continue
        y = F.conv2d(x, weight, None, stride, padding, dilation, 3)
        matrices, places = bands.tap_matrices(sides, kernel, stride, padding, dilation, mean, x.dtype)
        taps = bands.apply_matrices(x.flatten(2) if len(matrices) == 1 else x, matrices).flatten(2)
        assert places == y[0, 0].numel() and taps.shape[2] == kernel[0] * kernel[1]
        wanted = y.mean((2, 3)) if mean else y.sum((2, 3))
        torch.testing.assert_close((taps * weight.flatten(1)).sum(2), wanted, rtol=1e-12, atol=1e-12)


def test_the_nearest_is_the_one_that_interpolate_takes() -> None:
    """Also where its float32 rounds across a border: 34 of these pairs are not even although one divides the other."""
    uneven = 0
    for n in range(1, 60):
        for m in range(n, 300):
            index, times = bands.nearest_index(n, m)
            wanted = F.interpolate(torch.arange(n, dtype=torch.float32)[None, None], size=m).flatten().long()
            assert torch.equal(index, wanted)
            assert not times or torch.equal(torch.arange(n).repeat_interleave(times), wanted)
            uneven += m % n == 0 and not times
    assert uneven > 0


@pytest.mark.parametrize("sides", [(8, 12), (5, 6), (4, 12), (9, 6), (8, 13)])
def test_upsampling_equals_interpolate(sides: tuple[int, int]) -> None:
    x = values(2, 3, 4, 6).requires_grad_()
    found, wanted = bands.upsample_nearest(x, sides), F.interpolate(x, sides)
    assert torch.equal(found, wanted)
    g = values(*found.shape)
    torch.testing.assert_close(*(torch.autograd.grad(y, x, g)[0] for y in (found, wanted)), rtol=1e-12, atol=1e-12)


def test_a_matrix_is_made_once_for_a_grid() -> None:
    assert bands.mean_matrix(14, 3, 2, False, torch.float32) is bands.mean_matrix(14, 3, 2, False, torch.float32)


@pytest.mark.parametrize("mode", [torch.inference_mode, FakeTensorMode, lambda: torch.device("meta")])
def test_what_is_cached_in_a_mode_serves_every_call(mode: Callable[[], AbstractContextManager[Any]]) -> None:
    for function in (bands.mean_matrix, bands.tap_matrices, bands.nearest_index, grouped_conv._same_group, params._zeros):
        function.cache_clear()
    with mode():
        cached = [
            bands.mean_matrix(9, 3, 2, False, torch.float64),
            bands.tap_matrices((4,), (3,), 1, (1,), 1, True, torch.float64)[0][0],
            bands.nearest_index(2, 4)[0],
            grouped_conv._same_group(2, torch.float64),
            params._zeros(2, torch.float64, torch.device("cpu")),
        ]
    assert all(type(matrix) is Tensor and matrix.is_cpu and not matrix.is_inference() for matrix in cached)
