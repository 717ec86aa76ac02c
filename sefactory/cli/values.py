"""Checks the value of one argument: names of configs, YAML files, choices, numbers. Imports neither Hydra nor torch."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from ..config.registry import SLOTS
from ..config.repository import NAME, SHIPPED, ConfigRepository, is_file_name
from ..config.yaml_reader import read_text
from ..errors import ConfigError, choice_message, did_you_mean, join_words, short_repr
from .choices import GROUP_OF_LIST, OPERATORS, allowed_choices
from .command_line import Argument, CommandLine, split_values
from .primary_config import Key, group_names

FILE_GROUPS = ("block", "host", "data", "network", "recipe", "study")
"""The groups whose values can be YAML files and mappings."""
LITERAL = re.compile(r"[\w./+-]+")
"""Matches a value without quotes, brackets and interpolations: what Hydra reads is what was typed."""
INTEGER = re.compile(r"[+-]?[0-9](_?[0-9])*")
NUMBER = re.compile(r"[+-]?([0-9]([0-9_]*[0-9])?([.][0-9]*)?|[.][0-9]+)(e[+-]?[0-9]+)?", re.IGNORECASE)
Fault = tuple[str, str]


def yaml_path(value: str) -> Path:
    """The path of a YAML file as it was typed, with `~` as the home folder."""
    return Path(os.path.expanduser(value))  # unchanged without a home folder, where Path.expanduser raises


def value_faults(line: CommandLine, argument: Argument, key: Key, value: str) -> Iterator[Fault]:
    """Yields the faults of one value of a key of the command."""
    repository = ConfigRepository(line.folders)
    holds_names = key.is_group or key.name in (*GROUP_OF_LIST, "baseline")
    if holds_names and line.has_own_primary_config:
        return
    if key.is_group:
        yield from _selection_faults(line.command, argument, value, repository)
    elif key.name in GROUP_OF_LIST:
        yield from _list_faults(key.name, value, repository)
    elif key.name == "baseline":
        if line.values("host") or line.values("hosts"):
            return  # then it is the name of a network
        yield from _item_faults(key.name, "block", value, repository)
    elif LITERAL.fullmatch(value) and value != "null":
        yield from _literal_faults(line.command, key, value)


def name_fault(group: str, name: str, repository: ConfigRepository) -> str:
    """The message for a name that a config group does not have, or whose file Hydra does not find or cannot read."""
    path = repository.find(name, group)
    if path is not None and path.parent not in [(folder / group / name).parent for folder in (*repository.search, SHIPPED)]:
        cure = f"move it into a folder named {group}, where the command line looks"
        return f"{path} is not in a folder {group}; {cure}"
    if fault := _file_fault(group, name, repository):
        return fault
    if path is not None:
        return ""
    if group in FILE_GROUPS and os.path.isfile(f"{name}.yaml"):
        return f"no {group} named {name!r}; for the file write {group}={name}.yaml"
    known = group_names(group, repository.search)
    noun = f"{group} word" if group in SLOTS else group
    return f"no {noun} named {name!r}; there are {join_words(known)}{did_you_mean(name, known)}"


def _file_fault(group: str, name: str, repository: ConfigRepository) -> str:
    """Why the file of a name cannot be used, or an empty text; a file that does not exist has no fault."""
    file = next((path for folder in repository.folders(group) if os.path.lexists(path := folder / f"{name}.yaml")), None)
    if file is None:
        return ""
    if not NAME.fullmatch(name):
        return f"{file} has a name that is not allowed; rename it: lowercase letters, digits and _"
    if not file.exists():
        return f"{file} is a link to a file that does not exist"
    try:
        read_text(file, str(file))
    except ConfigError as error:
        return ": ".join(error.faults[0])
    return ""


def _selection_faults(command: str, argument: Argument, value: str, repository: ConfigRepository) -> Iterator[Fault]:
    """Yields the fault of a value of a config group: the name of a config, of `block` and `host` also a file or a mapping."""
    group, override = argument.key, f"override {argument.text}"
    is_file_group = group in FILE_GROUPS and argument.package is None
    if value.startswith("[") or (value.startswith("{") and not is_file_group):
        yield override, _not_a_name(command, argument, value)
    elif is_file_group and is_file_name(value):
        yield from _file_faults(value, group, repository)
    elif LITERAL.fullmatch(value) and value != "null":
        if fault := name_fault(group, value, repository):
            yield f"{argument.name}={value}", fault


def _not_a_name(command: str, argument: Argument, value: str) -> str:
    """The message for a list or a mapping in place of a name."""
    group = argument.key
    if group in FILE_GROUPS:
        return f"{command} takes one {group}; {_several_cure(command, group, value)}"
    if group in SLOTS:
        path = f"{argument.package or 'block'}.{group}"
        return f"{group} takes the name of a {group} word; for a list of operators write '{path}={value}'"
    return f"{group} takes a name; for a list of shapes write 'input.shapes=[[256,56,56]]'"


def _several_cure(command: str, group: str, value: str) -> str:
    """How to do what a list of configs asks for, where a command takes one."""
    if command == "bench":
        return f"write '{group}s={value}'"
    if command == "show":
        return f"compare several: sefactory bench '{group}s={value}'"
    return f"for one run each write -m {group}={value.strip('[]')}"


def _list_faults(name: str, value: str, repository: ConfigRepository) -> Iterator[Fault]:
    """Yields the faults of `blocks=` or `hosts=`."""
    if LITERAL.fullmatch(value) and value != "null":
        allowed = "a list of names, YAML files and mappings"
        yield name, f"{short_repr(value)}; allowed: {allowed}; write '{name}=[{value}]'"
    elif value.startswith("["):
        for item in split_values(value[1:-1]):
            yield from _item_faults(name, GROUP_OF_LIST[name], item.strip("'\""), repository)


def _item_faults(name: str, group: str, item: str, repository: ConfigRepository) -> Iterator[Fault]:
    """Yields the fault of a name or of a file; other values are checked when they are read."""
    if is_file_name(item):
        yield from _file_faults(item, group, repository)
    elif LITERAL.fullmatch(item) and not INTEGER.fullmatch(item) and item != "null":
        known = [*repository.list_names(group), *(OPERATORS if group == "block" else ())]
        if fault := _file_fault(group, item, repository):
            yield name, fault
        elif item not in known:
            yield name, f"no {group} named {item!r}{did_you_mean(item, known)}"


def _file_faults(value: str, group: str, repository: ConfigRepository) -> Iterator[Fault]:
    """Yields the fault of a YAML file that cannot be read."""
    path = yaml_path(value)
    try:
        read_text(path, value)
    except ConfigError as error:
        (location, text), stem = error.faults[0], path.with_suffix("").as_posix()
        if not path.exists() and repository.find(stem, group):
            text += f"; for the {group} of this name write {stem}"
        elif not path.exists():
            text += did_you_mean(value, [str(file) for file in path.parent.glob("*.y*ml")])
        yield location, text


def _literal_faults(command: str, key: Key, value: str) -> Iterator[Fault]:
    """Yields the fault of a choice or of a number, which the default of the key tells."""
    choices = allowed_choices(command, key)
    if choices and value not in choices and not (key.is_boolean and value.lower() in choices):
        yield key.name, choice_message(value, choices)
    elif INTEGER.fullmatch(key.default) and not (INTEGER.fullmatch(value) and int(value) >= min(1, int(key.default))):
        yield key.name, f"{_format_value(value)}; allowed: {_integers(key)}"
    elif re.fullmatch(r"[0-9]+[.][0-9]+", key.default) and not _is_positive(value):
        yield key.name, f"{_format_value(value)}; allowed: a positive number"


def _integers(key: Key) -> str:
    if key.name == "size":
        return "a number, [height, width], [width] or [depth, height, width]"
    return "a positive integer" if int(key.default) else "an integer from 0"


def _format_value(value: str) -> str:
    return value if NUMBER.fullmatch(value) else short_repr(value)


def _is_positive(value: str) -> bool:
    return NUMBER.fullmatch(value) is not None and float(value) > 0
