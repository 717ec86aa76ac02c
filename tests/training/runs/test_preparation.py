"""Digests: they change with what changes the numbers of a run, and with nothing else."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from sefactory.errors import ConfigError
from sefactory.training.runs.config import RunConfig, read_run
from sefactory.training.runs.preparation import prepare
from sefactory.training.verdicts.tables import NO_BLOCKS
from tests.training.runs.examples import NETWORK, PLACES, RUN, example

SENET = example("senet")


def changed(**changes: Any) -> RunConfig:
    return read_run(RUN | {"block": "senet", "overrides": ["let.r=4"]} | changes)


OTHERS = {
    "seed": replace(SENET, seed=1),
    "static": replace(SENET, static=True),
    "test": replace(SENET, test=True),
    "block": example("ecanet"),
    "value of the block": changed(overrides=["let.r=2"]),
    "no block": example(),
    "recipe": changed(recipe=RUN["recipe"] | {"lr": 0.1}),
    "width": changed(network=NETWORK | {"width": 16}),
    "place": changed(network=NETWORK | {"place": [{"at": "layer3.*.bn2"}]}),
    "where": changed(network=NETWORK | {"place": [PLACES[0] | {"where": "before"}]}),
    "order of the places": changed(network=NETWORK | {"place": [{"at": "layer[23].*.bn2"}, {"at": "layer1.*.bn2"}]}),
    "start": changed(network=NETWORK | {"place": [PLACES[0] | {"start": "own"}]}),
}
SAME = {
    "label": replace(SENET, label="mine"),
    "threads": replace(SENET, threads=2),
    "search": replace(SENET, search=("/tmp",)),
    "written out": read_run(RUN | {"block": SENET.block}),
    "block in the place": read_run(RUN | {"network": NETWORK | {"place": [PLACES[0] | {"block": SENET.block}]}}),
    "paper of the config": replace(SENET, block=SENET.block | {"paper": "another"}),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_changes_numbers_changes_the_digest(name: str) -> None:
    assert prepare(OTHERS[name]).identity.run != prepare(SENET).identity.run


@pytest.mark.parametrize("name", SAME)
def test_names_and_machines_are_no_part_of_the_digest(name: str) -> None:
    assert prepare(SAME[name]).identity == prepare(SENET).identity


def test_a_block_and_its_control_are_one_variant_of_one_setting() -> None:
    block, control, plain = (prepare(run).identity for run in (SENET, OTHERS["static"], OTHERS["no block"]))
    assert (
        plain.variant == NO_BLOCKS
        and block.variant == control.variant != NO_BLOCKS
        and block.setting == control.setting == plain.setting
    )
    assert prepare(OTHERS["seed"]).identity.setting == block.setting != prepare(OTHERS["recipe"]).identity.setting


@pytest.mark.parametrize("label", ["senet", "ecanet", "cbam", "triplet", "simam"])
def test_the_weights_of_the_network_are_equal_with_and_without_a_block(label: str) -> None:
    overrides = ["let.r=4"] if label in ("senet", "cbam") else []
    run = read_run(RUN | {"block": label, "overrides": overrides})
    plain, other = prepare(example()).model.state_dict(), prepare(run).model.state_dict()
    assert plain.keys() < other.keys() and all(torch.equal(plain[key], other[key]) for key in plain)


def test_the_global_generator_is_untouched() -> None:
    torch.manual_seed(5)
    first = torch.rand(1)
    torch.manual_seed(5)
    prepare(SENET)
    assert torch.equal(first, torch.rand(1))


MISTAKES = {
    "static without a block": (
        replace(example(), static=True),
        "static: there is no block whose gates could be static; set block",
    ),
    "static without a gate": (
        replace(read_run(RUN | {"block": {"series": ["linear"]}, "label": "mine"}), static=True),
        "mine: has no unit, so there is no gate that could be static",
    ),
    "no place": (
        read_run(RUN | {"block": "ecanet", "network": {"host": "residual", "depth": 8, "width": 8}}),
        "network.place: residual network of depth 8 and width 8 has no place for the block; "
        "add network.place, such as [{at: layer*.*.bn2, where: after}]",
    ),
    "batch": (
        read_run(RUN | {"recipe": {"image_passes": 512, "lr": 0.1, "batch_size": 4096}}),
        "recipe.batch_size: 4096; the data has 1,198 training images",
    ),
    "data": (
        read_run(RUN | {"data": {"dataset": "mnist"}}),
        "data.dataset: 'mnist'; allowed: one of digits, fashion_mnist, fashion_scenes, cifar10, image_folder",
    ),
    "device": (read_run(RUN | {"device": "cuda:99"}), "device: 'cuda:99' cannot be used here: "),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_one_line(mistake: str) -> None:
    run, expected = MISTAKES[mistake]
    with pytest.raises(ConfigError) as caught:
        prepare(run)
    assert str(caught.value).startswith(expected) and "\n" not in str(caught.value)
