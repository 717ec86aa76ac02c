"""conv: a kernel for each axis, what lies outside of the map, a stated padding."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.export import Dim, export
from torch.nn import functional as F

import sefactory as sf
from tests.operators.formulas import assert_same, check_declared_sizes, random_map, random_operator

MODES = ["circular", "reflect", "replicate"]


def read(i: int, n: int, mode: str) -> int:
    """The index that an index outside is read at, one step at a time."""
    while not 0 <= i < n:
        if mode == "replicate" or n == 1:
            return min(max(i, 0), n - 1)
        i = i + n * (1 if i < 0 else -1) if mode == "circular" else -i if i < 0 else 2 * (n - 1) - i
    return i


def padded(x: Tensor, mode: str, paddings: dict[int, int]) -> Tensor:
    for dim, p in paddings.items():
        n = x.shape[dim]
        x = torch.stack([x.select(dim, read(i, n, mode)) for i in range(-p, n + p)], dim)
    return x


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("kernel", "dilation", "stride"), [([3, 3], 1, 1), ([5, 3], 1, 2), ([3, 5], 2, 1), ([1, 7], 1, 3)])
def test_padding_modes_equal_those_of_torch(mode: str, kernel: list[int], dilation: int, stride: int) -> None:
    x = random_map(s=1, h=8, w=7)
    module = random_operator("conv", x, kernel=kernel, out=4, padding=mode, dilation=dilation, stride=stride, bias=True)
    assert module.weight.shape == (4, 6, *kernel)
    high, wide = (dilation * (k - 1) // 2 for k in kernel)
    border = F.pad(x[:, 0], (wide, wide, high, high), mode=mode)
    y = module(x)
    assert_same(y[:, 0], F.conv2d(border, module.weight, module.bias, stride=stride, dilation=dilation))
    check_declared_sizes(module, x, y)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("grid", [(1, 1), (1, 4), (2, 3), (3, 2), (5, 1)])
@pytest.mark.parametrize("stride", [1, 2])
def test_padding_may_be_wider_than_the_map(mode: str, grid: tuple[int, int], stride: int) -> None:
    x = random_map(s=1, h=grid[0], w=grid[1])
    module = random_operator("conv", x, kernel=[7, 5], out=2, padding=mode, dilation=2, stride=stride)
    border = padded(x[:, 0], mode, {2: 6, 3: 4})
    y = module(x)
    assert_same(y[:, 0], F.conv2d(border, module.weight, stride=stride, dilation=2))
    check_declared_sizes(module, x, y)


@pytest.mark.parametrize("mode", MODES)
def test_padding_along_channels_and_three_axes(mode: str) -> None:
    x = random_map()
    module = random_operator("conv", x, along="WCH", mix="S", out=3, kernel=[3, 1, 5], padding=mode)
    assert module.weight.shape == (3, 2, 3, 1, 5)
    border = padded(x, mode, {4: 1, 3: 2})
    expected = F.conv3d(border.permute(0, 1, 4, 2, 3), module.weight)  # B, S, W, C, H
    assert_same(module(x), expected.permute(0, 1, 3, 4, 2))


@pytest.mark.parametrize("mode", MODES)
def test_padding_modes_export_with_a_dynamic_grid(mode: str) -> None:
    block = sf.build([{"conv": {"kernel": [5, 3], "padding": mode}}, {"pool": {"over": "W"}}], 3)
    dims: Any = {0: Dim("B"), 2: Dim("H", min=1), 3: Dim("W", min=1)}
    exported = export(block, (torch.randn(3, 3, 6, 7),), dynamic_shapes=(dims,)).module()
    for grid in ((1, 1), (2, 9), (8, 3)):
        x = torch.randn(2, 3, *grid)
        torch.testing.assert_close(exported(x), block(x))


def test_zeros_with_a_kernel_for_each_axis_in_the_order_of_along() -> None:
    x = random_map(s=1)
    module = random_operator("conv", x, along="WH", kernel=[5, 3], out=4)
    assert_same(module(x)[:, 0], F.conv2d(x[:, 0], module.weight.transpose(2, 3), padding=(1, 2)))


STATED: list[tuple[Any, Any, int, int]] = [
    (4, 2, 1, 1),
    (2, 0, 2, 1),
    ([4, 2], [0, 3], 1, 1),
    ([4, 2], 1, 3, 1),
    (2, 1, 1, 2),
    (3, 1, 2, 1),
    ([4, 5], 0, 1, 1),
    (1, 3, 1, 1),
]


@pytest.mark.parametrize(("kernel", "padding", "stride", "dilation"), STATED)
def test_explicit_padding_is_zeros_on_both_sides(kernel: Any, padding: Any, stride: int, dilation: int) -> None:
    x = random_map(s=1)
    module = random_operator("conv", x, kernel=kernel, padding=padding, stride=stride, dilation=dilation, out=4, bias=True)
    y = module(x)
    assert_same(y[:, 0], F.conv2d(x[:, 0], module.weight, module.bias, stride, padding, dilation))
    check_declared_sizes(module, x, y)


def test_a_kernel_of_the_whole_grid_gathers_each_channel() -> None:
    config = {"conv": {"kernel": ["H", "W"], "padding": 0, "each": "C"}}
    block = sf.build(config, 6, height=4, width=5).double()
    x = torch.randn(2, 6, 4, 5, dtype=torch.float64)
    assert_same(block(x)[..., 0, 0], torch.einsum("bchw,chw->bc", x, block.state_dict()["weight"][:, 0]))


def test_an_open_grid_takes_the_padding_that_keeps_it() -> None:
    for kernel, dilation, padding in ((5, 1, 2), (3, 3, [3, 3]), (2, 2, 1), (1, 1, 0)):
        given = {"kernel": kernel, "dilation": dilation, "padding": padding, "stride": 2}
        block = sf.build({"conv": given}, 4)
        assert tuple(block(torch.randn(1, 4, 7, 6)).shape) == (1, 4, 4, 3) and str(block.sizes[1]) == "1 x 4 x H/2 x W/2"


def test_explicit_padding_changes_the_channels() -> None:
    x = random_map(s=1)
    module = random_operator("conv", x, along="C", kernel=4, padding=0, stride=2)
    assert_same(module(x)[:, 0, :, 1, 2], F.conv1d(x[:, :, :, 1, 2], module.weight[:, None], stride=2)[:, 0])
    check_declared_sizes(module, x, module(x))
