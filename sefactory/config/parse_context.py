"""The context of the parser at one location of a config: the names in scope, and which values are nodes."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..errors import did_you_mean, short_repr
from .expressions import LetNode, Value
from .names import describe_let, is_identifier
from .registry import RESERVED_NAMES, find_operator
from .repository import ConfigRepository
from .syntax_tree import Config, SourceLocation


@dataclass(frozen=True)
class ParseContext:
    """The location in a config, the names in scope, the files from the root config to this one, and the repository."""

    location: SourceLocation
    names: Mapping[str, Value]
    files: tuple[Config, ...]
    repository: ConfigRepository
    let_nodes: Mapping[str, Any] = field(default_factory=dict)
    """The entries of `let` that are nodes, as unparsed data."""

    @property
    def folder(self) -> Path | None:
        """The folder of this file; it is searched first for the configs that the file refers to."""
        return self.files[-1].folder

    def __truediv__(self, name: object) -> "ParseContext":
        """Returns the context of the element `name` below this one."""
        return replace(self, location=self.location / name)

    def is_node(self, value: Any) -> bool:
        """True if a value in this file is a node: a list, a mapping, or the name of an operator or of a config."""
        if not isinstance(value, str):
            return isinstance(value, list | dict)
        return find_operator(value) is not None or self.repository.find(value, beside=self.folder) is not None

    def split_let(self, let: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Returns `let` as two mappings: numbers and expressions, and nodes. Names that are not allowed are left out."""
        valid = {name: value for name, value in let.items() if name not in RESERVED_NAMES and is_identifier(name)}
        nodes = {name: value for name, value in valid.items() if self.is_node(value)}
        return {name: value for name, value in valid.items() if name not in nodes}, nodes

    def define(self, values: Mapping[str, Any], nodes: Mapping[str, Any]) -> "ParseContext":
        """Returns the context with the names of a `let` added: a number as None (not known yet), a node as LetNode.NODE."""
        names: dict[str, Value] = {**self.names, **dict.fromkeys(values), **dict.fromkeys(nodes, LetNode.NODE)}
        visible = {name: node for name, node in self.let_nodes.items() if name not in values}
        return replace(self, names=names, let_nodes={**visible, **nodes})

    def hide_node(self, name: str) -> "ParseContext":
        """Returns the context for parsing a node of `let`, in which this node is hidden: it cannot use itself."""
        return replace(self, let_nodes={other: node for other, node in self.let_nodes.items() if other != name})

    def enter_config(self, config: Config, sizes: Mapping[str, Value]) -> "ParseContext":
        """Returns the context at the root of a config that is used here. The names of this context are not visible there."""
        location = SourceLocation(config.label, used_at=self.location)
        return ParseContext(location, sizes, (*self.files, config), self.repository)

    def parameter_fault(self, key: str, value: Any, user: "ParseContext") -> str:
        """Returns why this config cannot take a parameter, or an empty text if it can.

        The parameter gives `value` to the name `key` of this config's `let`. `user` is the context that passes it.
        """
        let = self.files[-1].let
        if key not in let:
            return f" has no parameter {key!r}; {describe_let(let)}{did_you_mean(key, let)}"
        takes_node = self.is_node(let[key])
        if value is None or user.is_node(value) != takes_node:
            return f": {key} is {short_repr(value)}; allowed: {'a node' if takes_node else 'a number or an expression'}"
        return ""
