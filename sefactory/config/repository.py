"""Finds config files by name, reads them, and merges them with the configs that they inherit."""

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

from ..errors import ConfigError, did_you_mean, short_repr
from .merge import check_defaults, check_removals, merge, remove_nulls
from .registry import find_operator, operators
from .syntax_tree import Config, SourceLocation
from .yaml_reader import parse_yaml, read_text, to_plain

NAME = re.compile(r"[a-z0-9_]+(/[a-z0-9_]+)*")
MAX_NAME_LENGTH = 200
MAX_ANCESTORS = 20
MAX_FOLDERS = 200
"""The largest number of folders that are listed to suggest a name."""

_PACKAGE = Path(__file__).parents[1]
SHIPPED = _PACKAGE / "configs" if (_PACKAGE / "configs").is_dir() else _PACKAGE.parent / "configs"
"""The folder of the shipped configs: inside the package if it is installed, beside it in a checkout."""


def configs() -> list[str]:
    """Returns the names of the shipped blocks, sorted."""
    return names_in(SHIPPED / "block")


def names_in(folder: Path) -> list[str]:
    """Returns the names of the configs in a folder and below it, sorted."""
    walk = islice(os.walk(folder, followlinks=True), MAX_FOLDERS)
    paths = (Path(parent, file) for parent, _, files in walk for file in files if file.endswith(".yaml"))
    names = (path.relative_to(folder).with_suffix("").as_posix() for path in paths if path.is_file())
    return sorted(filter(NAME.fullmatch, names))


def is_file_name(text: str) -> bool:
    """True for the path of a YAML file, by its suffix."""
    return text.endswith((".yaml", ".yml"))


class ConfigRepository:
    """Finds configs by name: in the folder of the file that uses the name, then in `search`, then in the shipped configs.

    Files are read once and cached. Each build therefore creates a new repository.
    """

    def __init__(self, search: Sequence[str | Path] = ()) -> None:
        self.search = _check_folders(search)
        self._configs: dict[Path, Config] = {}

    def folders(self, group: str, beside: Path | None = None) -> list[Path]:
        """Returns the folders of a group (block, squeeze, excite, gate, host), in search order."""
        first = [beside] if beside and group == "block" else []
        searched = [path for folder in self.search for path in (folder / group, folder)]
        return list(dict.fromkeys([*first, *searched, SHIPPED / group]))

    def find(self, name: str, group: str = "block", beside: Path | None = None) -> Path | None:
        """Returns the file of a name, or None; `beside` is the folder of the file that uses the name."""
        is_name = len(name) <= MAX_NAME_LENGTH and NAME.fullmatch(name)
        files = [folder / f"{name}.yaml" for folder in self.folders(group, beside)] if is_name else []
        return next((file for file in files if file.is_file()), None)

    def list_names(self, group: str = "block", beside: Path | None = None) -> list[str]:
        """Returns all names of a group, sorted."""
        return sorted({name for folder in self.folders(group, beside) for name in names_in(folder)})

    def get(self, name: str, beside: Path | None) -> Config | None:
        """Returns the block config of a name, merged and without nulls, or None if no file has this name."""
        path = self.find(name, beside=beside)
        return None if path is None else remove_nulls(self.read(path))

    def read(self, path: Path, descendants: tuple[Path, ...] = ()) -> Config:
        """Returns the config of a file, merged with those it inherits; `descendants` are the files that inherit it.

        Raises ConfigError for a file that cannot be read, or that inherits from itself.
        """
        if path not in self._configs:
            if path in descendants:
                chain = " -> ".join(file.name for file in (*descendants[descendants.index(path) :], path))
                raise ConfigError([(f"{descendants[-1].name} defaults", f"{path.stem!r} inherits from itself: {chain}")])
            if len(descendants) > MAX_ANCESTORS:
                text = f"inherits through more than {MAX_ANCESTORS} files"
                raise ConfigError([(f"{descendants[-1].name} defaults", text)])
            self._configs[path] = self.inherit(_parse(read_text(path, path.name), path), (*descendants, path))
        return self._configs[path]

    def inherit(self, config: Config, descendants: tuple[Path, ...] = ()) -> Config:
        """Returns the config merged with those in its `defaults`; later ones override earlier ones, `_self_` is the config.

        Raises ConfigError if `defaults` is invalid, or if a null removes an element that is not inherited.
        """
        root = SourceLocation(config.label)
        if not isinstance(config.data, dict) or "defaults" not in config.data:
            if config.folder:  # a mapping from Python is not checked: it may be the result of an earlier merge
                check_removals({}, config.data, root)
            return config
        location = f"{config.label} defaults".lstrip()
        content = {key: value for key, value in config.data.items() if key != "defaults"}
        merged: Any = {}
        for name in check_defaults(config.data["defaults"], location):
            if name == "_self_":
                check_removals(merged, content, root)
            base = content if name == "_self_" else self._read_base(name, config.folder, location, descendants)
            merged = merge(merged, base)
        return replace(config, data=merged)

    def _read_base(self, name: str, folder: Path | None, location: str, descendants: tuple[Path, ...]) -> dict[str, Any]:
        """Returns the data of a config named in `defaults`; raises ConfigError if it does not exist or is not a mapping."""
        path = self.find(name, beside=folder)
        if path is None:
            hint = did_you_mean(name, self.list_names(beside=folder))
            raise ConfigError([(location, f"no config named {short_repr(name)}{hint}")])
        base = self.read(path, descendants).data
        if not isinstance(base, dict):
            raise ConfigError([(location, f"{name} is not a mapping; only a mapping can be inherited")])
        return base


@lru_cache(maxsize=64)
def _parse(text: str, path: Path) -> Config:
    """Returns the config of a file. The text is part of the cache key, so an edited file is parsed again."""
    data = parse_yaml(text, path.name)
    if data is None:
        raise ConfigError([(path.name, "the file is empty")])
    return Config(data, path.name, path.parent)


def load_config(source: Any, repository: ConfigRepository) -> Config:
    """Returns the config of a name, a path or plain data, merged with those it inherits; no overrides are applied.

    Raises ConfigError if it cannot be found or read.
    """
    if isinstance(source, Config):
        return source
    if isinstance(source, Path):
        if "\0" in str(source) or not os.path.lexists(source):
            is_name = repository.find(str(source)) is not None
            hint = f"; for the config of this name pass {short_repr(str(source))}, not a Path" if is_name else ""
            raise ConfigError([(_shorten(str(source)), f"no such file{hint}")])
        return repository.read(Path(os.path.realpath(source)))
    if isinstance(source, str):
        return _load_name(source, repository)
    return repository.inherit(Config(to_plain(source, ""), ""))


def _load_name(name: str, repository: ConfigRepository) -> Config:
    """Returns the config of a name, which can also be that of an operator; raises ConfigError for any other name."""
    path = repository.find(name)
    if path is not None and find_operator(name):
        raise ConfigError([(name, f"is an operator and a config ({path.name}) at once; rename the config")])
    if path is not None:
        return repository.read(path)
    if find_operator(name):
        return Config(name, "")
    if not NAME.fullmatch(name):
        hint = f"; pass Path({name!r}) for a file" if is_file_name(name) and "://" not in name else ""
        text = f"is not a config name; allowed: lowercase letters, digits, _ and / for folders{hint}"
        raise ConfigError([(short_repr(name), text)])
    known = [*repository.list_names(), *operators()]
    raise ConfigError([(_shorten(name), f"no config of this name{did_you_mean(name, known)}")])


def _check_folders(search: Any) -> list[Path]:
    """Returns the search folders; raises ConfigError for anything but a list of existing folders."""
    if isinstance(search, str) or not isinstance(search, Sequence):  # a generator could be read once only
        shown = str(search) if isinstance(search, Path) else search
        raise ConfigError([("search", f"{short_repr(shown)}; allowed: a list of folders")])
    for folder in search:
        if not isinstance(folder, str | Path):
            raise ConfigError([("search", f"{short_repr(folder)} is not a folder")])
        if not os.path.isdir(folder):
            raise ConfigError([("search", f"there is no folder {_shorten(str(folder))}")])
    return [Path(folder) for folder in search]


def _shorten(text: str) -> str:
    return text if text.isprintable() and len(text) <= MAX_NAME_LENGTH else short_repr(text)
