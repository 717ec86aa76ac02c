"""The config of a study: what it reads, and each mistake in one line."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from sefactory.config.repository import SHIPPED
from sefactory.errors import ConfigError
from sefactory.training.study.config import Screen, read_study
from tests.training.runs.examples import NETWORK, RECIPE

STUDY: dict[str, Any] = {
    "data": "digits",
    "network": NETWORK,
    "recipe": RECIPE,
    "variants": {"se": {"block": "senet", "overrides": ["let.r=4"]}, "ecanet": "ecanet", "mine": {"gate": ["sigmoid"]}},
    "confirm": {"seeds": 2},
}


def test_what_it_reads() -> None:
    study = read_study(STUDY | {"budgets": [512, 256], "screen": {"seeds": 1, "keep": 2}, "device": "cpu"})
    assert study.budgets == (256, 512) and study.screen == Screen(1, 2) and study.seeds == 2 and study.controls
    assert study.baseline.block is None and study.baseline.label == "plain"
    assert list(study.variants) == ["se", "ecanet", "mine"] and study.variants["se"].block["let"]["r"] == 4
    assert study.variants["mine"].block == {"gate": ["sigmoid"]} and study.variants["mine"].label == "mine"


def test_a_list_of_blocks_and_the_budget_of_the_recipe() -> None:
    study = read_study(STUDY | {"variants": ["ecanet", "simam"], "controls": False})
    assert list(study.variants) == ["ecanet", "simam"] and study.budgets == (512,) and not study.controls


def test_a_variant_at_another_place() -> None:
    network = NETWORK | {"place": [{"at": "layer3"}]}
    study = read_study(STUDY | {"variants": {"last": {"block": "ecanet", "network": network}}})
    assert study.variants["last"].network["place"] == [{"at": "layer3"}] != study.baseline.network["place"]


@pytest.mark.parametrize("file", sorted((SHIPPED / "study").glob("*.yaml")), ids=lambda file: file.stem)
def test_shipped_studies_are_read(file: Path) -> None:
    assert read_study(yaml.safe_load(file.read_text())).variants


KEYS = "data, network, recipe, variants, budgets, screen, confirm, controls, device"
MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "unknown key": ({"varients": 1}, f"study.varients: is no key; there are {KEYS}; did you mean 'variants'?"),
    "missing": ({"confirm": None}, "study.confirm: is missing"),
    "no variants": (
        {"variants": {}},
        "study.variants: {}; allowed: a list of blocks, or a mapping of labels to blocks or to {block: ..., overrides: [...]}",
    ),
    "unknown block": ({"variants": ["sennet"]}, "study.variants.sennet: sennet: no config of this name; did you mean 'senet'?"),
    "unknown key of a variant": (
        {"variants": {"a": {"block": "senet", "override": []}}},
        "study.variants.a.override: is no key; there are block, overrides, network; did you mean 'overrides'?",
    ),
    "plain": (
        {"variants": {"plain": "senet"}},
        "study.variants.plain: is the name of the network without blocks, which is always trained",
    ),
    "budgets": ({"budgets": [0]}, "study.budgets: [0]; allowed: a list of different numbers of image passes"),
    "equal budgets": ({"budgets": [9, 9]}, "study.budgets: [9, 9]; allowed: a list of different numbers of image passes"),
    "another network": (
        {"variants": {"a": {"block": "ecanet", "network": NETWORK | {"width": 16}}}},
        "study.variants.a.network: is a residual network of depth 8 and width 16, and that of the study a residual network of "
        "depth 8 and width 8; a variant can change place alone",
    ),
    "a block in the network": (
        {"network": NETWORK | {"place": [{"at": "layer3", "block": "ecanet"}]}},
        "study.network.place: has a block, which the network without blocks would have too; give the block to the variants",
    ),
    "no budgets": ({"budgets": []}, "study.budgets: []; allowed: a list of different numbers of image passes"),
    "screen": ({"screen": {"seeds": 1}}, "study.screen.keep: is missing; screen needs it"),
    "seeds": ({"confirm": {"seeds": 0}}, "study.confirm.seeds: seeds is 0; allowed: an integer from 1"),
    "confirm": ({"confirm": 3}, "study.confirm: 3; allowed: a mapping"),
    "controls": ({"controls": "no"}, "study.controls: 'no'; allowed: true, false"),
    "recipe": ({"recipe": {"lr": 0.1}}, "study.recipe.image_passes: is missing; a recipe needs it"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_one_line(mistake: str) -> None:
    changes, expected = MISTAKES[mistake]
    with pytest.raises(ConfigError) as caught:
        read_study(STUDY | changes)
    assert str(caught.value) == expected
