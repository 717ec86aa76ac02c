"""spectrum, unfold, resize, standardize, dropout and clamp against plain torch."""

import math
from itertools import product

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import sefactory as sf
from tests.operators.formulas import C, H, S, W, assert_same, check_declared_sizes, random_map, random_operator, shift


def coefficient(x: Tensor, u: int, v: int, grid: tuple[int, int]) -> Tensor:
    """The orthonormal DCT-II coefficient (u, v) of the adaptive mean, term by term; (B, S, channels)."""
    mean = F.adaptive_avg_pool2d(x.flatten(0, 1), grid).unflatten(0, x.shape[:2])
    total = torch.zeros(x.shape[:3], dtype=x.dtype)
    for i, j in product(*map(range, grid)):
        cosines = math.cos(math.pi * u * (i + 0.5) / grid[0]) * math.cos(math.pi * v * (j + 0.5) / grid[1])
        total += mean[..., i, j] * cosines
    return total * math.sqrt((2 if u else 1) / grid[0] * (2 if v else 1) / grid[1])


@pytest.mark.parametrize("grid", [1, 3, 4, 7, [2, 5], [H, W]])
@pytest.mark.parametrize("frequencies", [[[0, 0]], [[0, 0], [1, 2]], [[1, 0], [0, 1], [1, 1]], [[0, 1]] * C])
def test_spectrum(frequencies: list[list[int]], grid: int | list[int]) -> None:
    height, width = grid if isinstance(grid, list) else (grid, grid)
    if any(u >= height or v >= width for u, v in frequencies):
        return
    for h, w in ((H, W), (9, 14), (1, 3)):
        x = random_map(h=h, w=w)
        module = random_operator("spectrum", x, frequencies=frequencies, grid=grid)
        y = module(x)
        groups = x.chunk(len(frequencies), 2)
        expected = [coefficient(part, u, v, (height, width)) for part, (u, v) in zip(groups, frequencies, strict=True)]
        assert_same(y, torch.cat(expected, 2)[..., None, None])
        check_declared_sizes(module, x, y)


def test_the_lowest_frequency_is_the_mean_and_all_of_them_keep_the_energy() -> None:
    x = random_map(c=H * W)
    assert_same(
        random_operator("spectrum", x, frequencies=[[0, 0]], grid=[H, W])(x), x.mean((3, 4), keepdim=True) * math.sqrt(H * W)
    )
    one = random_map(c=1).expand(-1, -1, H * W, -1, -1)
    y = random_operator("spectrum", one, frequencies=[[u, v] for u in range(H) for v in range(W)], grid=[H, W])(one)
    assert_same(y.square().sum(2, keepdim=True), one[:, :, :1].square().sum((3, 4), keepdim=True))


def test_a_spectrum_has_no_state_and_is_the_same_after_another_device() -> None:
    block = sf.build({"spectrum": {"frequencies": [[0, 1], [2, 3]]}}, 8)
    assert not block.state_dict() and not list(block.buffers())
    x = torch.randn(2, 8, 9, 9)
    with torch.device("meta"):
        other = sf.build({"spectrum": {"frequencies": [[0, 1], [2, 3]]}}, 8)
    assert torch.equal(other.to_empty(device="cpu")(x), block(x))


@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_unfold_is_the_one_of_torch(kernel: int) -> None:
    x = random_map()
    module = random_operator("unfold", x, kernel=kernel)
    y = module(x)
    theirs = F.unfold(x.flatten(0, 1), kernel, padding=kernel // 2)  # (B S, C k k, H W)
    expected = theirs.reshape(-1, S, C, kernel**2, H, W).movedim(3, 1)  # offset, then map
    assert_same(y, expected.flatten(1, 2))
    check_declared_sizes(module, x, y)


@pytest.mark.parametrize("over", ["H", "W", "C", "WH", "CW", "CHW"])
def test_unfold_over(over: str) -> None:
    x = random_map()
    module = random_operator("unfold", x, over=over)
    parts = []
    for offsets in product((-1, 0, 1), repeat=len(over)):
        part = x
        for axis, offset in zip(over, offsets, strict=True):
            part = shift(part, "BSCHW".index(axis), offset)
        parts.append(part)
    y = module(x)
    assert_same(y, torch.cat(parts, 1))
    check_declared_sizes(module, x, y)


def interpolated(x: Tensor, size: tuple[int, int], mode: str) -> Tensor:
    maps = [F.interpolate(x[:, s], size=size, mode=mode) for s in range(x.shape[1])]
    return torch.stack(maps, 1)


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
@pytest.mark.parametrize("to", [[1, 1], [2, 9], [7, 7], [H, W]])
def test_resize_to_a_grid(to: list[int], mode: str) -> None:
    x = random_map()
    module = random_operator("resize", x, to=to, mode=mode)
    y = module(x)
    assert_same(y, interpolated(x, (to[0], to[1]), mode))
    check_declared_sizes(module, x, y)


SCALES = [
    (1.0, 4, 5),
    (2.0, 8, 10),
    (3.0, 12, 15),
    (0.5, 2, 3),
    (1 / 3, 2, 2),
    (0.7, 2, 3),
    (1.5, 6, 7),
    (0.01, 1, 1),
    (0.15, 1, 1),
]


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
@pytest.mark.parametrize(("scale", "height", "width"), SCALES)
def test_resize_by_a_scale(scale: float, height: int, width: int, mode: str) -> None:
    x = random_map()
    module = random_operator("resize", x, scale=scale, mode=mode)
    y = module(x)
    assert_same(y, interpolated(x, (height, width), mode))
    check_declared_sizes(module, x, y)


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
@pytest.mark.parametrize("scale", [2, 3, "1/2", "1/4"])
def test_a_scale_that_divides_is_the_scale_factor_of_torch(scale: int | str, mode: str) -> None:
    x = torch.randn(2, 8, 8, 12)
    block = sf.build({"resize": {"scale": scale, "mode": mode}}, 8)
    factor = float(scale) if isinstance(scale, int) else 1 / int(scale[2:])
    torch.testing.assert_close(block(x), F.interpolate(x, scale_factor=factor, mode=mode))


@pytest.mark.parametrize(
    ("config", "sizes"),
    [
        ([{"resize": {"scale": 2}}], "1 x 8 x H*2 x W*2"),
        ([{"resize": {"scale": 2}}, {"window": 2}], "1 x 8 x H x W"),
        ([{"conv": {"stride": 2}}, {"resize": {"scale": 2}}], "1 x 8 x H/2*2 x W/2*2"),
        ([{"conv": {"stride": 2}}, {"resize": {"scale": 2}}, {"resize": {"scale": "1/2"}}], "1 x 8 x H/2 x W/2"),
        ([{"resize": {"scale": 3}}, {"resize": {"scale": 0.5}}], "1 x 8 x H*3/2 x W*3/2"),
        ([{"resize": {"to": ["C", "C - 1"]}}], "1 x 8 x 8 x 7"),
    ],
)
def test_the_sizes_of_a_resized_map_go_on(config: list[object], sizes: str) -> None:
    block = sf.build(config, 8)
    assert str(block.sizes[1]) == sizes
    for grid in ((6, 5), (1, 9)):
        assert block(torch.randn(2, 8, *grid)).shape[2:] == block.sizes[1].shape(2, dict(zip("HW", grid, strict=True)))[3:]


@pytest.mark.parametrize(
    ("before", "gate"),
    [
        ("identity", [{"resize": {"scale": "1/2"}}]),
        ("identity", [{"resize": {"scale": 2}}, {"window": 4}]),
        ("identity", [{"resize": {"scale": 2}}, {"resize": {"scale": "1/2"}}]),
        ({"resize": {"scale": 2}}, [{"window": 2}]),
        ({"resize": {"scale": 2}}, [{"window": 3}]),
        ({"resize": {"scale": 2}}, [{"window": 3}, {"conv": {"stride": 2}}]),
        ([{"conv": {"stride": 2}}, {"resize": {"scale": 2}}], [{"resize": {"scale": "1/2"}}]),
        ([{"conv": {"stride": 2}}, {"resize": {"scale": 2}}], [{"resize": {"scale": "1/4"}}]),
    ],
)
def test_a_gate_of_lower_resolution_is_upsampled(before: object, gate: list[object]) -> None:
    block = sf.build([before, {"squeeze": [*gate, "sigmoid"]}], 8).eval()
    for grid in ((12, 9), (7, 5), (1, 1)):
        assert block(torch.randn(2, 8, *grid)).isfinite().all()


@pytest.mark.parametrize("over", ["HW", "C", "H", "S", "CHW", "SCHW"])
@pytest.mark.parametrize("unbiased", [True, False])
def test_standardize(over: str, unbiased: bool) -> None:
    x = random_map()
    dims = tuple("BSCHW".index(axis) for axis in over)
    module = random_operator("standardize", x, over=over, unbiased=unbiased, eps=1e-3)
    centred = x - x.mean(dims, keepdim=True)
    y = module(x)
    assert_same(y, centred / (x.var(dims, correction=int(unbiased), keepdim=True) + 1e-3).sqrt())
    check_declared_sizes(module, x, y)


def test_one_value_standardizes_to_0() -> None:
    x = random_map(h=1, w=1)
    assert torch.equal(random_operator("standardize", x)(x), torch.zeros_like(x))
    assert_same(
        random_operator("standardize", random_map(), over="HW", unbiased=False)(random_map()),
        F.instance_norm(random_map().flatten(0, 1)).view_as(random_map()),
    )


@pytest.mark.parametrize("over", ["", "HW", "C", "S", "CHW"])
def test_dropout(over: str) -> None:
    x = random_map(s=4, c=10, h=8, w=9, batch=6)
    module = random_operator("dropout", x, p=0.25, over=over)
    assert torch.equal(module(x), x)
    torch.manual_seed(0)
    y = module.train()(x)
    dims = tuple("BSCHW".index(axis) for axis in over)
    dropped = y == 0
    assert_same(y, torch.where(dropped, torch.zeros_like(x), x / 0.75))
    for dim in dims:  # one decision along the axes
        assert torch.equal(dropped, dropped.narrow(dim, 0, 1).expand_as(dropped))
    free = dropped.amax(dims) if dims else dropped
    assert abs(float(free.double().mean()) - 0.25) < 4 * math.sqrt(0.25 * 0.75 / free.numel())


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_dropout_of_nothing_and_of_all(p: float) -> None:
    x = random_map()
    assert_same(random_operator("dropout", x, p=p).train()(x), x * (1 - p))


@pytest.mark.parametrize(("low", "high"), [(None, 0.5), (-0.5, None), (-0.5, 0.5), (0.25, 0.25)])
def test_clamp(low: float | None, high: float | None) -> None:
    x = random_map()
    expected = x if low is None else torch.where(x < low, low, x)
    assert_same(
        random_operator("clamp", x, min=low, max=high)(x),
        expected if high is None else torch.where(expected > high, high, expected),
    )


@pytest.mark.parametrize("config", ["standardize", {"pool": {"by": "std"}}, {"spectrum": [[0, 1]]}, {"resize": {"scale": 2}}])
def test_compile_without_a_graph_break(config: object) -> None:
    torch._dynamo.reset()
    block, x = sf.build([config], 8).eval(), torch.randn(2, 8, 6, 7)
    torch.testing.assert_close(torch.compile(block, fullgraph=True, backend="aot_eager")(x), block(x))
