"""A config as a tree of nodes: what each place of it is. No sizes yet, no torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from .registry import Operator

MAX_USES = 4


class SourceLocation(NamedTuple):
    """Where a node stands: file and path, and where that file is used.

    >>> str(SourceLocation("pam.yaml", ("excite", "0"), SourceLocation("danet.yaml", ("series", "attend"))))
    'pam.yaml excite.0 (used at danet.yaml series.attend)'
    """

    file: str
    path: tuple[str, ...] = ()
    used_at: "SourceLocation | None" = None

    def __truediv__(self, name: object) -> "SourceLocation":  # tuples: a build makes a hundred of them
        return SourceLocation(self.file, (*self.path, str(name)), self.used_at)

    @property
    def module(self) -> str:
        """The path of the module: a reference owns its path, so the paths of the files are put together."""
        inner, outer = ".".join(self.path), self.used_at.module if self.used_at else ""
        return f"{outer}.{inner}" if inner and outer else inner or outer

    @property
    def depth(self) -> int:
        """Names of the path, those of the files that use it included."""
        return len(self.path) + (self.used_at.depth if self.used_at else 0)

    def __str__(self) -> str:
        here = " ".join(part for part in (self.file, ".".join(self.path)) if part) or "config"
        return f"{here} (used at {', '.join(self._uses())})" if self.used_at else here

    def _uses(self) -> list[str]:
        """The places where this file is used, from the nearest to the root; cut in the middle."""
        uses, used = list[str](), self.used_at
        while used:
            uses.append(str(used._replace(used_at=None)))
            used = used.used_at
        return uses if len(uses) <= MAX_USES else [*uses[: MAX_USES - 1], "...", uses[-1]]


@dataclass(frozen=True)
class Config:
    """A config in plain containers, the label of its file, and the folder in which its references are looked up first.

    Configs share their containers, also with the file as it was read: nobody changes them, and a block is given a copy.
    """

    data: Any
    label: str
    folder: Path | None = None

    @property
    def let(self) -> Mapping[str, Any]:
        """The names it gives to numbers; its parameters when it is used by name."""
        let = self.data.get("let") if isinstance(self.data, dict) else None
        return let if isinstance(let, dict) else {}

    @cached_property
    def has_null(self) -> bool:
        """Whether there is a null anywhere in it."""
        return _holds_null(self.data)


def _holds_null(data: Any) -> bool:
    if not isinstance(data, dict | list):
        return data is None
    items = data.values() if isinstance(data, dict) else data
    return None in items or any([_holds_null(item) for item in items if isinstance(item, dict | list)])


@dataclass(frozen=True)
class Node:
    """A place in the config and the names that `let` gives it."""

    location: SourceLocation
    let: Mapping[str, Any] = field(default_factory=dict, kw_only=True)

    @cached_property
    def path(self) -> str:
        """The path of its module."""
        return self.location.module


@dataclass(frozen=True)
class OpNode(Node):
    """An operator with the arguments a config wrote."""

    operator: Operator
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class SequenceNode(Node):
    """Steps one after the other; `is_named` where they stand under `series`."""

    steps: tuple[tuple[str, Node], ...]
    is_named: bool = False


@dataclass(frozen=True)
class ParallelNode(Node):
    """Branches side by side, an optional trunk, steps of their own, and how they are fused."""

    branches: tuple[tuple[str, Node], ...]
    shared: SequenceNode | None
    branch_heads: tuple[tuple[str, Node], ...]
    fuse: str


@dataclass(frozen=True)
class UnitNode(Node):
    """The unit: three slots and how the gate is applied."""

    squeeze: SequenceNode
    excite: SequenceNode
    gate: SequenceNode
    apply: str


@dataclass(frozen=True)
class ReferenceNode(Node):
    """Another config by name, with numbers for some names of its `let`."""

    body: Node
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class ErrorNode(Node):
    """A node at fault; the fault is already noted."""
