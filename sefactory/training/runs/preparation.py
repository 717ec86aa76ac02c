"""From the config of a run to what is trained: the data, the network with its blocks, and the digests that name the run."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import nn

from ...bench.hardware import device_fault
from ...config.description import describe
from ...errors import ConfigError
from ...networks.host import PLACE_KEYS
from ...networks.insertion import Report, insert_all
from ...networks.options import InsertionSpec
from ...networks.preparation import Placement
from ...store.store import digest
from ..data.dataset import Dataset
from ..data.loading import load_data
from ..recipe import Recipe, read_recipe
from ..seeds import derive_seed
from ..static_gates import make_gates_static
from .config import RunConfig
from .network import NetworkConfig, read_network

NUMERICS = 1
"""Part of every digest. It is raised by a change of this package after which the same config gives other numbers."""


@dataclass(frozen=True)
class Identity:
    """The digests of a run.

    Runs of one `setting` (data, network, recipe, scored parts) can be compared. Runs of one `variant` have the same blocks at
    the same places; a variant and its control with static gates share it. `run` is the digest of all, with the seed.
    """

    run: str
    setting: str
    variant: str


@dataclass(frozen=True)
class PreparedRun:
    """What a run trains. `report` is that of the insertion, None without blocks."""

    config: RunConfig
    data: Dataset
    recipe: Recipe
    network: NetworkConfig
    model: nn.Module
    report: Report | None
    identity: Identity


def prepare(config: RunConfig) -> PreparedRun:
    """Loads the data and builds the network of a run. Raises ConfigError with what cannot be read or built."""
    recipe, network = read_recipe(config.recipe), read_network(config.network)
    if reason := device_fault(config.device):
        raise ConfigError([("device", f"{config.device!r} {reason}")])
    data = load_run_data(config)
    _check_data(data, recipe)
    model, report = build_model(config, network, data)
    return PreparedRun(config, data, recipe, network, model, report, _identify(config, data, recipe, network, report))


def load_run_data(config: RunConfig) -> Dataset:
    """The data set of a run, which runs of one process share. Raises ConfigError."""
    return _load_data(json.dumps(config.data, sort_keys=True))


def build_model(config: RunConfig, network: NetworkConfig, data: Dataset) -> tuple[nn.Module, Report | None]:
    """The network of a run with its blocks, and the report of their insertion.

    The weights of the network are drawn before and apart from those of the blocks: they are equal with and without blocks.
    Raises ConfigError if a block cannot be inserted, or if the gates shall be static and there are none.
    """
    entries = [entry for entry in network.places if "block" in entry or config.block is not None]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(config.seed, "network"))
        model = network.create(data)
        if not entries:
            _check_without_blocks(config, network)
            return model, None
        torch.manual_seed(derive_seed(config.seed, "blocks"))
        report = insert_all(model, [_spec(config, entry) for entry in entries], torch.zeros(1, *data.shape))
    if config.static and not make_gates_static(model):
        raise ConfigError([(config.label, "has no unit, so there is no gate that could be static")])
    return model, report


def _check_without_blocks(config: RunConfig, network: NetworkConfig) -> None:
    """Raises ConfigError if the run has a block that goes nowhere, or static gates without a block."""
    if config.block is not None:
        cure = "add network.place, such as [{at: layer*.*.bn2, where: after}]"
        raise ConfigError([("network.place", f"{network.label} has no place for the block; {cure}")])
    if config.static:
        raise ConfigError([("static", "there is no block whose gates could be static; set block")])


def _spec(config: RunConfig, entry: Mapping[str, Any]) -> InsertionSpec:
    """The insertion of one place."""
    options = {key: value for key, value in entry.items() if key in PLACE_KEYS and key != "block"}
    if "block" in entry:
        return InsertionSpec(entry["block"], search=config.search, **options)
    return InsertionSpec(config.block, search=config.search, name=config.label, **options)


@lru_cache(maxsize=2)
def _load_data(text: str) -> Dataset:
    """The data set of a config in JSON. The runs of a study share it."""
    return load_data(json.loads(text))


def _identify(config: RunConfig, data: Dataset, recipe: Recipe, network: NetworkConfig, report: Report | None) -> Identity:
    """The digests of a run: of what changes its numbers, not of names and not of where it runs."""
    setting = {
        "numerics": NUMERICS,
        "data": [data.fingerprint, data.classes],
        "network": [network.host, network.depth, network.width],
        "recipe": asdict(recipe),
        "test": config.test,
    }
    variant = describe_blocks(network, report)
    run = {**setting, "blocks": variant, "static": config.static, "seed": config.seed}
    return Identity(digest(run), digest(setting), digest(variant))


def _check_data(data: Dataset, recipe: Recipe) -> None:
    """Raises ConfigError for data that is too small to train or to score."""
    if recipe.batch_size > len(data.train):
        raise ConfigError([("recipe.batch_size", f"{recipe.batch_size}; the data has {len(data.train):,} training images")])
    for name, part in (("validation", data.validation), ("test", data.test)):
        if not len(part):
            raise ConfigError([("data", f"has no {name} images; every sixth training image is held out for validation")])


def describe_blocks(network: NetworkConfig, report: Report | None) -> list[Any]:
    """What is inserted at each place, in the order in which the blocks draw their weights; empty without blocks."""
    carried = [f"carry {entry['carry']}" for entry in network.places if entry.get("carry")]
    return [*map(_describe_place, report.places), *carried] if report else []


def _describe_place(place: Placement) -> list[Any]:
    """What is inserted at one place: where and how, the input sizes of the block, and its tree."""
    layout = [place.layout.name, place.layout.tokens]
    return [place.path, place.where, place.start, layout, str(place.block_plan.sizes), describe(place.block_plan.root)]
