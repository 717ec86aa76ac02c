"""From a name, a file or a mapping to one resolved config: what it inherits, what the overrides change."""

import os
import re
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

from ..errors import ConfigError, did_you_mean, join_words, short_repr
from .registry import find_operator, operators
from .syntax_tree import Config, SourceLocation
from .yaml_reader import parse_yaml, read_text, to_plain

NAME = re.compile(r"[a-z0-9_]+(/[a-z0-9_]+)*")
MAX_ANCESTORS = 20
MAX_FOLDERS = 200
"""Folders that are looked through for the nearest name."""
MAX_NAME_LENGTH = 200
MAX_CACHED_LENGTH = 10_000
"""Characters of a file whose containers are kept for the next time."""
REMOVABLE = {"series", "parallel", "own"}

_HERE = Path(__file__).parents[1]
SHIPPED = _HERE / "configs" if (_HERE / "configs").is_dir() else _HERE.parent / "configs"
"""The shipped configs: inside the package when installed, beside it in a checkout."""


def configs() -> list[str]:
    """The names of the shipped blocks, sorted."""
    return _names(SHIPPED / "block")


class ConfigRepository:
    """Configs by name: beside the file that asks, then in the folders of `search`, then the shipped ones."""

    def __init__(self, search: Iterable[str | Path] = ()) -> None:
        self.search = [Path(folder) for folder in _folders(search)]
        self._read: dict[Path, Config] = {}
        self._complete: dict[Path, Config] = {}
        self._listed: dict[Path, list[str]] = {}
        self._found: dict[tuple[str, str, str | None], Path | None] = {}
        self._folders: dict[tuple[str, str | None], list[str]] = {}

    def folders(self, group: str, near: Path | None = None) -> list[Path]:
        """Where the files of a group (block, squeeze, excite, gate) are, in the order of the look-up."""
        beside = [near] if near and group == "block" else []
        return [*beside, *(f for folder in self.search for f in (folder / group, folder)), SHIPPED / group]

    def find(self, name: str, group: str = "block", near: Path | None = None) -> Path | None:
        """The file of a name, or None; looked up once."""
        beside = None if near is None else str(near)
        key = (name, group, beside)
        if key not in self._found:
            if (group, beside) not in self._folders:
                self._folders[group, beside] = list(dict.fromkeys(map(str, self.folders(group, near))))
            named = len(name) <= MAX_NAME_LENGTH and NAME.fullmatch(name)
            self._found[key] = _file(name, self._folders[group, beside]) if named else None
        return self._found[key]

    def list_names(self, group: str = "block", near: Path | None = None) -> list[str]:
        """All names of a group."""
        found: set[str] = set()
        for folder in self.folders(group, near):
            if folder not in self._listed:
                self._listed[folder] = _names(folder)
            found.update(self._listed[folder])
        return sorted(found)

    def get(self, name: str, near: Config) -> Config | None:
        """The config of a name as the config `near` sees it."""
        path = self.find(name, near=near.folder)
        if path is not None and path not in self._complete:
            self._complete[path] = drop_removed(self.read(path))
        return None if path is None else self._complete[path]

    def names(self, near: Config) -> list[str]:
        """All names that `near` can look up."""
        return self.list_names(near=near.folder)

    def read(self, path: Path, below: tuple[Path, ...] = ()) -> Config:
        """A file with what it inherits.

        Raises ConfigError for a file that cannot be read or inherits from itself.
        """
        if path not in self._read:
            if path in below:
                chain = " -> ".join(file.name for file in (*below[below.index(path) :], path))
                raise ConfigError([(f"{below[-1].name} defaults", f"{path.stem!r} inherits from itself: {chain}")])
            if len(below) > MAX_ANCESTORS:
                raise ConfigError([(f"{below[-1].name} defaults", f"inherits through more than {MAX_ANCESTORS} files")])
            self._read[path] = self.inherit(_of_file(path), (*below, path))
        return self._read[path]

    def inherit(self, config: Config, below: tuple[Path, ...] = ()) -> Config:
        """The config merged onto those its `defaults` name, as Hydra does it: mappings merge, everything else is replaced."""
        if not isinstance(config.data, dict) or "defaults" not in config.data:
            if config.folder and config.has_null:  # a mapping may have inherited before it came here
                _check_removals({}, config.data, SourceLocation(config.label))
            return config
        own = {key: value for key, value in config.data.items() if key != "defaults"}
        place = f"{config.label} defaults".lstrip()
        merged: Any = {}
        for name in _defaults(config.data["defaults"], place):
            if name == "_self_":
                _check_removals(merged, own, SourceLocation(config.label))
                merged = merge(merged, own)
                continue
            path = self.find(name, near=config.folder)
            if path is None:
                hint = did_you_mean(name, self.list_names(near=config.folder))
                raise ConfigError([(place, f"no config named {short_repr(name)}{hint}")])
            base = self.read(path, below).data
            if not isinstance(base, dict):
                raise ConfigError([(place, f"{name} is no mapping; only a mapping can be inherited")])
            merged = merge(merged, base)
        return Config(merged, config.label, config.folder)


def _file(name: str, folders: list[str]) -> Path | None:
    for folder in folders:
        path = f"{folder}{os.sep}{name}.yaml"
        if os.access(path, os.F_OK) and os.path.isfile(path):  # of what is not there the first says so in half the time
            return Path(path)
    return None


def _of_file(path: Path) -> Config:
    text = read_text(path, path.name)
    return _of_text(text, path) if len(text) <= MAX_CACHED_LENGTH else _of_text.__wrapped__(text, path)


@lru_cache(maxsize=256)
def _of_text(text: str, path: Path) -> Config:
    """By the text and not by the time of the file, so that an edit is always seen."""
    data = parse_yaml(text, path.name)
    if data is None:
        raise ConfigError([(path.name, "the file is empty")])
    return Config(data, path.name, path.parent)


def load_config(source: Any, shelf: ConfigRepository) -> Config:
    """The config that a user named, with what it inherits, before overrides.

    Raises ConfigError.
    """
    if isinstance(source, Config):
        return source
    if isinstance(source, Path):
        if "\0" in str(source) or not os.path.lexists(source):
            raise ConfigError([(_cut(str(source)), f"no such file{_unsuffixed(source, shelf)}")])
        return shelf.read(Path(os.path.realpath(source)))
    if isinstance(source, str):
        return _by_name(source, shelf)
    return shelf.inherit(Config(to_plain(source, ""), ""))


def _by_name(name: str, shelf: ConfigRepository) -> Config:
    path = shelf.find(name)
    if path is not None and find_operator(name):
        raise ConfigError([(name, f"is an operator and a config ({path.name}) at once; rename the config")])
    if path is not None:
        return shelf.read(path)
    if find_operator(name):
        return Config(name, "")
    if not NAME.fullmatch(name):
        hint = f"; pass Path({name!r}) for a file" if name.endswith((".yaml", ".yml")) and "://" not in name else ""
        raise ConfigError([(short_repr(name), f"is no name of a config: small letters, digits, _ and / for folders{hint}")])
    known = [*shelf.list_names(), *operators()]
    raise ConfigError([(_cut(name), f"no config of this name{did_you_mean(name, known)}")])


def _defaults(defaults: Any, place: str) -> list[str]:
    if not isinstance(defaults, list) or not all(isinstance(name, str) for name in defaults):
        raise ConfigError([(place, f"{short_repr(defaults)}; it is a list of names of blocks and _self_")])
    if defaults.count("_self_") != 1:
        raise ConfigError([(place, "write _self_ once, where this file's own content comes in; last is usual")])
    twice = next((name for i, name in enumerate(defaults) if name in defaults[:i]), None)
    if twice is not None:
        raise ConfigError([(place, f"{short_repr(twice)} is listed twice")])
    return defaults


def _check_removals(base: Any, change: Any, place: SourceLocation) -> None:
    """Refuses a null for an element of series, parallel or own that nothing inherited has."""
    if not isinstance(change, dict | list):
        return
    inherited = base if isinstance(base, dict) else {}
    for key, value in change.items() if isinstance(change, dict) else enumerate(change):
        if value is None and key not in inherited and place.path and place.path[-1] in REMOVABLE:
            have = (
                f"there are {join_words(inherited)}{did_you_mean(str(key), inherited)}"
                if inherited
                else "write identity for what passes on"
            )
            raise ConfigError([(str(place / key), f"null, and there is none to remove; {have}")])
        _check_removals(inherited.get(key), value, place / key)


def merge(base: Any, change: Any) -> Any:
    """Mappings merge key by key, everything else is replaced.

    >>> merge({"let": {"r": 16, "k": 7}, "gate": ["sigmoid"]}, {"let": {"r": 8}, "gate": []})
    {'let': {'r': 8, 'k': 7}, 'gate': []}
    """
    if not (isinstance(base, dict) and isinstance(change, dict)):
        return change
    return base | {key: merge(base[key], value) if key in base else value for key, value in change.items()}


def drop_removed(config: Config) -> Config:
    """The config as it is built: nothing inherits or changes it any more, and what was set to null goes."""
    return replace(config, data=without_nulls(config.data)) if config.has_null else config


def without_nulls(data: Any) -> Any:
    """The config without the elements of series, parallel and own that were set to null."""
    if isinstance(data, list):
        return [without_nulls(item) if isinstance(item, dict | list) else item for item in data]
    if not isinstance(data, dict):
        return data
    kept = {key: without_nulls(value) if isinstance(value, dict | list) else value for key, value in data.items()}
    for key in kept.keys() & REMOVABLE:
        if isinstance(elements := kept[key], dict):
            kept[key] = {name: item for name, item in elements.items() if item is not None}
    return kept


def _folders(search: Any) -> list[Any]:
    if isinstance(search, str | Path) or not isinstance(search, Iterable):
        raise ConfigError([("search", f"{short_repr(_text(search))}; it is a list of folders")])
    folders = list(search)
    for folder in folders:
        if not isinstance(folder, str | Path):
            raise ConfigError([("search", f"{short_repr(folder)} is no folder")])
        if not os.path.isdir(folder):
            raise ConfigError([("search", f"there is no folder {_cut(str(folder))}")])
    return folders


def _cut(path: str) -> str:
    return path if path.isprintable() and len(path) <= MAX_NAME_LENGTH else short_repr(path)


def _text(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


def _unsuffixed(path: Path, shelf: ConfigRepository) -> str:
    """What to write where the name of a config was given as a path."""
    return f"; the config of this name is {short_repr(str(path))}, no Path" if shelf.find(str(path)) else ""


def _names(folder: Path) -> list[str]:
    """The names of the configs in a folder and those below it, sorted."""
    found = []
    for parent, _, files in islice(os.walk(folder), MAX_FOLDERS):
        paths = (Path(parent, file).relative_to(folder) for file in files if file.endswith(".yaml"))
        found += [path.with_suffix("").as_posix() for path in paths]
    return sorted(name for name in found if NAME.fullmatch(name))
