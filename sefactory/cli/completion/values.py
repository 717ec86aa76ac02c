"""Completes values: names of configs, YAML files, folders, choices; also as entries of lists and of sweeps."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from ...config.repository import SHIPPED, is_file_name
from ..choices import BOOLEANS, DEVICES, GROUP_OF_LIST, allowed_choices
from ..command_line import CommandLine, read_argument, split_values
from ..primary_config import command_keys, group_names
from ..values import FILE_GROUPS
from .keys import chosen_config, inner_node

Pairs = Iterator[tuple[str, str]]
FOLDER_KEYS = ("store", "hydra.run.dir", "hydra.sweep.dir")


def value_candidates(line: CommandLine, current: str) -> Pairs:
    """Yields what the last word, which is `key=` and the beginning of a value, can become."""
    argument = read_argument(current)
    key, typed = argument.key, argument.value or ""
    stem = current[: len(current) - len(typed)]
    if argument.prefix == "~":
        return
    if key in GROUP_OF_LIST and key in command_keys(line.command):
        yield from _list_values(line, GROUP_OF_LIST[key], stem, typed)
    elif key in FOLDER_KEYS:
        yield from ((f"{stem}{folder}", "") for folder in folders(typed))
    else:
        *done, part = split_values(typed)
        values = [pair for pair in _single_values(line, key, part) if pair[0].startswith(part) and pair[0] not in done]
        start = stem + "".join(f"{value}," for value in done)
        ends = ("", ",") if line.is_sweep and len(values) == 1 else ("",)
        yield from ((f"{start}{text}{end}", comment) for text, comment in values for end in ends)


def folders(typed: str) -> list[str]:
    """The folders that continue a path, with `/` at the end."""
    return [path for path in _paths(typed) if path.endswith("/")]


def _list_values(line: CommandLine, group: str, stem: str, typed: str) -> Pairs:
    """Yields a list with one more entry. After a complete entry: the next one, and the end of the list."""
    *done, part = split_values(typed.removeprefix("["))
    if (typed and not typed.startswith("[")) or part.endswith("]"):
        return
    entries = [(text, comment) for text, comment in _configs(line, group, part) if text.startswith(part) and text not in done]
    start = f"{stem}[" + "".join(f"{value}," for value in done)
    is_complete = len(entries) == 1 and not entries[0][0].endswith("/")
    ends = (",", "]") if is_complete else ("",)
    yield from ((f"{start}{text}{end}", comment) for text, comment in entries for end in ends)


def _single_values(line: CommandLine, name: str, part: str) -> Iterable[tuple[str, str]]:
    """Pairs of a value of a key and its description."""
    key = command_keys(line.command).get(name)
    if key is None:
        return _present_value(line, name)
    if key.is_group or name == "baseline":
        return _configs(line, name if key.is_group else "block", part)
    words = DEVICES if name == "device" else allowed_choices(line.command, key)
    return [(word, "") for word in words]


def _present_value(line: CommandLine, name: str) -> Pairs:
    """Yields the value that a path inside of a config has now; the other one for true and false."""
    group, *path = name.split(".")
    value = inner_node(chosen_config(line, group), path) if path else None
    if isinstance(value, bool):
        yield from ((word, "") for word in BOOLEANS)
    elif isinstance(value, int | float | str):
        yield str(value), "the present value"


def _configs(line: CommandLine, group: str, part: str) -> list[tuple[str, str]]:
    """Pairs of the name of a config, or of a path if one is typed or no name fits, and its first comment."""
    is_path = part.startswith((".", "~")) or "/" in part
    names = group_names(group, line.folders)
    pairs = [(name, _first_comment(group, name, line.folders)) for name in names if name.startswith(part)]
    if group in FILE_GROUPS and (is_path or not pairs):
        pairs += [(path, "") for path in _paths(part) if path.endswith("/") or is_file_name(path)]
    return pairs


def _first_comment(group: str, name: str, config_folders: Iterable[Path]) -> str:
    """The first comment of a config, which describes it."""
    files = (folder / group / f"{name}.yaml" for folder in (*config_folders, SHIPPED))
    file = next(file for file in files if file.is_file())
    try:
        with file.open(encoding="utf-8") as lines:
            comments = [text.removeprefix("#").strip() for text in (next(lines, "") for _ in range(3)) if text.startswith("#")]
    except (OSError, UnicodeDecodeError):
        return ""
    return next((text for text in comments if not text.startswith("@package")), "")


def _paths(typed: str) -> list[str]:
    """The files and folders that continue a path; hidden ones if the path asks for them."""
    folder, _, start = typed.rpartition("/")
    parent = f"{folder}/" if "/" in typed else ""
    try:
        entries = sorted(os.scandir(os.path.expanduser(parent) or "."), key=lambda entry: entry.name)
    except OSError:
        return []
    visible = [entry for entry in entries if entry.name.startswith(start) and (start or not entry.name.startswith("."))]
    return [f"{parent}{entry.name}{'/' if entry.is_dir() else ''}" for entry in visible]
