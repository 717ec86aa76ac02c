"""What a rule is, and what it leaves behind."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .. import ir as ops
from ..graph import Node

Uses = Mapping[int, int]
Rule = Callable[[Node, Uses], Node | None]
Rules = Mapping[type[ops.Op], tuple[Rule, ...]]
"""By the operation that a rule speaks of."""


@dataclass(frozen=True)
class Rewrite:
    """One application of a rule: where, by which rule, and its equation."""

    place: str
    rule: str
    equation: str


def alone(value: Node, used: Uses) -> bool:
    """Whether nobody else rests on a value; those that a rule has just made are new, and used once."""
    return used.get(id(value), 1) == 1
