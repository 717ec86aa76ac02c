"""The block that a command line selects: its config, its name in tables, and how it is built."""

from collections.abc import Sequence
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from ..block import Block
from ..build.api import build
from ..config.registry import SLOTS
from ..config.repository import ConfigRepository
from ..config.syntax_tree import Config
from ..errors import ConfigError
from .arguments import GRID_OF, is_sweep, plain_containers, search_folders, task_overrides

MEASUREMENT_KEYS = ("device", "dtype", "threads", "compile", "channels_last")


def selected_block(config: DictConfig) -> Config:
    """The config of `block=`, with its slot words (`squeeze=`, `excite=`, `gate=`) and overrides.

    Raises ConfigError for a slot word without a block.
    """
    name = HydraConfig.get().runtime.choices.get("block")
    if name is None:
        words = " ".join(f"{slot}=" for slot in SLOTS if slot in config.block) or "an override"
        raise ConfigError([("block", f"{words} without a block; add block=NAME, for example block=unit")])
    data = plain_containers(config.block, f"{name}.yaml")
    repository = ConfigRepository(search_folders())
    file = repository.find(name)
    if file:
        repository.read(file)  # raises for faults of the file that Hydra's merge hides
    return Config(data, f"{name}.yaml", file.parent if file else None)


def block_label() -> str:
    """The name in tables: the block and its changes, such as `cbam let.r=8` or `unit mean/mlp/sigmoid` for slot words.

    In a sweep also the measurement settings, `cbam dtype=bfloat16`: two jobs may differ in them alone.
    """
    choices, overrides = HydraConfig.get().runtime.choices, task_overrides()
    words = "/".join(str(choices[slot]) for slot in SLOTS if any(text.startswith(f"{slot}=") for text in overrides))
    settings = [f"{key}=" for key in MEASUREMENT_KEYS] if is_sweep() else []
    prefixes = ("block.", *(f"{slot}@" for slot in SLOTS), "~", *settings)
    changes = [text.replace("block.", "", 1) for text in overrides if text.startswith(prefixes)]
    return " ".join([str(choices["block"]), *([words] if words else []), *changes])


def build_block(source: Any, channels: int, size: Sequence[int]) -> Block:
    """The block for feature maps of this spatial size, whose length selects the spatial axes."""
    grid = GRID_OF[len(size)]
    sizes = dict(zip(grid, size, strict=True))
    depth, height, width = (sizes.get(axis) for axis in "DHW")
    return build(source, channels, grid=grid, depth=depth, height=height, width=width, search=search_folders())
