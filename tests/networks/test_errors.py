"""What cannot be inserted is told literally, and then nothing of the network has changed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import sefactory as sf
from tests.error_messages.table import INTERNAL
from tests.networks.attributes import attributes, changes
from tests.networks.models import build_network

SIZE = (3, 64, 64)


class Odd(nn.Module):
    """Places that take no block, each in its own way."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 16, 3, 2, 1), nn.BatchNorm2d(16)
        self.first = self.second = nn.ReLU()
        self.twice, self.idle = nn.Identity(), nn.Conv2d(16, 16, 1)
        self.pair, self.masked, self.named = Pair(), Masked(), nn.Identity()
        self.tokens, self.strip, self.score = nn.LayerNorm(16), nn.Identity(), nn.Linear(16, 4)
        self.narrow = nn.Conv2d(16, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.second(self.first(self.norm(self.stem(x))))
        x = self.twice(x) + self.twice(x[..., ::2, ::2]).mean()
        a, b = self.pair(x)
        x = self.masked(a + b, torch.ones_like(a)) + self.named(input=x)
        x = x + self.strip(self.tokens(x.flatten(2).transpose(1, 2)).transpose(1, 2)).mean() + self.narrow(x).mean()
        y: Tensor = self.score(x.mean((2, 3)))
        return y


class Pair(nn.Module):
    """Two maps of one."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, 2 * x


class Masked(nn.Module):
    """A map and a mask."""

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return x * mask


def odd() -> nn.Module:
    torch.manual_seed(0)
    return Odd()


PATTERN = "a pattern of module paths, a class name, stage:N, or a list of them"
OWN: dict[str, Any] = {"where": "replace", "start": "own"}
IN_PLACE: dict[str, Any] = {"where": "replace"}
# What is selected, the config, further arguments; the message.
ODD: list[tuple[Any, Any, dict[str, Any], str]] = [
    ("nrm", "simam", {}, "at nrm: the network has no module of this path; the nearest are norm"),
    (
        "zzz",
        "simam",
        {},
        "at zzz: the network has no module of this path; its top-level modules are stem, "
        "norm, first, second, twice, idle, pair, masked, named, tokens, strip, score, narrow",
    ),
    (
        "BatchNorm",
        "simam",
        {},
        "at BatchNorm: the network has no module of this class; there are BatchNorm2d, Conv2d, Identity, LayerNorm, Linear, "
        "Masked, Pair, ReLU; did you mean 'BatchNorm2d'?",
    ),
    (["norm", "stm"], "simam", {}, "at stm: the network has no module of this path; the nearest are stem"),
    ("first", "simam", {}, "at first: first and second are the same module; give each path a module of its own"),
    ("second", "simam", {}, "at second: first and second are the same module; give each path a module of its own"),
    ("ReLU", "simam", {}, "at ReLU: first and second are the same module; give each path a module of its own"),
    ("idle", "simam", {}, "idle: the forward pass never calls this module"),
    ("twice", "simam", {}, "twice: its output differs in shape between calls: (1, 16, 32, 32), (1, 16, 16, 16)"),
    ("pair", "simam", {}, "pair: its output is not a single tensor; choose another module, such as one inside"),
    (
        "masked",
        "simam",
        OWN,
        "masked: is called with more than one argument, but a block takes one; start: identity keeps the module",
    ),
    ("named", "simam", IN_PLACE, "named: its input is not a single tensor; choose another module, such as one inside"),
    (
        "named",
        "simam",
        {"where": "before"},
        "named: its input is not a single tensor; choose another module, such as one inside",
    ),
    (
        "strip",
        "simam",
        {},
        "strip: its feature map has shape (1, 16, 1024), not (B, C, H, W); set layout to BNC if it is (B, tokens, C), "
        "or grid to W if it is (B, C, W)",
    ),
    ("score", "simam", {}, "score: its feature map has shape (1, 4), not (B, C, H, W)"),
    (
        "norm",
        [{"linear": 4}],
        {},
        "norm: block maps (1, 16, 32, 32) to (1, 4, 32, 32), but the network needs (1, 16, 32, 32) here",
    ),
    (
        "stem",
        [{"conv": 3}],
        OWN,
        "stem: block maps (1, 3, 64, 64) to (1, 3, 64, 64), but the network needs (1, 16, 32, 32) here",
    ),
    (["norm", "stem", "norm"], "simam", {}, "norm: is selected twice"),
    (["norm", "BatchNorm2d"], "simam", {}, "norm: is selected twice"),
    (
        "narrow",
        "senet",
        {},
        "senet.yaml excite.0 (for narrow, C = 8): mlp: hidden is C/r = 0.5, which rounds down to 0 (C = 8, r = 16); "
        "set let.r to 8 or less, or use at least 16 channels",
    ),
    ("norm", "sent", {}, "sent (for norm, C = 16): no config of this name; did you mean 'senet'?"),
    (
        "norm",
        "senet",
        {"overrides": ["let.q=3"]},
        "senet.yaml override let.q=3 (for norm, C = 16): there is no 'q' at let; there are r",
    ),
    ("norm", "senet", {"skip": "narow"}, "skip: 'narow'; allowed: one of narrow; did you mean 'narrow'?"),
    ("norm", "senet", {"where": "behind"}, "where: 'behind'; allowed: one of after, before, replace"),
    ("norm", "senet", {"start": "Own"}, "start: 'Own'; allowed: one of identity, own; did you mean 'own'?"),
    (
        "norm",
        "senet",
        {"carry": "pytorch/vision"},
        "carry: 'pytorch/vision'; it needs a replaced module; set where to 'replace' instead of 'after'",
    ),
    ("norm", "senet", {**OWN, "carry": 3}, "carry: 3; allowed: the name of a key map of the config"),
    ("norm", "senet", {"grid": "HWD"}, "grid: 'HWD'; allowed: one of W, HW, DHW; did you mean 'HW'?"),
    ("norm", "senet", {"overrides": "let.r=2"}, "overrides: 'let.r=2'; allowed: a list of path=value"),
    (7, "senet", {}, f"at: 7; allowed: {PATTERN}"),
    ([], "senet", {}, f"at: []; allowed: {PATTERN}"),
    (["norm", 3], "senet", {}, f'at: ["norm", 3]; allowed: {PATTERN}'),
    ("", "senet", {}, f"at: ''; allowed: {PATTERN}"),
    (
        "norm",
        "senet",
        {"input_size": None},
        "input_size: is needed to infer the channel counts from one forward pass; pass (channels, height, width)",
    ),
    ("norm", "senet", {"input_size": "3x64x64"}, "input_size: '3x64x64'; allowed: (channels, height, width)"),
    ("norm", "senet", {"input_size": (3, 0, 64)}, "input_size: (3, 0, 64); allowed: (channels, height, width)"),
    (
        "norm",
        "senet",
        {"input_size": (4, 64, 64)},
        "input_size: the network does not run on (1, 4, 64, 64): Given groups=1, weight of size [16, 3, 3, 3], "
        "expected input[1, 4, 64, 64] to have 3 channels, but got 4 channels instead",
    ),
]


def refusal(model: nn.Module, call: Callable[[], object]) -> str:
    """The message; the network is as it was."""
    before = attributes(model)
    with pytest.raises(sf.ConfigError) as caught:
        call()
    assert changes(model, before) == []
    assert not INTERNAL.search(str(caught.value))
    return str(caught.value)


@pytest.mark.parametrize(("at", "config", "options", "message"), ODD, ids=[f"{row[0]} {row[1]} {row[2]}" for row in ODD])
def test_message(at: Any, config: Any, options: dict[str, Any], message: str) -> None:
    model = odd()
    assert refusal(model, lambda: sf.insert(model, config, at, **{"input_size": SIZE, **options})) == message


NAMED: list[tuple[str, str, str]] = [
    (
        "timm resnet",
        "layer*.*.bn4",
        "at layer*.*.bn4: the network has no module of this path; the nearest are layer4.*.bn2, layer4.*.bn1, layer3.*.bn2",
    ),
    (
        "timm resnet",
        "layer9.0",
        "at layer9.0: the network has no module of this path; the nearest are layer4.0, layer3.0, layer2.0",
    ),
    ("timm resnet", "stage:6", "at stage:6: the network has 5 stages, which end at act1, layer1, layer2, layer3, layer4"),
    ("timm resnet", "stage:-6", "at stage:-6: the network has 5 stages, which end at act1, layer1, layer2, layer3, layer4"),
    ("timm resnet", "stage:0", "at stage:0: the network has 5 stages, which end at act1, layer1, layer2, layer3, layer4"),
    ("yolo", "stage:7", "at stage:7: the network has 4 stages, which end at 0, 2, 4, 7"),
    ("yolo", "2.m", "2.m: the forward pass never calls this module"),
    ("yolo", "14", "14: its output is not a single tensor; choose another module, such as one inside"),
]


@pytest.mark.parametrize(("name", "at", "message"), NAMED)
def test_message_of_a_real_network(name: str, at: str, message: str) -> None:
    model = build_network(name)
    assert refusal(model, lambda: sf.insert(model, "simam", at, input_size=SIZE)) == message


TAKEN = [
    (
        "norm",
        "norm: has a block already; insert a list of blocks instead, such as [cbam, senet]; sefactory.remove takes a block out",
    ),
    ("norm.inserted", "norm.inserted: is part of a block"),
    ("norm.inserted.block.excite.0", "norm.inserted.block.excite.0: is part of a block"),
    ("ResidualAdapter", "norm.inserted: is part of a block"),
]


@pytest.mark.parametrize(("at", "message"), TAKEN)
def test_inserting_twice_is_an_error(at: str, message: str) -> None:
    model = odd()
    sf.insert(model, "senet", "norm", input_size=SIZE)
    assert refusal(model, lambda: sf.insert(model, "simam", at, input_size=SIZE)) == message


def test_an_attribute_of_that_name_is_not_overwritten() -> None:
    model = odd()
    model.norm.inserted = 3  # type: ignore[assignment,union-attr]
    assert refusal(model, lambda: sf.insert(model, "simam", "norm", input_size=SIZE)) == (
        "norm: has an attribute 'inserted' of its own, which is a name of inserted blocks; insert the block at the module that "
        "contains norm"
    )


ENTRY = "at, block, where, start, overrides, carry, grid, layout, tokens, skip"
GOOD = {"at": "norm", "block": "simam"}
PLACES: list[tuple[Any, str]] = [
    ({"place": []}, "host: needs a key 'place' with a list of {at: ..., block: ...}"),
    ({"places": [GOOD]}, "host: needs a key 'place' with a list of {at: ..., block: ...}"),
    ({"place": ["norm"]}, f"host place.0: 'norm'; allowed: a mapping with the keys {ENTRY}"),
    ({"place": [GOOD], "inputs": [3]}, "host: no key 'inputs'; there are paper, host, input, place; did you mean 'input'?"),
    ({"place": [{**GOOD, "were": "after"}]}, f"host place.0: no key 'were'; there are {ENTRY}; did you mean 'where'?"),
    ({"place": [GOOD, {"at": "stem"}]}, "host place.1: needs block"),
    ({"place": [{"block": "simam"}]}, "host place.0: needs at"),
    (
        {"place": [{**GOOD, "where": "afer"}]},
        "host place.0: where is 'afer'; allowed: one of after, before, replace; did you mean 'after'?",
    ),
    ({"place": [{**GOOD, "start": "onw"}]}, "host place.0: start is 'onw'; allowed: one of identity, own; did you mean 'own'?"),
    ({"place": [{**GOOD, "at": 3}]}, f"host place.0: at is 3; allowed: {PATTERN}"),
    ({"place": [{**GOOD, "at": None}]}, f"host place.0: at is null; allowed: {PATTERN}"),
    (
        {"place": [{**GOOD, "carry": "x"}]},
        "host place.0: carry is 'x'; it needs a replaced module; set where to 'replace' instead of 'after'",
    ),
    ({"place": [GOOD], "input": "big"}, "host: input_size: 'big'; allowed: (channels, height, width)"),
    ("cbam_resnet5", "'cbam_resnet5': no host of this name; did you mean 'cbam_resnet50'?"),
    (3, "3: no host of this name"),
    # The second of two is at fault, and the first is not there either.
    (
        {"place": [GOOD, {"at": "nom", "block": "simam"}]},
        "host: at nom: the network has no module of this path; the nearest are norm",
    ),
    (
        {"place": [GOOD, {"at": "pair", "block": "simam"}]},
        "host: pair: its output is not a single tensor; choose another module, such as one inside",
    ),
    ({"place": [GOOD, {"at": "norm", "block": "senet"}]}, "host: norm: is selected twice"),
    (
        {"place": [GOOD, {"at": "narrow", "block": "senet"}]},
        "host: senet.yaml excite.0 (for narrow, C = 8): mlp: hidden is C/r = 0.5, which rounds down to 0 (C = 8, r = 16); "
        "set let.r to 8 or less, or use at least 16 channels; "
        "or set skip to narrow, which leaves such places out",
    ),
    (
        {"place": [GOOD, {"at": "stem", "block": "simam", "where": "replace"}]},
        "host: stem: simam.yaml maps (1, 3, 64, 64) to (1, 3, 64, 64), but the network needs (1, 16, 32, 32) here",
    ),
]


@pytest.mark.parametrize(("source", "message"), PLACES, ids=[message[:60] for _, message in PLACES])
def test_message_of_a_list_of_places(source: Any, message: str) -> None:
    model = odd()
    size = None if isinstance(source, dict) and "input" in source else SIZE
    assert refusal(model, lambda: sf.place(model, source, input_size=size)) == message


def test_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("place:\n  - {at: norm, block: simam}\n  - {at: norm, blok: simam}\n")
    model = odd()
    message = refusal(model, lambda: sf.place(model, tmp_path / "mine.yaml", input_size=SIZE))
    assert message.splitlines() == [
        f"mine.yaml place.1: no key 'blok'; there are {ENTRY}; did you mean 'block'?",
        "mine.yaml place.1: needs block",
    ]


def test_a_host_without_a_network() -> None:
    with pytest.raises(sf.ConfigError) as caught:
        sf.host({"place": [GOOD]})
    assert (
        str(caught.value)
        == "host: names no network; add host: ZOO:NAME, such as timm:resnet50, or use sefactory.place with your own network"
    )


def test_an_unusual_network_takes_blocks_elsewhere() -> None:
    """Each place above is refused for its own reason, and not because the network does not run."""
    model, x = odd().eval(), torch.randn(2, *SIZE)
    before = model(x)
    report = sf.insert(model, "coordatt", ["stem", "norm", "narrow"], input_size=SIZE)
    assert len(report.places) == 3 and torch.equal(model(x), before)
    sf.insert(model, "simam", "strip", grid="W", input_size=SIZE)
    sf.insert(model, "coordatt", "masked", where="replace", input_size=SIZE)  # beside it: a mask goes to it as before
    assert torch.equal(model(x), before)


class ChannelsLast(nn.Sequential):
    """A map whose channels are its last axis."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.Sequential.forward(self, x).permute(0, 2, 3, 1)


def test_a_channels_last_layout_is_reported() -> None:
    model = nn.Sequential(ChannelsLast(nn.Conv2d(3, 8, 1)))
    with pytest.raises(sf.ConfigError) as error:
        sf.insert(model, "ecanet", "0", input_size=(3, 6, 6))
    assert str(error.value) == (
        "0: its feature map has shape (1, 6, 6, 8), which looks like (B, H, W, C); "
        "set layout to BHWC if it is that, or to BCHW if it is (B, C, H, W)"
    )
    square = nn.Sequential(nn.Conv2d(3, 8, 1))  # as many channels as rows, but other sides
    sf.insert(square, "ecanet", "0", input_size=(3, 9, 7))
    assert square(torch.zeros(1, 3, 8, 8)).shape == (1, 8, 8, 8)


NARROW = "mlp: hidden is C/r = 0.5, which rounds down to 0 (C = 8, r = 16); set let.r to 8 or less, or use at least 16 channels"


def test_narrow_places_are_left_out_and_reported() -> None:
    model = odd()
    report = sf.insert(model, "senet", ["norm", "narrow"], skip="narrow", input_size=SIZE)
    assert [place.path for place in report.places] == ["norm"] and report.skipped == (("narrow", NARROW),)
    assert f"\nnarrow  skipped  {NARROW}\n" in str(report)


def test_a_place_is_not_left_out_for_another_reason() -> None:
    model = odd()
    message = refusal(model, lambda: sf.insert(model, [{"linear": 4}], ["norm", "narrow"], skip="narrow", input_size=SIZE))
    assert message == "norm: block maps (1, 16, 32, 32) to (1, 4, 32, 32), but the network needs (1, 16, 32, 32) here"


def test_a_pattern_of_narrow_places_only() -> None:
    model = odd()
    message = refusal(model, lambda: sf.insert(model, "senet", "narrow", skip="narrow", input_size=SIZE))
    assert message == f"senet.yaml excite.0 (for narrow, C = 8): {NARROW}"


def test_several_narrow_places_that_are_left_out_leave_none() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 1))
    message = refusal(model, lambda: sf.insert(model, "senet", ["0", "1"], skip="narrow", input_size=SIZE))
    assert message == f"senet.yaml excite.0 (for 1, C = 8): {NARROW}"


class Cast(nn.Module):
    """Reads the weight of its stem, which is too narrow for a block."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.body = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 32, 1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(self.stem(x.to(self.stem.weight.dtype)))
        return y


def test_a_place_that_is_left_out_refuses_no_others() -> None:
    report = sf.insert(Cast(), "senet", ["stem", "body"], skip="narrow", input_size=SIZE)
    assert [place.path for place in report.places] == ["body"] and [path for path, _ in report.skipped] == ["stem"]


def test_a_map_that_no_block_takes() -> None:
    class Spectrum(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.fft.rfft2(x)

    model = nn.Sequential(nn.Conv2d(3, 32, 1), Spectrum())
    message = refusal(model, lambda: sf.insert(model, "senet", "1", input_size=SIZE))
    assert message == "1: with the block here, expected an input (B, 32, H, W) of float32, got complex64"
