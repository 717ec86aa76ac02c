"""Where the parser is in a config, and which names it can use there."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .expressions import Value
from .syntax_tree import Config, SourceLocation


@dataclass(frozen=True)
class ParseContext:
    """A location, the names in scope, and the files from the root to here."""

    location: SourceLocation
    names: Mapping[str, Value]
    files: tuple[Config, ...]
    let_nodes: Mapping[str, Any] = field(default_factory=dict)
    """The data of the names of `let` that are nodes."""

    @property
    def folder(self) -> Path | None:
        """The folder of this file, in which its references are found first."""
        return self.files[-1].folder

    def __truediv__(self, name: object) -> "ParseContext":
        """Returns the context one name deeper in the same file."""
        return replace(self, location=self.location / name)

    def enter_config(self, config: Config, sizes: Mapping[str, Value]) -> "ParseContext":
        """Returns the context at the root of a config that is used here. It sees no names of this one."""
        return ParseContext(SourceLocation(config.label, used_at=self.location), sizes, (*self.files, config))

    def define(self, values: Mapping[str, Any], nodes: Mapping[str, Any]) -> "ParseContext":
        """Returns the context with the names that a `let` defines: values that are not known yet, and nodes."""
        names: dict[str, Value] = {**self.names, **dict.fromkeys(values), **dict.fromkeys(nodes, ...)}
        visible = {name: node for name, node in self.let_nodes.items() if name not in values}
        return replace(self, names=names, let_nodes={**visible, **nodes})

    def hide_node(self, name: str) -> "ParseContext":
        """Returns the context inside a node of `let`, which cannot use itself."""
        return replace(self, let_nodes={other: node for other, node in self.let_nodes.items() if other != name})
