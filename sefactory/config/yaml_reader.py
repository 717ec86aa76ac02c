"""Plain containers only: what a config may be made of at all, and reading it from YAML."""

import math
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from ..errors import ConfigError, short_repr

MAX_ENTRIES = 10_000
MAX_DEPTH = 40
MAX_FILE_SIZE = 2**20
MAX_TEXT_LENGTH = 10_000
MAX_KEY_LENGTH = 200
MAX_NUMBER = 2**53
PLAIN = (dict, list, str, int, float, bool, type(None))
MERGE = "tag:yaml.org,2002:merge"


class _Loader(yaml.SafeLoader):
    """YAML without tags and code, bounded while it is read; a key given twice is an error."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.nodes = self.merged = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        self.nodes += 1
        if getattr(event, "tag", None) is not None:
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            raise _refusal(f"the tag {short_repr(tag)} is refused; write plain values", event.start_mark)
        if self.nodes > 2 * MAX_ENTRIES:  # keys are nodes as well
            raise _refusal(f"more than {MAX_ENTRIES:,} entries", event.start_mark)
        if len(getattr(event, "value", "")) > MAX_TEXT_LENGTH:
            raise _refusal(f"a text of more than {MAX_TEXT_LENGTH:,} characters", event.start_mark)
        return super().compose_node(parent, index)

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != MERGE:
                if key.value in seen:
                    raise _refusal(f"the key {short_repr(key.value)} stands twice", key.start_mark)
                seen.add(key.value)
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except ValueError:
            raise _refusal(f"{short_repr(node.value)} looks like a number or a date, and is none", node.start_mark) from None

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """`<<: *anchor`, with a bound on what it can grow to."""
        for key, value in node.value:
            for part in value.value if key.tag == MERGE and isinstance(value, yaml.SequenceNode) else [value]:
                if key.tag == MERGE and isinstance(part, yaml.MappingNode):
                    self.flatten_mapping(part)
                    self.merged += len(part.value)
        if self.merged > MAX_ENTRIES:
            raise _refusal(f"more than {MAX_ENTRIES:,} entries", node.start_mark)
        super().flatten_mapping(node)


def _refusal(text: str, mark: yaml.Mark) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=text, problem_mark=mark)


def read_yaml(path: Path, label: str) -> Any:
    """The content of a YAML file as plain containers.

    Raises ConfigError for a file that cannot be read, is too large, or is no plain YAML.
    """
    return parse_yaml(read_text(path, label), label)


def read_text(path: Path, label: str) -> str:
    """The text of a file; raises ConfigError for one that cannot be read, is too large, or is no UTF-8."""
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            raise ConfigError([(label, "is a folder, not a YAML file")])
        if not stat.S_ISREG(found.st_mode):
            raise ConfigError([(label, "is no regular file")])
        with path.open("rb") as file:
            content = file.read(min(found.st_size, MAX_FILE_SIZE) + 1)
            if len(content) > found.st_size:  # it has grown, or says nothing of its size
                content += file.read(MAX_FILE_SIZE)
        if len(content) > MAX_FILE_SIZE:
            raise ConfigError([(label, f"the file is larger than {MAX_FILE_SIZE // 2**20} MiB")])
        return content.decode("utf-8-sig")
    except FileNotFoundError:
        raise ConfigError([(label, "no such file")]) from None
    except OSError as error:
        raise ConfigError([(label, f"cannot be read: {error.strerror}")]) from None
    except UnicodeDecodeError:
        raise ConfigError([(label, "is no UTF-8 text")]) from None


def copy_plain(data: Any) -> Any:
    """Plain containers of one's own.

    >>> copy_plain({"gate": ["sigmoid"]})
    {'gate': ['sigmoid']}
    """
    if isinstance(data, dict):
        return {key: copy_plain(value) if isinstance(value, dict | list) else value for key, value in data.items()}
    return [copy_plain(item) if isinstance(item, dict | list) else item for item in data] if isinstance(data, list) else data


def parse_yaml(text: str, label: str) -> Any:
    """YAML text as plain containers; raises ConfigError."""
    try:
        data = yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        raise ConfigError([(label, f"malformed YAML: {_where(error)}{_problem(error)}")]) from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError([(label, f"malformed YAML: {str(error).splitlines()[0]}")]) from None
    except RecursionError:
        raise ConfigError([(label, f"nested deeper than {MAX_DEPTH}")]) from None
    return to_plain(data, label)


def _where(error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    return f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""


def _problem(error: yaml.MarkedYAMLError) -> str:
    """What is wrong; the parser's problem alone may begin with `but found`."""
    text = error.problem or error.context or "no YAML"
    return f"{error.context}, {text}" if error.context and text.startswith("but ") else text


def to_plain(data: Any, label: str) -> Any:
    """A copy made of dict, list, str, int, float, bool and None alone.

    Raises ConfigError, with the places, for anything else: other types, keys that are no text, `${`, Hydra's `_target_`
    and its like, numbers that are not finite, and for more than 10,000 entries or 40 levels.
    """
    walk = _Walk(label)
    copy = walk.copy(data, ())
    if walk.faults:
        raise ConfigError(walk.faults)
    return copy


def _containers(data: Any) -> Any:
    """OmegaConf's containers as plain ones; it is not imported for anyone who has not done so."""
    if type(data) in PLAIN:
        return data
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
        if self.count > MAX_ENTRIES or len(path) > MAX_DEPTH:
            limit = f"more than {MAX_ENTRIES:,} entries" if self.count > MAX_ENTRIES else f"nested deeper than {MAX_DEPTH}"
            raise ConfigError([(self.label or "config", limit)])
        data = _containers(data)
        if isinstance(data, dict | Mapping):
            return {str(key): self.copy(data[key], (*path, str(key))) for key in data if self._key(key, path)}
        if isinstance(data, list | tuple):
            return [self.copy(item, (*path, str(i))) for i, item in enumerate(data)]
        if wrong := _wrong(data):
            self.fault(path, wrong)
        return data

    def _key(self, key: Any, path: tuple[str, ...]) -> bool:
        if not isinstance(key, str):
            self.fault(path, f"the key {short_repr(key)} is no text; quote it")
        elif len(key) > MAX_KEY_LENGTH:
            self.fault(path, f"the key {short_repr(key)} has more than {MAX_KEY_LENGTH} characters")
        elif key.startswith("_") and key.endswith("_") and len(key) > 2:
            self.fault((*path, key), "is refused: a config cannot run code; a node is the name of an operator")
        else:
            return True
        return False


def _wrong(value: Any) -> str:
    """What is wrong with a value that is no container; nothing is the empty text."""
    match value:
        case None | bool():
            return ""
        case str():
            if "${" in value:
                return "'${' is refused; use a name of let"
            return f"a text of more than {MAX_TEXT_LENGTH:,} characters" if len(value) > MAX_TEXT_LENGTH else ""
        case int():
            return "a whole number beyond 2^53" if abs(value) > MAX_NUMBER else ""
        case float():
            return "" if math.isfinite(value) else f"{value} is no finite number"
    return f"{type(value).__name__} is no plain value; allowed are text, numbers, true, false, null, lists and mappings"
