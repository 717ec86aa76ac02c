"""Blocks at maps with channels last and at tokens: found out from the modules, started as the identity, restored, refused."""

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn

import sefactory as sf
from sefactory.networks.layouts import Layout
from tests.networks.attributes import attributes, changes
from tests.networks.models import max_difference, outputs, params_without_gradient
from tests.sampling import sampled


class Tokens(nn.Module):
    """A small vision transformer: a patch embedding, class and register tokens, blocks of a norm and a linear layer."""

    def __init__(self, extra: int = 1, width: int = 32) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, width, 4, 4)
        self.extra = nn.Parameter(torch.randn(1, extra, width)) if extra else None
        self.norm, self.mix = nn.LayerNorm(width), nn.Linear(width, width)
        self.head = nn.Linear(width, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x).flatten(2).transpose(1, 2)
        x = x if self.extra is None else torch.cat([self.extra.expand(len(x), -1, -1), x], 1)
        x = x + self.mix(self.norm(x))
        y: Tensor = self.head(x.mean(1))
        return y


class Last(nn.Module):
    """A norm and a linear layer on maps with channels last."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.embed, self.norm, self.mix = nn.Conv2d(3, width, 2, 2), nn.LayerNorm(width), nn.Linear(width, width)
        self.idle = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x).permute(0, 2, 3, 1)
        y: Tensor = self.idle(x + self.mix(self.norm(x))).permute(0, 3, 1, 2)
        return y


def tokens(extra: int = 1) -> nn.Module:
    torch.manual_seed(0)
    return Tokens(extra).eval()


def last() -> nn.Module:
    torch.manual_seed(0)
    return Last().eval()


def images(height: int = 16, width: int = 24, batch: int = 3) -> Tensor:
    torch.manual_seed(1)
    return torch.randn(batch, 3, height, width) + torch.randn(batch, 3, 1, 1)


@pytest.mark.parametrize("extra", [0, 1, 5])
@pytest.mark.parametrize(("at", "where"), [("norm", "after"), ("mix", "before"), ("mix", "after"), ("mix", "replace")])
@pytest.mark.parametrize("block", ["cbam", "senet", "coordatt"])
def test_tokens_take_a_block(block: str, at: str, where: Any, extra: int) -> None:
    model, x = tokens(extra), images()
    before, checkpoint = outputs(model, x), {key: tensor.clone() for key, tensor in model.state_dict().items()}
    report = sf.insert(model, block, at, where=where, input_size=(3, 16, 24))
    (place,) = report.places
    assert place.layout == Layout("BNC", extra, (4, 6)) and place.shape == (1, 32, 4, 6)
    assert max_difference(outputs(model, x), before) == 0
    model.load_state_dict(checkpoint, strict=True)
    assert not params_without_gradient(model, report.new, x)


@pytest.mark.parametrize(("at", "where"), [("norm", "after"), ("mix", "before"), ("mix", "replace"), ("idle", "after")])
@pytest.mark.parametrize("block", ["cbam", "senet", "coordatt"])
def test_channels_last_take_a_block(block: str, at: str, where: Any) -> None:
    model, x = last(), images()
    before = outputs(model, x)
    report = sf.insert(model, block, at, where=where, input_size=(3, 16, 24))
    (place,) = report.places
    assert place.layout == Layout("BHWC") and place.shape == (1, 32, 8, 12)
    assert max_difference(outputs(model, x), before) == 0
    assert not params_without_gradient(model, report.new, x)


def test_the_block_gets_the_map_and_extra_tokens_pass() -> None:
    model, x = tokens(2), images()
    sf.insert(model, "senet", "norm", start="own", input_size=(3, 16, 24))
    holder = model.norm
    y_BNC = torch.randn(3, 26, 32)
    found, plain = holder(y_BNC), holder.original(y_BNC)
    expected = holder.inserted(plain[:, 2:].transpose(1, 2).reshape(3, 32, 4, 6)).flatten(2).transpose(1, 2)
    assert torch.equal(found[:, :2], plain[:, :2]) and torch.allclose(found[:, 2:], expected, atol=1e-6)
    assert model(x).shape == (3, 5)


def test_other_sizes_of_the_same_ratio_run() -> None:
    model = tokens(1)
    sf.insert(model, "coordatt", "norm", start="own", input_size=(3, 16, 24))
    assert model(images(32, 48)).shape == (3, 5)
    with pytest.raises(sf.ConfigError) as caught:
        model(images(16, 32))
    assert str(caught.value) == (
        "tokens: 32 tokens do not fit a grid with the sides 4x6 of the traced forward pass; "
        "insert the block with an example of this size"
    )


class Patches(nn.Module):
    """A patch embedding by a linear layer, and four register tokens, which the network notes as timm's do."""

    num_prefix_tokens = 4

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.norm = nn.Linear(48, 32), nn.LayerNorm(32)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(nn.functional.unfold(x, 4, stride=4).transpose(1, 2))
        y: Tensor = self.norm(torch.cat([x.new_zeros(len(x), 4, 32), x], 1))
        return y


def test_the_network_notes_its_tokens() -> None:
    report = sf.insert(Patches().eval(), "cbam", "norm", input_size=(3, 16, 24))
    assert report.places[0].layout == Layout("BNC", 4, (4, 6))


def test_video_tokens_have_a_grid_of_three_axes() -> None:
    class Video(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.norm = nn.Conv3d(3, 32, 4, 4), nn.LayerNorm(32)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.norm(self.embed(x).flatten(2).transpose(1, 2))
            return y

    model = Video().eval()
    report = sf.insert(model, "senet", "norm", input_size=(3, 8, 16, 24))
    assert report.places[0].layout == Layout("BNC", 0, (2, 4, 6)) and report.places[0].shape == (1, 32, 2, 4, 6)


@pytest.mark.parametrize("make", [tokens, last])
def test_it_is_restored(make: Any, tmp_path: Path) -> None:
    model, x = make(), images()
    sf.insert(model, "cbam", "norm", start="own", input_size=(3, 16, 24))
    sf.save(model, tmp_path)
    again = sf.restore(tmp_path, make())
    assert max_difference(outputs(again, x), outputs(model, x)) == 0
    assert sf.recipe(again) == sf.recipe(model) and sf.recipe(model)["place"][0]["layout"] in ("BNC", "BHWC")


REFUSED: list[tuple[Any, str, dict[str, Any], str]] = [
    (
        last,
        "norm",
        {"layout": "BCHW"},
        "norm: layout BCHW makes 8 of (1, 8, 12, 32) the channels, but norm has 32; set layout to BHWC",
    ),
    (
        last,
        "embed",
        {"layout": "BHWC"},
        "embed: layout BHWC makes 12 of (1, 32, 8, 12) the channels, but embed has 32; set layout to BCHW",
    ),
    (last, "norm", {"layout": "BNC"}, "norm: its feature map has shape (1, 8, 12, 32), not (B, tokens, C)"),
    (
        last,
        "norm",
        {"layout": "BHCW"},
        "layout: 'BHCW'; allowed: one of BCHW, BHWC, BNC; did you mean 'BHWC'?",
    ),
    (tokens, "norm", {"tokens": -1}, "tokens: -1; allowed: the number of class and register tokens, such as 1"),
    (
        tokens,
        "norm",
        {"tokens": 3},
        "norm: its 25 tokens, of which tokens=3 are no part of the grid, fit no map of the forward pass; "
        "set tokens to the number of class and register tokens, such as tokens=1",
    ),
    (
        tokens,
        "mix",
        {"where": "replace", "start": "own"},
        "mix: its map has the layout BNC, in which a block runs beside the module; set start to identity",
    ),
]


@pytest.mark.parametrize(("make", "at", "options", "message"), REFUSED)
def test_a_layout_that_does_not_fit_is_refused(make: Any, at: str, options: dict[str, Any], message: str) -> None:
    model = make()
    before = attributes(model)
    with pytest.raises(sf.ConfigError) as caught:
        sf.insert(model, "senet", at, input_size=(3, 16, 24), **options)
    assert str(caught.value) == message
    assert changes(model, before) == []


SQUARE, WIDE = (3, 224, 224), (3, 224, 448)
NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], str, Layout]] = {
    "timm vit": (lambda: timm.create_model("vit_tiny_patch16_224"), SQUARE, "Block", Layout("BNC", 1, (14, 14))),
    "timm deit": (lambda: timm.create_model("deit_tiny_distilled_patch16_224"), SQUARE, "Block", Layout("BNC", 2, (14, 14))),
    "timm swin": (
        lambda: timm.create_model("swin_tiny_patch4_window7_224", img_size=WIDE[1:]),
        WIDE,
        "layers.1.blocks.*",
        Layout("BHWC"),
    ),
    "torchvision swin": (torchvision.models.swin_t, WIDE, "features.3.*", Layout("BHWC")),
    "torchvision vit": (torchvision.models.vit_b_32, SQUARE, "encoder.layers.*", Layout("BNC", 1, (7, 7))),
    "torchvision maxvit": (torchvision.models.maxvit_t, SQUARE, "blocks.1.layers.*", Layout()),
    "torchvision convnext": (torchvision.models.convnext_tiny, SQUARE, "features.3.*", Layout()),
}
BLOCKS = ["cbam", "senet", "coordatt"]
SAMPLE = {("timm vit", "cbam"), ("timm deit", "senet"), ("timm swin", "coordatt"), ("torchvision convnext", "senet")}


@pytest.mark.parametrize(("name", "block"), sampled(product(NETWORKS, BLOCKS), SAMPLE))
def test_real_networks(name: str, block: str) -> None:
    make, size, at, layout = NETWORKS[name]
    torch.manual_seed(0)
    model, x = make().eval(), torch.randn(1, *size)
    before = outputs(model, x)
    report = sf.insert(model, block, at, input_size=size)
    assert {place.layout for place in report.places} == {layout}
    assert max_difference(outputs(model, x), before) == 0


def test_a_place_with_a_block_still_tells_the_layout() -> None:
    model = last()
    sf.insert(model, "ecanet", ["norm", "mix"], input_size=(3, 16, 24))
    assert sf.insert(model, "ecanet", "idle", input_size=(3, 16, 24)).places[0].layout == Layout("BHWC")


def test_fewer_tokens_than_extra_ones() -> None:
    layout = Layout("BNC", 5, (4, 6))
    with pytest.raises(sf.ConfigError, match="^tokens: -2 tokens do not fit a grid with the sides 4x6 of the traced"):
        layout.to_map(torch.zeros(1, 3, 8))


class Branching(nn.Module):
    """Skips a stage that is no Sequential."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.stage = nn.Conv2d(3, 32, 2, 2), nn.Sequential(nn.LayerNorm(32), nn.Linear(32, 32))

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x).permute(0, 2, 3, 1)
        y: Tensor = self.stage(x) if isinstance(self.stage, nn.Sequential) else x
        return y


def test_a_sequential_that_becomes_a_holder_is_traced_again() -> None:
    with pytest.raises(sf.ConfigError, match="^stage: the network calls this module by another reference"):
        sf.insert(Branching(), "ecanet", "stage", input_size=(3, 16, 24))
