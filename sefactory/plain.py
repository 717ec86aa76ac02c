"""Plain containers only: what a config may be made of at all, and reading it from YAML."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from .errors import ConfigError

MOST_ENTRIES = 10_000
DEEPEST = 40
LARGEST_FILE = 2**20
LONGEST_TEXT = 10_000


class _Loader(yaml.SafeLoader):
    """YAML without code; a key given twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.tag != "tag:yaml.org,2002:merge" and isinstance(key.value, str):
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(None, None, f"the key {key.value!r} stands twice", key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path, label: str) -> Any:
    """The content of a YAML file as plain containers.

    Raises ConfigError for a file that cannot be read, is too large, or is no plain YAML.
    """
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise ConfigError([(label, f"the file is larger than {LARGEST_FILE // 2**20} MiB")])
        return parse_yaml(path.read_text(encoding="utf-8"), label)
    except FileNotFoundError:
        raise ConfigError([(label, "no such file")]) from None
    except OSError as error:
        raise ConfigError([(label, f"cannot be read: {error.strerror}")]) from None
    except UnicodeDecodeError:
        raise ConfigError([(label, "is no UTF-8 text")]) from None


def parse_yaml(text: str, label: str) -> Any:
    """YAML text as plain containers; raises ConfigError."""
    try:
        data = yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ConfigError([(label, f"malformed YAML: {line}{error.problem}")]) from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError([(label, f"malformed YAML: {str(error).splitlines()[0]}")]) from None
    except RecursionError:
        raise ConfigError([(label, f"nested deeper than {DEEPEST}")]) from None
    return plain(data, label)


def plain(data: Any, label: str) -> Any:
    """A copy made of dict, list, str, int, float, bool and None alone.

    Raises ConfigError, with the places, for anything else: other types, keys that are no text, `${`, Hydra's `_target_`
    and its like, and for more than 10,000 entries or 40 levels.
    """
    walk = _Walk(label)
    copy = walk.copy(_containers(data), ())
    if walk.faults:
        raise ConfigError(walk.faults)
    return copy


def _containers(data: Any) -> Any:
    """OmegaConf's containers as plain ones; it is not imported for anyone who has not done so."""
    omegaconf = sys.modules.get("omegaconf")
    if omegaconf and omegaconf.OmegaConf.is_config(data):
        return omegaconf.OmegaConf.to_container(data, resolve=False)
    return data


class _Walk:
    def __init__(self, label: str) -> None:
        self.label, self.count = label, 0
        self.faults: list[tuple[str, str]] = []

    def fault(self, path: tuple[str, ...], text: str) -> None:
        place = " ".join(part for part in (self.label, ".".join(path)) if part) or "config"
        self.faults.append((place, text))

    def copy(self, data: Any, path: tuple[str, ...]) -> Any:
        self.count += 1
        if self.count > MOST_ENTRIES or len(path) > DEEPEST:
            limit = f"more than {MOST_ENTRIES:,} entries" if self.count > MOST_ENTRIES else f"nested deeper than {DEEPEST}"
            raise ConfigError([(self.label or "config", limit)])
        if isinstance(data, Mapping):
            return {key: self.copy(data[key], (*path, str(key))) for key in data if self._key(key, path)}
        if isinstance(data, list | tuple):
            return [self.copy(item, (*path, str(i))) for i, item in enumerate(data)]
        if data is not None and not isinstance(data, str | int | float):
            self.fault(
                path,
                f"{type(data).__name__} is no plain value; allowed are text, numbers, booleans, lists and mappings",
            )
        elif isinstance(data, str) and ("${" in data or len(data) > LONGEST_TEXT):
            self.fault(path, "'${' is refused; use a name of let" if "${" in data else "the text is too long")
        return data

    def _key(self, key: Any, path: tuple[str, ...]) -> bool:
        if not isinstance(key, str):
            self.fault(path, f"the key {key!r} is no text")
            return False
        if key.startswith("_") and key.endswith("_") and len(key) > 2:
            self.fault((*path, key), "is refused: a config cannot run code; a node is the name of an operator")
            return False
        return True
