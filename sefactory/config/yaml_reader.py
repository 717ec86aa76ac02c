"""Reads YAML and Python containers as plain data: mappings, lists, text, numbers, true, false and null."""

import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from ..errors import ConfigError, first_line, short_repr
from .expressions import MAX_NUMBER
from .syntax_tree import SourceLocation

MAX_ENTRIES = 10_000
MAX_DEPTH = 40
MAX_FILE_SIZE = 2**20
MAX_TEXT_LENGTH = 10_000
MAX_KEY_LENGTH = 200
MERGE_TAG = "tag:yaml.org,2002:merge"


class _Loader(yaml.SafeLoader):
    """A YAML loader without tags, which limits the size while it reads and rejects a key that appears twice."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.node_count = self.merged_count = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Composes a node as PyYAML does, within the limits; tags are not allowed."""
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        self.node_count += 1
        if getattr(event, "tag", None) is not None:
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            raise _yaml_error(f"the tag {short_repr(tag)} is not allowed; write plain values", event.start_mark)
        if self.node_count > 2 * MAX_ENTRIES:  # keys are nodes as well
            raise _yaml_error(f"more than {MAX_ENTRIES:,} entries", event.start_mark)
        if len(getattr(event, "value", "")) > MAX_TEXT_LENGTH:
            raise _yaml_error(f"a text of more than {MAX_TEXT_LENGTH:,} characters", event.start_mark)
        return super().compose_node(parent, index)

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != MERGE_TAG:
                if key.value in seen:
                    raise _yaml_error(f"the key {short_repr(key.value)} appears twice", key.start_mark)
                seen.add(key.value)
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except ValueError:
            text = f"{short_repr(node.value)} looks like a number or a date, but is not valid"
            raise _yaml_error(text, node.start_mark) from None

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Expands `<<: *anchor`, with a limit on the number of entries that it can produce."""
        for key, value in node.value:
            for part in value.value if key.tag == MERGE_TAG and isinstance(value, yaml.SequenceNode) else [value]:
                if key.tag == MERGE_TAG and isinstance(part, yaml.MappingNode):
                    self.flatten_mapping(part)
                    self.merged_count += len(part.value)
        if self.merged_count > MAX_ENTRIES:
            raise _yaml_error(f"more than {MAX_ENTRIES:,} entries", node.start_mark)
        super().flatten_mapping(node)


def _yaml_error(text: str, mark: yaml.Mark) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=text, problem_mark=mark)


def read_text(path: Path, label: str) -> str:
    """Returns the text of a file; raises ConfigError if it cannot be read, is too large, or is not UTF-8."""
    try:
        if path.exists() and not path.is_file():
            raise ConfigError([(label, f"is {'a folder, not a YAML' if path.is_dir() else 'not a regular'} file")])
        with path.open("rb") as file:
            content = file.read(MAX_FILE_SIZE + 1)
        if len(content) > MAX_FILE_SIZE:
            raise ConfigError([(label, f"the file is larger than {MAX_FILE_SIZE // 2**20} MiB")])
        return content.decode("utf-8-sig")
    except OSError as error:
        fault = "no such file" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"
        raise ConfigError([(label, fault)]) from None
    except UnicodeDecodeError:
        raise ConfigError([(label, "is not UTF-8 text")]) from None


def parse_yaml(text: str, label: str) -> Any:
    """Returns YAML text as plain data; raises ConfigError."""
    try:
        data = yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        raise ConfigError([(label, f"malformed YAML: {_problem(error)}")]) from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError([(label, f"malformed YAML: {first_line(error)}")]) from None
    except RecursionError:
        raise ConfigError([(label, f"nested deeper than {MAX_DEPTH}")]) from None
    return to_plain(data, label)


def _problem(error: yaml.MarkedYAMLError) -> str:
    """Returns what is wrong and where; the problem of the YAML parser may need its context, as in `but found`."""
    mark = error.problem_mark or error.context_mark
    position = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    text = error.problem or error.context or "no YAML"
    return position + (f"{error.context}, {text}" if error.context and text.startswith("but ") else text)


def copy_plain(data: Any) -> Any:
    """Returns a copy of plain data: of its mappings and lists. Takes a third of the time of copy.deepcopy."""
    if isinstance(data, dict):
        return {key: copy_plain(value) for key, value in data.items()}
    return [copy_plain(value) for value in data] if isinstance(data, list) else data


def to_plain(data: Any, label: str) -> Any:
    """Returns a copy of the data in dict, list, str, int, float, bool and None.

    Raises ConfigError, with the paths, for other types, keys that are not text, `${`, Hydra's `_target_` and the like,
    numbers that are not finite, more than 10,000 entries, and more than 40 levels.
    """
    reader = _PlainReader()
    copy = reader.copy(data, SourceLocation(label))
    if reader.faults:
        raise ConfigError(reader.faults)
    return copy


class _PlainReader:
    """Copies data and records what is not plain in `faults`."""

    def __init__(self) -> None:
        self.count = 0
        self.faults: list[tuple[str, str]] = []

    def copy(self, data: Any, location: SourceLocation) -> Any:
        """Returns a plain copy of the data at a location; raises ConfigError for data that is too large or too deep."""
        self.count += 1
        if self.count > MAX_ENTRIES or location.depth > MAX_DEPTH:
            limit = f"more than {MAX_ENTRIES:,} entries" if self.count > MAX_ENTRIES else f"nested deeper than {MAX_DEPTH}"
            raise ConfigError([(location.file or "config", limit)])
        data = _from_omegaconf(data)
        if isinstance(data, Mapping):
            return {str(key): self.copy(data[key], location / key) for key in data if self._check_key(key, location)}
        if isinstance(data, list | tuple):
            return [self.copy(item, location / i) for i, item in enumerate(data)]
        if fault := _scalar_fault(data):
            self._fault(location, fault)
        return data

    def _fault(self, location: SourceLocation, text: str) -> None:
        self.faults.append((str(location), text))

    def _check_key(self, key: Any, location: SourceLocation) -> bool:
        """True if a key is allowed; otherwise records why it is not."""
        if not isinstance(key, str):
            self._fault(location, f"the key {short_repr(key)} is not text; quote it")
        elif len(key) > MAX_KEY_LENGTH:
            self._fault(location, f"the key {short_repr(key)} has more than {MAX_KEY_LENGTH} characters")
        elif key.startswith("_") and key.endswith("_") and len(key) > len("__"):
            self._fault(location / key, "is not allowed: a config cannot run code; a node is the name of an operator")
        else:
            return True
        return False


def _from_omegaconf(data: Any) -> Any:
    """Returns an OmegaConf container as plain data, without an import of OmegaConf: its containers exist only with it."""
    omegaconf = sys.modules.get("omegaconf")
    if omegaconf and omegaconf.OmegaConf.is_config(data):
        return omegaconf.OmegaConf.to_container(data, resolve=False)
    return data


def _scalar_fault(value: Any) -> str:
    """Returns why a value that is not a container is not allowed, or an empty text."""
    match value:
        case None | bool():
            return ""
        case str():
            if "${" in value:
                return "'${' is not allowed; use a name of let"
            return f"a text of more than {MAX_TEXT_LENGTH:,} characters" if len(value) > MAX_TEXT_LENGTH else ""
        case int():
            return "an integer larger than 2^53" if abs(value) > MAX_NUMBER else ""
        case float():
            return "" if math.isfinite(value) else f"{value} is not a finite number"
    return f"a value of type {type(value).__name__}; allowed: text, numbers, true, false, null, lists and mappings"
