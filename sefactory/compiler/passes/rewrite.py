"""The type of a rewrite rule, and the record of one rewrite."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .. import ir as ops
from ..graph import Node

UserCounts = Mapping[int, int]
Rule = Callable[[Node, UserCounts], Node | None]
Rules = Mapping[type[ops.Op], tuple[Rule, ...]]
"""The rules of each kind of operation."""


@dataclass(frozen=True)
class Rewrite:
    """One application of a rule: the path of the rewritten module, the name of the rule, its equation."""

    place: str
    rule: str
    equation: str


def has_one_user(node: Node, users: UserCounts) -> bool:
    """True if exactly one node uses this one. Nodes that a rule has just created count as used once."""
    return users.get(id(node), 1) == 1
