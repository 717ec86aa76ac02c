"""A mix is folded into the gate of its block, with equal outputs; where that cannot be, the reason is given."""

import copy
from typing import Any

import pytest
import torch

import sefactory as sf
from tests.networks.models import max_difference, outputs, set_alpha, step
from tests.networks.small_net import SIZE, images, net

MULTIPLY: Any = {"squeeze": ["pool"], "excite": [{"mlp": {"hidden": 4, "bias": True}}], "gate": ["sigmoid"]}
UNITS: list[Any] = [
    "senet",
    "ecanet",
    "coordatt",
    "simam",
    "fcanet",
    "lka",
    "gaussian_context",
    "gcnet_timm",
    "ese",
    "unit",
    MULTIPLY,
    {**MULTIPLY, "apply": "add"},
    {"squeeze": ["pool"], "gate": ["sigmoid"]},
    {"squeeze": ["pool"]},
    {"gate": [{"let": {"act": "tanh"}, "series": [{"series": ["act", "abs"]}, "sigmoid"]}]},
    {
        "squeeze": [{"pool": "H"}],
        "gate": [{"parallel": {"a": [{"conv": {"along": "W", "out": 7}}, {"linear": "C"}]}, "fuse": "sum"}],
    },
]
LEFT: list[Any] = [
    ("cbam", "is not a single unit; only a unit that multiplies or adds can be folded"),
    ("scse", "is not a single unit; only a unit that multiplies or adds can be folded"),
    (
        "gcnet_mul_add",
        "is a unit with apply: scale_shift; only a unit that multiplies or adds can be folded",
    ),
    (["senet"], "is not a single unit; only a unit that multiplies or adds can be folded"),
    ({"senet": {"r": 8}}, "uses another config with parameters; write out its slots, or use its name alone"),
    (
        {**MULTIPLY, "apply": "subtract"},
        "is a unit with apply: subtract; only a unit that multiplies or adds can be folded",
    ),
]


def trained(config: Any, **options: Any) -> torch.nn.Sequential:
    model = net().insert(1, torch.nn.Identity()).float()
    torch.manual_seed(3)
    sf.insert(model, config, "1", input_size=SIZE, **options)
    for _ in range(3):
        step(model, images().float(), rate=0.5)
    set_alpha(model, 0.3)
    return model.eval()


@pytest.mark.parametrize("config", UNITS, ids=str)
def test_a_unit_is_folded(config: Any) -> None:
    model, x = trained(config), images().float()
    before, plain = outputs(model, x), outputs(net().float(), x)
    assert sf.fold(model) == []
    block = model[1].inserted
    assert isinstance(block, sf.Block) and not any(key.endswith("mix") for key in model.state_dict())
    assert max_difference(outputs(model, x), before) <= 1e-6 < max_difference(before, plain)

    again = sf.build(block.config, 32)
    again.load_state_dict(block.state_dict(), strict=True)
    maps = torch.randn(2, 32, 14, 14)
    assert torch.equal(again.eval()(maps), block(maps))
    assert [part.path for part in again.parts] == [part.path for part in block.parts]
    assert [part.sizes for part in again.parts] == [part.sizes for part in block.parts]


@pytest.mark.parametrize(("config", "reason"), LEFT)
def test_other_blocks_are_not_folded(config: Any, reason: str) -> None:
    model, x = trained(config), images().float()
    before = outputs(model, x)
    assert sf.fold(model) == [("1", reason)]
    assert max_difference(outputs(model, x), before) == 0


def test_a_parallel_block_is_not_folded() -> None:
    model, x = trained("senet", where="replace"), images().float()
    before = outputs(model, x)
    assert sf.fold(model) == [
        ("1", "runs in parallel to the module that it replaces, which is needed until the mixing coefficient is 1")
    ]
    assert max_difference(outputs(model, x), before) == 0


def test_folding_copies_the_block() -> None:
    model, x = trained("senet"), images().float()
    mixed = copy.deepcopy(model)
    sf.fold(model)
    model[1].inserted = mixed[1].inserted.block
    assert max_difference(outputs(model, x), outputs(mixed, x)) > 1e-4


def test_folding_twice_changes_nothing_more() -> None:
    model = trained("senet")
    sf.fold(model)
    block = model[1].inserted
    assert sf.fold(model) == [] and model[1].inserted is block
