"""What a Hydra job was asked for: the block, its name in tables, the folders of configs."""

from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from ..config import SHIPPED, Shelf
from ..errors import ConfigError, shown
from ..nodes import Config
from ..plain import plain
from ..registry import SLOTS

MEASURED = ("device", "dtype", "threads", "compile", "channels_last")


def search_folders() -> list[Path]:
    """The config folders that Hydra looks into, other than the shipped one."""
    sources = HydraConfig.get().runtime.config_sources
    found = [Path(source.path) for source in sources if source.schema == "file" and source.path]
    return [folder for folder in found if folder.resolve() != SHIPPED.resolve()]


def chosen_block(config: DictConfig) -> tuple[Config | None, list[Path]]:
    """The block of block=, squeeze=, excite=, gate= and their overrides, and the folders for what it refers to.

    Raises ConfigError for a slot word without a block.
    """
    search = search_folders()
    name = HydraConfig.get().runtime.choices.get("block")
    if OmegaConf.is_missing(config, "block") or config.get("block") is None:
        return None, search
    if name is None:
        words = [f"{slot}=" for slot in SLOTS if slot in config.block]
        raise ConfigError([("block", f"{' '.join(words) or 'an override'} without a block; choose one, such as block=unit")])
    data = plain(OmegaConf.to_container(config.block, resolve=False), f"{name}.yaml")
    file = Shelf(search).find(name)
    return Config(data, f"{name}.yaml", file.parent if file else None), search


def block_label() -> str:
    """The block and what was changed of it: `cbam let.r=8`, `unit mean/mlp/sigmoid` for slot words.

    In a sweep also how it was measured, `cbam dtype=bfloat16`: two jobs may differ in that alone.
    """
    choices = HydraConfig.get().runtime.choices
    typed = [text.lstrip("+") for text in HydraConfig.get().overrides.task]
    chosen = "/".join(str(choices[slot]) for slot in SLOTS if any(text.startswith(f"{slot}=") for text in typed))
    measured = [f"{key}=" for key in MEASURED] if HydraConfig.get().mode == RunMode.MULTIRUN else []
    keys = ("block.", *(f"{slot}@" for slot in SLOTS), "~", *measured)
    changes = [text.replace("block.", "", 1) for text in typed if text.startswith(keys)]
    return " ".join([str(choices["block"]), *([chosen] if chosen else []), *changes])


def whole(name: str, value: Any) -> int:
    """A whole number from 1; raises ConfigError."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigError([(name, f"{shown(value)}; it is a whole number from 1")])
    return value


def grid(name: str, value: Any) -> tuple[int, int]:
    """A number, or [height, width]; raises ConfigError."""
    given = OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
    if isinstance(given, list) and len(given) == 2:
        return whole(name, given[0]), whole(name, given[1])
    if isinstance(given, list):
        raise ConfigError([(name, f"{shown(given)}; it is a number, or [height, width]")])
    return whole(name, given), whole(name, given)
