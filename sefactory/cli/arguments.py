"""What a Hydra job was asked for: the block, its name in tables, the folders of configs."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from ..block import Block
from ..build.api import build
from ..config.registry import SLOTS
from ..config.repository import SHIPPED, ConfigRepository
from ..config.syntax_tree import Config
from ..config.yaml_reader import to_plain
from ..errors import ConfigError, short_repr
from ..shapes import GRIDS

GRID_OF = {len(grid): grid for grid in GRIDS}
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
    data = to_plain(OmegaConf.to_container(config.block, resolve=False), f"{name}.yaml")
    shelf = ConfigRepository(search)
    if file := shelf.find(name):
        shelf.read(file)  # what is wrong in the file by itself, Hydra may have covered up
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
        raise ConfigError([(name, f"{short_repr(value)}; it is a whole number from 1")])
    return value


def size(name: str, value: Any) -> tuple[int, ...]:
    """Of a square map a number, else its sides: [height, width], [width], or [depth, height, width]; raises ConfigError."""
    given = OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
    if not isinstance(given, list):
        return whole(name, given), whole(name, given)
    if len(given) not in GRID_OF:
        raise ConfigError([(name, f"{short_repr(given)}; it is a number, [height, width], [width] or [depth, height, width]")])
    return tuple(whole(name, side) for side in given)


def built(config: Any, channels: int, sides: Sequence[int], search: Iterable[Path]) -> Block:
    """The block for maps of these sides; how many there are says which grid it has."""
    grid = GRID_OF[len(sides)]
    told = dict(zip(grid, sides, strict=True))
    depth, height, width = (told.get(axis) for axis in "DHW")
    return build(config, channels, grid=grid, depth=depth, height=height, width=width, search=search)
