"""Tells which names of a `let` are nodes and which are numbers, and what is wrong with them."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..errors import did_you_mean, join_words, short_repr
from .names import is_identifier, let_name_fault
from .registry import RESERVED_NAMES, find_operator
from .repository import ConfigRepository
from .syntax_tree import Config


class LetNames:
    """Looks up whether a text in `let` is the name of a config. `folder` is the folder of the file with the text."""

    def __init__(self, repository: ConfigRepository) -> None:
        self.repository = repository

    def is_node(self, value: Any, folder: Path | None) -> bool:
        """True if a value is a node: a list, a mapping, or the name of an operator or of a config."""
        if not isinstance(value, str):
            return isinstance(value, list | dict)
        return find_operator(value) is not None or self.repository.find(value, beside=folder) is not None

    def split(self, let: Mapping[str, Any], folder: Path | None) -> tuple[dict[str, Any], dict[str, Any]]:
        """Returns the names of numbers and expressions, and those of nodes, without names that are not allowed."""
        valid = {name: value for name, value in let.items() if name not in RESERVED_NAMES and is_identifier(name)}
        nodes = {name: value for name, value in valid.items() if self.is_node(value, folder)}
        return {name: value for name, value in valid.items() if name not in nodes}, nodes

    def parameter_fault(self, config: Config, key: str, value: Any, folder: Path | None) -> str:
        """Returns why a config cannot take a value for a name of its `let`, or an empty text."""
        if key not in config.let:
            return f" has no parameter {key!r}; {describe_let(config)}{did_you_mean(key, config.let)}"
        takes_node = self.is_node(config.let[key], config.folder)
        if value is None or self.is_node(value, folder) != takes_node:
            return f": {key} is {short_repr(value)}; allowed: {'a node' if takes_node else 'a number or an expression'}"
        return ""


def describe_let(config: Config) -> str:
    """Returns the names that a config takes as parameters, for a message."""
    return f"its let has {join_words(config.let)}" if config.let else "it has no let"


def let_faults(let: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yields (name, message) for each name that `let` cannot define, and for each null."""
    for name, value in let.items():
        if fault := let_name_fault(name):
            yield name, f"the name {name!r} {fault}; choose another"
        elif value is None:
            yield name, "null; let holds numbers, true or false, expressions, and nodes"
