"""Completes keys: those of a command, and the paths inside of the chosen block, host or input."""

from collections.abc import Iterator
from typing import Any

from ...config.paths import children, unit_paths
from ...config.registry import SLOTS
from ...config.repository import ConfigRepository, is_file_name
from ...config.yaml_reader import copy_plain
from ...errors import ConfigError, short_repr
from ..checks import NESTED
from ..command_line import CommandLine, sweep_values
from ..primary_config import command_keys
from ..values import yaml_path

Pairs = Iterator[tuple[str, str]]
HIDDEN = ("paper", "official", "defaults")
"""Keys at the root of a block that are not changed on a command line."""
HYDRA_KEYS = {
    "hydra.run.dir=": "the output folder of one run",
    "hydra.sweep.dir=": "the output folder of a sweep",
    "hydra/launcher=": "how the runs of a sweep are started",
    "hydra/sweeper=": "how the values of a sweep are chosen",
}


def key_candidates(line: CommandLine, current: str) -> Pairs:
    """Yields the keys that the last word, which has no `=` yet, can become, and what they mean."""
    name = current.lstrip("+~")
    prefix = current[: len(current) - len(name)]
    group = name.partition(".")[0]
    if "@" in name:
        yield from _slot_paths(line, prefix, name.partition("@")[0])
    elif "." in name and group in NESTED:
        yield from _inner_keys(line, prefix, group, name.split(".")[1:-1])
    elif prefix == "~":
        yield from ((f"~{group}.", "") for group in NESTED if chosen_config(line, group) is not None)
    else:
        yield from _command_keys(line, prefix)


def chosen_config(line: CommandLine, group: str) -> Any:
    """The data of the config that is chosen for a group, or None if none is chosen or it cannot be read."""
    key = command_keys(line.command).get(group)
    given = line.values(group) or [key.default if key else "null"]
    name = sweep_values(given[-1])[0]
    repository = ConfigRepository(line.folders)
    try:
        path = yaml_path(name) if is_file_name(name) else repository.find(name, group)
        return copy_plain(repository.read(path.resolve()).data) if path else None
    except (ConfigError, OSError):
        return None


def inner_node(data: Any, path: list[str]) -> Any:
    """The node at a path of a config, or None."""
    for name in path:
        data = children(data).get(name)
    return data


def _command_keys(line: CommandLine, prefix: str) -> Pairs:
    """Yields the keys of a command that were not given, the groups whose content can be changed, and some of Hydra's keys."""
    given = {argument.name for argument in line.arguments}
    units = unit_paths(chosen_config(line, "block"))
    for key in command_keys(line.command).values():
        if key.name not in given:
            yield f"{prefix}{key.name}=", key.comment
        if key.name in NESTED and chosen_config(line, key.name) is not None:
            yield f"{prefix}{key.name}.", f"change a value of the {key.name}"
        if key.name in SLOTS and units:
            yield f"{prefix}{key.name}@", "fill a slot further down in the block"
    if not prefix:
        yield from HYDRA_KEYS.items()


def _slot_paths(line: CommandLine, prefix: str, slot: str) -> Pairs:
    """Yields `squeeze@block.PATH=` for each unit of the chosen block."""
    if slot in SLOTS:
        for path in unit_paths(chosen_config(line, "block")):
            yield f"{prefix}{slot}@block.{'.'.join(path)}=", ""


def _inner_keys(line: CommandLine, prefix: str, group: str, path: list[str]) -> Pairs:
    """Yields the paths that continue a path inside of a config, with their present values."""
    node = inner_node(chosen_config(line, group), path)
    start = ".".join([f"{prefix}{group}", *path])
    for name, child in children(node).items():
        if not path and group == "block" and name in HIDDEN:
            continue
        text, shown = f"{start}.{name}", short_repr(child)
        if isinstance(child, dict | list):
            yield f"{text}.", shown
        if prefix == "~":
            yield text, shown
        elif not isinstance(child, dict):
            yield f"{text}=", shown
