"""Reads values of a Hydra job's config and checks them. All checks raise ConfigError."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from ..config.repository import SHIPPED, is_file_name
from ..config.yaml_reader import to_plain
from ..errors import ConfigError, choice_message, short_repr
from ..shapes import GRIDS
from .choices import FORMATS
from .given_configs import given_config
from .values import yaml_path

GRID_OF = {len(grid): grid for grid in GRIDS}
"""Number of spatial sizes -> spatial axes."""


def is_sweep() -> bool:
    """True if the job is one of a sweep (`-m`)."""
    return bool(HydraConfig.get().mode == RunMode.MULTIRUN)


def task_overrides() -> list[str]:
    """The overrides typed on the command line, without a leading `+`."""
    return [text.lstrip("+") for text in HydraConfig.get().overrides.task]


def search_folders() -> list[Path]:
    """The config folders of `--config-dir`, without the shipped one, and the folders of files that `host=` and others give."""
    sources = HydraConfig.get().runtime.config_sources
    folders = [Path(source.path) for source in sources if source.schema == "file" and source.path]
    given = [given_config(group) for group in ("host", "network", "study")]
    beside = [config.file.parent for config in given if config and config.file]
    return [*(folder for folder in folders if folder.resolve() != SHIPPED.resolve()), *beside]


def is_given(config: DictConfig, key: str) -> bool:
    """True if a key exists and is neither null nor missing."""
    return not OmegaConf.is_missing(config, key) and config.get(key) is not None


def plain_containers(config: Any, label: str) -> Any:
    """An OmegaConf node as checked dicts, lists and scalars."""
    return to_plain(OmegaConf.to_container(config, resolve=False) if OmegaConf.is_config(config) else config, label)


def output_format(config: DictConfig, command: str) -> str:
    """`format=` of a command, one of its FORMATS."""
    if config.format not in FORMATS[command]:
        raise ConfigError([("format", choice_message(config.format, FORMATS[command]))])
    return str(config.format)


def positive_int(name: str, value: Any) -> int:
    """The value, a positive integer."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigError([(name, f"{short_repr(value)}; allowed: a positive integer")])
    return value


def spatial_size(name: str, value: Any) -> tuple[int, ...]:
    """The spatial size of a feature map: (n, n) for a number, else (height, width), (width,) or (depth, height, width)."""
    size = OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
    if not isinstance(size, list):
        return positive_int(name, size), positive_int(name, size)
    if len(size) not in GRID_OF:
        allowed = "a number, [height, width], [width] or [depth, height, width]"
        raise ConfigError([(name, f"{short_repr(size)}; allowed: {allowed}")])
    return tuple(positive_int(name, n) for n in size)


def named_source(key: str, value: Any) -> tuple[str, Any]:
    """The name in tables of a block or host, and its source: the path of a YAML file becomes a Path.

    Other values are returned unchanged: the caller checks that they are configs.
    """
    if not isinstance(value, str):
        return key, value
    return value, yaml_path(value) if is_file_name(value) else value


def source_list(name: str, value: Any) -> list[tuple[str, Any]]:
    """The name in tables and the source of each entry of `blocks=` or `hosts=`."""
    items = plain_containers(value, name)
    if not isinstance(items, list) or not items:
        allowed = f"a list of names, YAML files and mappings, for example {name}=[my.yaml]"
        raise ConfigError([(name, f"{short_repr(items)}; allowed: {allowed}")])
    return [named_source(f"{name}.{i}", item) for i, item in enumerate(items)]


def format_shape(shape: Sequence[int]) -> str:
    """`64 x 56 x 56`: a shape without its batch axis."""
    return " x ".join(map(str, shape[1:]))
