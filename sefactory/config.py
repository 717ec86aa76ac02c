"""From a name, a file or a mapping to one resolved config: what it inherits, what the overrides change."""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from .errors import ConfigError, nearest, shown
from .nodes import Config
from .plain import plain, read_yaml
from .registry import find, operators

NAME = re.compile(r"[a-z0-9_]+(/[a-z0-9_]+)*")
REMOVABLE = ("series", "parallel", "own")

_HERE = Path(__file__).parent
SHIPPED = _HERE / "configs" if (_HERE / "configs").is_dir() else _HERE.parent / "configs"
"""The shipped configs: inside the package when installed, beside it in a checkout."""


def configs() -> list[str]:
    """The names of the shipped blocks, sorted."""
    return sorted(_names(SHIPPED / "block"))


class Shelf:
    """Configs by name: beside the file that asks, then in the folders of `search`, then the shipped ones."""

    def __init__(self, search: Iterable[str | Path] = ()) -> None:
        if isinstance(search, str | Path):
            raise ConfigError([("search", f"{shown(str(search))}; it is a list of folders")])
        self.search = [Path(folder) for folder in search]
        self._read: dict[Path, Config] = {}

    def folders(self, group: str, near: Path | None = None) -> list[Path]:
        """Where the files of a group (block, squeeze, excite, gate) are, in the order of the look-up."""
        beside = [near] if near and group == "block" else []
        return [*beside, *(f for folder in self.search for f in (folder / group, folder)), SHIPPED / group]

    def find(self, name: str, group: str = "block", near: Path | None = None) -> Path | None:
        """The file of a name, or None."""
        if not NAME.fullmatch(name):
            return None
        paths = (folder / f"{name}.yaml" for folder in self.folders(group, near))
        return next((path for path in paths if path.is_file()), None)

    def known(self, group: str = "block", near: Path | None = None) -> list[str]:
        """All names of a group."""
        return sorted({name for folder in self.folders(group, near) for name in _names(folder)})

    def get(self, name: str, near: Config) -> Config | None:
        """The config of a name as the config `near` sees it."""
        path = self.find(name, near=near.folder)
        return None if path is None else self.read(path)

    def names(self, near: Config) -> list[str]:
        """All names that `near` can look up."""
        return self.known(near=near.folder)

    def read(self, path: Path, below: tuple[Path, ...] = ()) -> Config:
        """A file with what it inherits.

        Raises ConfigError for a file that cannot be read or inherits from itself.
        """
        if path not in self._read:
            if path in below:
                chain = " -> ".join(file.name for file in (*below, path))
                raise ConfigError([(f"{path.name} defaults", f"inherits from itself: {chain}")])
            data = read_yaml(path, path.name)
            if data is None:
                raise ConfigError([(path.name, "the file is empty")])
            self._read[path] = self.inherit(Config(data, path.name, path.parent), (*below, path))
        return self._read[path]

    def inherit(self, config: Config, below: tuple[Path, ...] = ()) -> Config:
        """The config merged onto those its `defaults` name, as Hydra does it: mappings merge, everything else is replaced."""
        if not isinstance(config.data, dict) or "defaults" not in config.data:
            return config
        own = {key: value for key, value in config.data.items() if key != "defaults"}
        place = f"{config.label} defaults"
        merged: Any = {}
        for name in _defaults(config.data["defaults"], place):
            if name == "_self_":
                merged = merge(merged, own)
                continue
            path = self.find(name, near=config.folder)
            if path is None:
                hint = nearest(name, self.known(near=config.folder))
                raise ConfigError([(place, f"no config named {shown(name)}{hint}")])
            base = self.read(path, below).data
            if not isinstance(base, dict):
                raise ConfigError([(place, f"{name} is no mapping; only mappings can be changed by another file")])
            merged = merge(merged, base)
        return Config(merged, config.label, config.folder)


def load_config(source: Any, shelf: Shelf) -> Config:
    """The config that a user named, with what it inherits, before overrides.

    Raises ConfigError.
    """
    if isinstance(source, Config):
        return source
    if isinstance(source, Path):
        return shelf.read(source.resolve())
    if isinstance(source, str):
        return _by_name(source, shelf)
    return shelf.inherit(Config(plain(source, ""), ""))


def _by_name(name: str, shelf: Shelf) -> Config:
    path = shelf.find(name)
    if path is not None and find(name):
        raise ConfigError([(name, "is an operator and a config at once; rename the config")])
    if path is not None:
        return shelf.read(path)
    if find(name):
        return Config(name, "")
    if not NAME.fullmatch(name):
        hint = f"; pass Path({name!r}) for a file" if name.endswith((".yaml", ".yml")) else ""
        raise ConfigError([(shown(name), f"is no name of a config: small letters, digits, _ and / for folders{hint}")])
    known = [*shelf.known(), *operators()]
    raise ConfigError([(name, f"no config of this name{nearest(name, known)}")])


def _defaults(defaults: Any, place: str) -> list[str]:
    if not isinstance(defaults, list) or not all(isinstance(name, str) for name in defaults):
        raise ConfigError([(place, f"{shown(defaults)}; it is a list of names of blocks and _self_")])
    if defaults.count("_self_") != 1:
        raise ConfigError([(place, "write _self_ once, where this file's own content comes in; last is usual")])
    return defaults


def merge(base: Any, change: Any) -> Any:
    """Mappings merge key by key, everything else is replaced.

    >>> merge({"let": {"r": 16, "k": 7}, "gate": ["sigmoid"]}, {"let": {"r": 8}, "gate": []})
    {'let': {'r': 8, 'k': 7}, 'gate': []}
    """
    if not (isinstance(base, dict) and isinstance(change, dict)):
        return change
    return base | {key: merge(base[key], value) if key in base else value for key, value in change.items()}


def without_removed(data: Any) -> Any:
    """The config without the elements of series, parallel and own that were set to null."""
    if isinstance(data, list):
        return [without_removed(item) for item in data]
    if not isinstance(data, dict):
        return data
    kept = {key: without_removed(value) for key, value in data.items()}
    for key in REMOVABLE:
        if isinstance(kept.get(key), dict):
            kept[key] = {name: item for name, item in kept[key].items() if item is not None}
    return kept


def resolve(source: Any, overrides: Sequence[str], shelf: Shelf) -> Config:
    """The config with what it inherits and with the overrides applied; raises ConfigError."""
    config = load_config(source, shelf)
    if overrides:
        from .overrides import apply_overrides  # hydra's parser is imported where it is used

        config = apply_overrides(config, overrides, shelf)
    return Config(without_removed(config.data), config.label, config.folder)


@lru_cache(maxsize=256)
def _listing(folder: Path, changed: float) -> tuple[str, ...]:
    files = sorted(folder.rglob("*.yaml"))
    return tuple(str(file.relative_to(folder).with_suffix("")) for file in files)


def _names(folder: Path) -> tuple[str, ...]:
    return _listing(folder, folder.stat().st_mtime) if folder.is_dir() else ()
