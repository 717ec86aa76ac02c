"""The type of a rewrite rule, and the record of one rewrite."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .. import ir as ops
from ..graph import Node

UserCounts = Mapping[int, int]
"""The number of users of each node, by the id of the node."""
Rule = Callable[[Node, UserCounts], Node | None]
Rules = Mapping[type[ops.Op], tuple[Rule, ...]]
"""The rules to try on a node, by the type of its operation."""


@dataclass(frozen=True)
class Rewrite:
    """One applied rule: the path of the rewritten module, the name of the rule, its equation."""

    place: str
    rule: str
    equation: str


def has_one_user(node: Node, users: UserCounts) -> bool:
    """True if exactly one node uses `node`. A node that a rule has just created is not in `users`; it counts as used once."""
    return users.get(id(node), 1) == 1
