"""Configs that are given as YAML files or mappings: they are stored where Hydra, which selects by name, finds them.

Hydra's ConfigStore also reaches the processes of its launchers.
"""

import re
from pathlib import Path
from typing import Any, NamedTuple

from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from ..config.overrides import parse_value
from ..config.repository import ConfigRepository, is_file_name, load_config
from ..config.syntax_tree import Config
from ..config.yaml_reader import to_plain
from ..errors import ConfigError, InvalidValue
from .command_line import Argument, CommandLine, read_argument, sweep_values
from .values import FILE_GROUPS, yaml_path

CONTENTS = {
    "host": "a host has the keys host and place",
    "network": "a network has the keys host and place",
    "data": "a data set has the key dataset",
    "recipe": "a recipe has the keys image_passes and lr",
    "study": "a study has the keys data, network, recipe, variants and confirm",
}
"""What is expected of the mapping of a group."""


class GivenConfig(NamedTuple):
    """A config that was given as a file or a mapping: its name in tables, and its file."""

    label: str
    file: Path | None


def store_given_configs(line: CommandLine) -> CommandLine:
    """The command line with a stored name in place of each YAML file and each mapping of FILE_GROUPS.

    Raises ConfigError for a file that cannot be read, and for data that no config may hold.
    """
    return line._replace(arguments=tuple(_store_values(line, argument) for argument in line.arguments))


def given_config(group: str) -> GivenConfig | None:
    """What was given for a group in the running job, or None if a config was selected by its name."""
    name = HydraConfig.get().runtime.choices.get(group)
    node = ConfigStore.instance().repo.get(group, {}).get(f"{name}.yaml")
    if node is None:
        return None
    is_file = is_file_name(node.provider)
    return GivenConfig(node.provider, Path(HydraConfig.get().runtime.cwd, yaml_path(node.provider)) if is_file else None)


def given_source(group: str, value: str) -> Any:
    """The path of a YAML file, the data of a mapping, or a name: what a value of a group such as `block=` stands for.

    Raises ConfigError for a mapping that is not in Hydra's syntax.
    """
    if is_file_name(value):
        return yaml_path(value)
    if not value.startswith("{"):
        return value
    try:
        return parse_value(f"{group}={value}")
    except InvalidValue:
        cure = "write {key: value}, with quotes around texts that have parentheses or commas"
        raise ConfigError([(f"override {group}={value}", f"is not a mapping in Hydra's syntax; {cure}")]) from None


def _store_values(line: CommandLine, argument: Argument) -> Argument:
    """The argument with stored names in place of files and mappings."""
    if argument.key not in FILE_GROUPS or argument.package is not None or argument.prefix == "~":
        return argument
    values = sweep_values(argument.value or "")
    names = [_store(line, argument.key, value, i, len(values)) for i, value in enumerate(values)]
    return argument if names == values else read_argument(f"{argument.key}={','.join(names)}")


def _store(line: CommandLine, group: str, value: str, index: int, count: int) -> str:
    """Stores a file or a mapping and returns its name, which contains `-`: no config of a folder has such a name."""
    source = given_source(group, value)
    if isinstance(source, str):
        return value
    label = value if is_file_name(value) else group if count == 1 else f"{group}.{index}"
    repository = ConfigRepository(line.folders)
    given = Config(to_plain(source, label), label) if isinstance(source, dict) else load_config(source, repository)
    data = repository.inherit(given).data
    if group == "block" and not isinstance(data, dict):
        data = {"series": data if isinstance(data, list) else [data]}  # a config of Hydra is a mapping
    if not isinstance(data, dict):
        raise ConfigError([(label, f"is not a mapping; {CONTENTS[group]}")])
    name = f"{re.sub('[^a-z0-9]+', '-', label.lower()).strip('-')}-{index}"
    ConfigStore.instance().store(name, OmegaConf.create(data), group, provider=label)
    return name
