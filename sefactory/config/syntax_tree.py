"""The syntax tree of a config. It has no sizes yet."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from .registry import Operator

MAX_USES = 4


class SourceLocation(NamedTuple):
    """The location of a node: a file, a path in it, and the location where that file is used.

    >>> str(SourceLocation("pam.yaml", ("excite", "0"), SourceLocation("danet.yaml", ("series", "attend"))))
    'pam.yaml excite.0 (used at danet.yaml series.attend)'
    """

    file: str
    path: tuple[str, ...] = ()
    used_at: "SourceLocation | None" = None

    def __truediv__(self, name: object) -> "SourceLocation":
        return self._replace(path=(*self.path, str(name)))

    @property
    def module_path(self) -> str:
        """The path of the module: the path in this file, after the path of the node that uses the file."""
        inner, outer = ".".join(self.path), self.used_at.module_path if self.used_at else ""
        return f"{outer}.{inner}" if inner and outer else inner or outer

    @property
    def depth(self) -> int:
        """The number of names in the path, with those of the files that use this one."""
        return len(self.path) + (self.used_at.depth if self.used_at else 0)

    def __str__(self) -> str:
        here = " ".join(part for part in (self.file, ".".join(self.path)) if part) or "config"
        return f"{here} (used at {', '.join(self._list_uses())})" if self.used_at else here

    def _list_uses(self) -> list[str]:
        """Returns where this file is used, from the innermost location to the root; long lists are cut in the middle."""
        uses, used_at = list[str](), self.used_at
        while used_at:
            uses.append(str(used_at._replace(used_at=None)))
            used_at = used_at.used_at
        return uses if len(uses) <= MAX_USES else [*uses[: MAX_USES - 1], "...", uses[-1]]


@dataclass(frozen=True)
class Config:
    """A config in plain containers, with the label of its file and the folder in which its references are found first.

    Configs share containers with one another. They are never changed; a block holds a copy.
    """

    data: Any
    label: str
    folder: Path | None = None

    @property
    def let(self) -> Mapping[str, Any]:
        """The names that the config defines. They are its parameters when another config uses it by name."""
        let = self.data.get("let") if isinstance(self.data, dict) else None
        return let if isinstance(let, dict) else {}


@dataclass(frozen=True)
class Node:
    """A node, with the names that its `let` defines."""

    location: SourceLocation
    let: Mapping[str, Any] = field(default_factory=dict, kw_only=True)

    @property
    def path(self) -> str:
        """The path of its module."""
        return self.location.module_path


@dataclass(frozen=True)
class OpNode(Node):
    """An operator, with its arguments as the config writes them."""

    operator: Operator
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class SequenceNode(Node):
    """Steps that run one after the other; `is_named` if the config writes them under `series`."""

    steps: tuple[tuple[str, Node], ...]
    is_named: bool = False


@dataclass(frozen=True)
class ParallelNode(Node):
    """Branches, the trunk they share, a head for some of them, and how their results are fused."""

    branches: tuple[tuple[str, Node], ...]
    shared: SequenceNode | None
    branch_heads: tuple[tuple[str, Node], ...]
    fuse: str


@dataclass(frozen=True)
class UnitNode(Node):
    """A unit: three slots, and how the gate is applied to the input."""

    squeeze: SequenceNode
    excite: SequenceNode
    gate: SequenceNode
    apply: str


@dataclass(frozen=True)
class ReferenceNode(Node):
    """Another config that is used by name, with values for some names of its `let`."""

    body: Node
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class ErrorNode(Node):
    """A node with a fault that the parser has recorded."""
