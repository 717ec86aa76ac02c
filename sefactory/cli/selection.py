"""The block or network (host) that a command line selects: its config, its name in tables, and how it is built."""

from collections.abc import Sequence
from typing import Any

import torch
import yaml
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from torch import nn

from ..build.api import BlockPlan, input_sizes, parse
from ..config.registry import SLOTS
from ..config.repository import ConfigRepository
from ..config.syntax_tree import Config
from ..errors import ConfigError
from ..networks.host import host_config
from ..networks.tracing import zeros_input
from ..networks.zoos import create_network
from ..shapes import Shape
from .arguments import GRID_OF, is_sweep, plain_containers, search_folders, task_overrides
from .given_configs import given_config

MEASUREMENT_KEYS = ("device", "dtype", "threads", "compile", "channels_last")


def selected_block(config: DictConfig) -> Config:
    """The config of `block=`, with its slot words (`squeeze=`, `excite=`, `gate=`) and overrides.

    Raises ConfigError for a slot word without a block.
    """
    name = HydraConfig.get().runtime.choices.get("block")
    if name is None:
        words = " ".join(f"{slot}=" for slot in SLOTS if slot in config.block) or "an override"
        raise ConfigError([("block", f"{words} without a block; add block=NAME, for example block=unit")])
    if given := given_config("block"):
        label, folder = (given.file.name, given.file.resolve().parent) if given.file else (given.label, None)
        return Config(plain_containers(config.block, label), label, folder)
    data = plain_containers(config.block, f"{name}.yaml")
    repository = ConfigRepository(search_folders())
    file = repository.find(name)
    if file:
        repository.read(file)  # raises for faults of the file that Hydra's merge hides
    return Config(data, f"{name}.yaml", file.parent if file else None)


def block_label() -> str:
    """The name in tables: the block and its changes, such as `cbam let.r=8` or `unit mean/mlp/sigmoid` for slot words."""
    choices, overrides = HydraConfig.get().runtime.choices, task_overrides()
    words = "/".join(str(choices[slot]) for slot in SLOTS if any(text.startswith(f"{slot}=") for text in overrides))
    prefixes = ("block.", *(f"{slot}@" for slot in SLOTS), "~")
    changes = [text.replace("block.", "", 1) for text in overrides if text.startswith(prefixes)]
    return " ".join([_choice("block"), *([words] if words else []), *changes])


def with_settings(label: str) -> str:
    """A name with the measurement settings that were typed, in a sweep, where two jobs can differ in them alone."""
    keys = tuple(f"{key}=" for key in MEASUREMENT_KEYS)
    return " ".join([label, *(text for text in task_overrides() if is_sweep() and text.startswith(keys))])


def plan_block(source: Any, channels: int, size: Sequence[int]) -> BlockPlan:
    """The plan of a block for feature maps of this spatial size, whose length selects the spatial axes."""
    grid = GRID_OF[len(size)]
    sizes = input_sizes(channels, grid, dict(zip(grid, size, strict=True)))
    return BlockPlan.of(parse(source, grid, (), search_folders()), sizes)


def selected_host(config: DictConfig) -> dict[str, Any]:
    """The config of `host=` with its overrides. Raises ConfigError if a block is selected too."""
    if any(text.startswith(("block=", "block.")) for text in task_overrides()):
        cure = "to change a block of the network, write host.place.0.block=NAME"
        raise ConfigError([("host", f"host= and block= cannot be used together; {cure}")])
    return host_config(plain_containers(config.host, "host"))[0]


def host_label() -> str:
    """The name in tables: the host and its changes, such as `senet_resnet50 place.0.block=cbam`."""
    changes = [text.replace("host.", "", 1) for text in task_overrides() if text.startswith(("host.", "~host."))]
    return " ".join([_choice("host"), *changes])


def _choice(group: str) -> str:
    """What was selected for a group, as it was typed."""
    given = given_config(group)
    return given.label if given else str(HydraConfig.get().runtime.choices[group])


def build_network(host: dict[str, Any]) -> nn.Module:
    """The network without blocks, with the same initial weights at every call."""
    if "host" not in host:
        raise ConfigError([("host", "names no network; add host.host=ZOO:NAME, for example host.host=timm:resnet50")])
    torch.manual_seed(0)
    return create_network(host["host"])


def input_shape(model: nn.Module, host: dict[str, Any], batch: int = 1) -> Shape:
    """(batch, channels, ...): `input` of the host's config, or the size that timm notes on the model."""
    return (batch, *zeros_input(model, host.get("input")).shape[1:])


def to_yaml(config: Any) -> str:
    """A config as YAML text, its keys in their order, as people write it: short lists and mappings on one line."""
    return yaml.safe_dump(config, sort_keys=False, default_flow_style=None, allow_unicode=True, width=120)
