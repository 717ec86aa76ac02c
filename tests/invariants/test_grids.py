"""Grids of one and three dimensions: they equal the two-dimensional block where an axis is one position long."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import sefactory as sf
from tests.invariants.cases import NARROW, SPECTRAL
from tests.sampling import SEVEN_PAPERS, sampled

CHANNELS = 16
BORDERED = {"caa"}  # its means count the zeros outside, and an axis of one position has more of them
EVERY = [name for name in sf.configs() if name not in SPECTRAL]
ALIKE = [name for name in EVERY if name not in BORDERED]
NAMED = ["senet", "sknet", "cbam", "coordatt", "triplet", "danet", "seaformer", "ecanet", "scse"]
SHAPES = {"W": (12,), "HW": (9, 7), "DHW": (3, 6, 5)}
WIDER = {"W": "HW", "HW": "DHW"}


def built(name: str, grid: str) -> sf.Block:
    """In float64, with random weights and statistics."""
    torch.manual_seed(0)
    block = sf.build(name, CHANNELS, grid=grid, overrides=NARROW.get(name, [])).double()
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=0.5)
    for key, buffer in block.named_buffers():
        if key.endswith("running_var"):
            nn.init.uniform_(buffer, 0.5, 1.5)
    return block


def centre(wide: Tensor, narrow: Tensor, grid: str) -> Tensor:
    """What a kernel with one more axis does to a map that is one position long there: its middle slice."""
    axis = wide.dim() - len(WIDER[grid])
    return wide if wide.shape == narrow.shape else wide.select(axis, wide.shape[axis] // 2)


def pair(name: str, grid: str) -> tuple[sf.Block, sf.Block]:
    """A block on a grid, and the one with an axis more that is equal to it where that axis is one position long."""
    narrow, wide = built(name, grid), built(name, WIDER[grid])
    weights = wide.state_dict()
    narrow.load_state_dict({key: centre(weights[key], tensor, grid) for key, tensor in narrow.state_dict().items()})
    return narrow, wide


@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize("grid", WIDER)
@pytest.mark.parametrize("name", sampled(ALIKE, {*SEVEN_PAPERS, *ALIKE[::4]}))
def test_a_grid_equals_the_wider_one_with_an_axis_of_one_position(name: str, grid: str, mode: str) -> None:
    narrow, wide = (block.train(mode == "train") for block in pair(name, grid))
    x = torch.randn(2, CHANNELS, *SHAPES[grid], dtype=torch.float64)
    xs = [x.clone().requires_grad_(), x.unsqueeze(2).requires_grad_()]
    torch.manual_seed(1)
    y = narrow(xs[0])
    torch.manual_seed(1)
    expected = wide(xs[1]).squeeze(2)
    torch.testing.assert_close(y, expected)
    cotangent = torch.randn_like(y)
    for found, wanted in zip(gradients(y, xs[0], cotangent), gradients(expected, xs[1], cotangent), strict=True):
        torch.testing.assert_close(found, wanted.reshape(found.shape))
    statistics = wide.state_dict()
    for key, tensor in narrow.state_dict().items():
        if "running" in key:
            torch.testing.assert_close(tensor, statistics[key])


def gradients(y: Tensor, x: Tensor, cotangent: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad((y * cotangent).sum(), [x]))


@pytest.mark.parametrize("grid", SHAPES)
@pytest.mark.parametrize("name", sampled(EVERY, {*SEVEN_PAPERS, *EVERY[::3]}))
def test_outputs_have_the_declared_sizes(name: str, grid: str) -> None:
    block = built(name, grid).eval()
    for batch, shape in ((1, SHAPES[grid]), (2, tuple(n + 3 for n in SHAPES[grid])), (3, tuple(1 for _ in grid))):
        y = block(torch.randn(batch, CHANNELS, *shape, dtype=torch.float64))
        assert y.shape == (batch, block.sizes[1]["C"], *shape)


def test_named_blocks_are_among_the_shipped() -> None:
    assert set(NAMED) <= set(ALIKE)


# ---- Second witnesses: the formulas with torch's own operators of one and three dimensions --------------------------------


def test_squeeze_and_excitation_of_sequences_and_volumes() -> None:
    for grid in ("W", "DHW"):
        block, x = built("senet", grid), torch.randn(2, CHANNELS, *SHAPES[grid], dtype=torch.float64)
        s = block.state_dict()
        z = x.flatten(2).mean(2)
        z = F.relu(F.linear(z, s["excite.0.0.weight"], s["excite.0.0.bias"]))
        z = F.linear(z, s["excite.0.2.weight"], s["excite.0.2.bias"]).sigmoid()
        torch.testing.assert_close(block(x), x * z.reshape(*z.shape, *(1 for _ in grid)))


def test_channel_then_spatial_attention_of_volumes() -> None:
    block, x = built("cbam", "DHW").eval(), torch.randn(2, CHANNELS, 3, 6, 5, dtype=torch.float64)
    s = block.state_dict()

    def mlp(z: Tensor) -> Tensor:
        hidden = F.linear(z, s["series.channel.excite.0.0.weight"], s["series.channel.excite.0.0.bias"]).relu()
        return F.linear(hidden, s["series.channel.excite.0.2.weight"], s["series.channel.excite.0.2.bias"])

    gate = (mlp(x.mean((2, 3, 4))) + mlp(x.amax((2, 3, 4)))).sigmoid()[..., None, None, None]
    z = x * gate
    pooled = torch.cat([z.amax(1, keepdim=True), z.mean(1, keepdim=True)], 1)
    weight = s["series.spatial.excite.0.weight"]
    assert weight.shape == (1, 2, 7, 7, 7)
    norm = [s[f"series.spatial.excite.1.{key}"] for key in ("running_mean", "running_var", "weight", "bias")]
    logits = F.batch_norm(F.conv3d(pooled, weight, padding=3), *norm)
    torch.testing.assert_close(block(x), z * logits.sigmoid())


def test_channel_and_spatial_excitation_of_sequences() -> None:
    block, x = built("scse", "W").eval(), torch.randn(2, CHANNELS, 12, dtype=torch.float64)
    s = {key.split(".", 2)[2]: tensor for key, tensor in block.state_dict().items()}
    names = sorted(block.state_dict())
    channel = [key for key in names if ".excite.0.0." in key or ".excite.0.2." in key]
    assert len(channel) == 4 and s
    b = block.state_dict()
    hidden = F.linear(x.mean(2), b[channel[1]], b[channel[0]]).relu()
    gate = F.linear(hidden, b[channel[3]], b[channel[2]]).sigmoid()[..., None]
    spatial = [key for key in names if key not in channel]
    logits = F.conv1d(x, b[spatial[1]][..., None], b[spatial[0]])
    torch.testing.assert_close(block(x), torch.maximum(x * gate, x * logits.sigmoid()))


def test_self_attention_of_sequences_and_volumes() -> None:
    config = [{"attention": {"tokens": "grid", "key": 3, "heads": 2}}]
    for grid in ("W", "DHW"):
        block, x = sf.build(config, CHANNELS, grid=grid), torch.randn(2, CHANNELS, *SHAPES[grid])
        q, k, v = (part.flatten(2).unflatten(1, (2, -1)).transpose(2, 3) for part in x.split([6, 6, 4], 1))
        y = F.scaled_dot_product_attention(q, k, v)
        torch.testing.assert_close(block(x), y.transpose(2, 3).reshape(2, 4, *SHAPES[grid]))


def test_a_window_over_volumes_is_the_mean_of_what_is_inside() -> None:
    x = torch.randn(1, 1, 5, 4, 3, dtype=torch.float64)
    block = sf.build([{"window": 2}], 1, grid="DHW")
    expected = F.avg_pool3d(x, 3, 2, 1, count_include_pad=False)
    torch.testing.assert_close(block(x), expected)


def test_a_coefficient_over_volumes_is_a_product_of_cosines() -> None:
    n, u = 4, (1, 2, 3)
    x = torch.randn(1, 1, n, n, n, dtype=torch.float64)
    waves = [(2 / n) ** 0.5 * torch.cos(torch.pi / n * f * (torch.arange(n, dtype=torch.float64) + 0.5)) for f in u]
    block = sf.build([{"spectrum": {"frequencies": [list(u)], "grid": n}}], 1, grid="DHW")
    torch.testing.assert_close(block(x).flatten(), torch.einsum("bcdhw,d,h,w->b", x, *waves))


def test_resize_of_sequences_and_volumes_is_that_of_torch() -> None:
    x, v = torch.randn(1, 4, 6), torch.randn(1, 4, 2, 3, 4)
    twice = [{"resize": {"scale": 2, "mode": "bilinear"}}]
    linear = F.interpolate(x, scale_factor=2, mode="linear")
    torch.testing.assert_close(sf.build(twice, 4, grid="W")(x), linear)
    torch.testing.assert_close(sf.build(twice, 4, grid="DHW")(v), F.interpolate(v, scale_factor=2, mode="trilinear"))
    assert sf.build([{"resize": {"to": [5]}}], 4, grid="W")(x).shape == (1, 4, 5)


def test_a_shared_trunk_sees_the_positions_of_volumes_end_to_end() -> None:
    fork = {
        "parallel": {"d": [{"pool": "HW"}], "hw": [{"pool": "D"}]},
        "shared": [{"linear": {}}, "batch_norm"],
        "fuse": "product",
    }
    block, x = sf.build([fork], 4, grid="DHW").double(), torch.randn(2, 4, 3, 5, 6, dtype=torch.float64)
    weight = block.get_parameter("0.shared.0.weight")
    strips = torch.cat([x.mean((3, 4)), x.mean(2).flatten(2)], 2)
    trunk = F.batch_norm(torch.einsum("oi,bin->bon", weight, strips), None, None, training=True)
    d, hw = trunk.split([3, 30], 2)
    torch.testing.assert_close(block(x), d[..., None, None] * hw.unflatten(2, (5, 6))[:, :, None])


# ---- What makes no sense on a grid says why --------------------------------------------------------------------------------

REFUSED: list[tuple[Any, str, dict[str, Any], str]] = [
    ([{"pool": "D"}], "HW", {}, "0: pool: over is D, and the grid HW has no D: build with grid='DHW'"),
    ([{"pool": "gridH"}], "HW", {}, "0: pool: over is gridH, which names an axis twice: grid is HW"),
    (
        [{"softmax": "H"}],
        "W",
        {},
        "0: softmax: over H of size 1 it would be 1 everywhere; the sizes (S x C x H x W) are 1 x 8 x 1 x W",
    ),
    ("fcanet", "W", {}, "fcanet.yaml squeeze.0: spectrum: frequency [0, 0] is not one number for each axis of the grid W"),
    ([{"resize": {"to": [4, 4]}}], "W", {}, "0: resize: to [4, 4] is not one size for each axis of the grid W"),
    (
        [{"spectrum": {"grid": [3, 3]}}],
        "DHW",
        {},
        "0: spectrum: grid [3, 3] is not one number for each axis of the grid DHW",
    ),
    ([{"conv": {"along": "Cgrid"}}], "DHW", {}, "0: conv: along CDHW: a convolution has one to three axes"),
    (
        [{"attention": {"position": [3, 3]}}],
        "W",
        {},
        "0: attention: position [3, 3] is along 2 token axes, and tokens are W",
    ),
    (
        [{"linear": {"mix": "HW", "out": 2}}],
        "W",
        {"width": 5},
        "config: leaves sizes of 1 x 8 x 2 x 1 (S x C x H x W), and a grid of W has no H",
    ),
    (
        [{"linear": {"mix": "grid"}}],
        "DHW",
        {},
        "0: linear: needs the size of D, which only a fixed grid has: give depth=, height= and width=",
    ),
    ([{"linear": {"mix": "grid"}}], "W", {}, "0: linear: needs the size of W, which only a fixed grid has: give width="),
    ([{"linear": "D"}], "HW", {}, "0: linear: out is D: D is known only on a fixed grid of DHW: give depth="),
    (
        [{"linear": "D"}],
        "DHW",
        {},
        "0: linear: out is D: D is known only on a fixed grid of DHW: give depth=",
    ),
    ("senet", "WH", {}, "grid: 'WH'; allowed: one of W, HW, DHW; did you mean 'W'?"),
    ("senet", "HW", {"depth": 3}, "depth: a grid of HW has no depth"),
    ("senet", "W", {"height": 3}, "height: a grid of W has no height"),
]


@pytest.mark.parametrize(("config", "grid", "told", "message"), REFUSED)
def test_grid_errors(config: Any, grid: str, told: dict[str, Any], message: str) -> None:
    with pytest.raises(sf.ConfigError) as error:
        sf.build(config, 8, grid=grid, **told, overrides=["let.r=4"] if config == "senet" else [])
    assert str(error.value) == message


@pytest.mark.parametrize(("grid", "expected"), [("W", "(B, 8, W)"), ("HW", "(B, 8, H, W)"), ("DHW", "(B, 8, D, H, W)")])
def test_an_input_of_another_rank_is_refused(grid: str, expected: str) -> None:
    block = sf.build("ecanet", 8, grid=grid)
    for other in (2, 3, 4, 5, 6):
        if other != 2 + len(grid):
            shape = (2, 8, 4, 4, 4, 4)[:other]
            with pytest.raises(sf.ConfigError) as error:
                block(torch.zeros(shape))
            assert str(error.value) == f"ecanet.yaml: expected an input {expected} of float32, got {shape}"


def test_a_fixed_grid_of_three_axes_is_what_expressions_see() -> None:
    block = sf.build([{"linear": {"mix": "grid", "out": "D*H*W/6"}}], 4, grid="DHW", depth=2, height=3, width=4)
    assert block.get_parameter("0.weight").shape == (4, 2, 3, 4)
    assert block(torch.randn(2, 4, 2, 3, 4)).shape == (2, 4, 4, 1, 1)
