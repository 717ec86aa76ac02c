"""Names and what they stand for: C, H, W of the map a config is built for, and those of `let`."""

from collections.abc import Mapping
from typing import Any

from ..errors import InvalidValue
from ..shapes import Sizes
from .expressions import UnresolvedName, Value, check_names, evaluate, free_variables

MAX_CHAIN = 100
"""Names of `let` that rest on one another."""


def size_variables(sizes: Sizes) -> dict[str, Value]:
    """C, and the axes of the grid that are known.

    >>> size_variables(Sizes.of_map(64, {"H": 14}))
    {'C': 64, 'H': 14}
    """
    return {axis: size for axis in sizes.axes[1:] if isinstance(size := sizes[axis], int)}


class LetError(InvalidValue):
    """Names of `let` that cannot be evaluated, with the reasons; `values` has what can be, and None for the rest."""

    def __init__(self, faults: Mapping[str, str], values: dict[str, Value]) -> None:
        super().__init__("; ".join(f"{name}: {text}" for name, text in faults.items()))
        self.faults, self.values = faults, values


def resolve_let(let: Mapping[str, Any], outer: Mapping[str, Value]) -> dict[str, Value]:
    """The values of `let`, which sees its siblings in any order, on top of the outer names.

    Raises LetError for cycles and expressions that are refused.

    >>> resolve_let({"keys": "2*key", "key": "C/8"}, {"C": 64})
    {'C': 64, 'key': 8, 'keys': 16}
    """
    values = {name: value for name, value in outer.items() if name not in let}
    resolver = _Resolver(let, values)
    for name in let:
        resolver.resolve(name, ())
    if resolver.faults:
        raise LetError(resolver.faults, values)
    return values


class _Resolver:
    def __init__(self, let: Mapping[str, Any], values: dict[str, Value]) -> None:
        self.let, self.values = let, values
        self.known = {**values, **let}
        self.faults: dict[str, str] = {}

    def resolve(self, name: str, below: tuple[str, ...]) -> None:
        """Puts the value of a name, or None where it has none, into `values`."""
        if name not in self.values:
            value = self._value(name, below)
            self.values[name] = value

    def _value(self, name: str, below: tuple[str, ...]) -> Value:
        given = self.let[name]
        if name in below:
            self.faults[name] = f"rests on itself: {' -> '.join((*below[below.index(name) :], name))}"
        elif len(below) > MAX_CHAIN:
            self.faults[name] = f"rests on a chain of more than {MAX_CHAIN} names"
        elif not isinstance(given, str):
            return given if isinstance(given, int | float) else None
        else:
            return self._evaluated(name, given, below)
        return None

    def _evaluated(self, name: str, text: str, below: tuple[str, ...]) -> Value:
        try:
            check_names(text, self.known)
            for other in sorted(free_variables(text)):
                if other in self.let:
                    self.resolve(other, (*below, name))
            return evaluate(text, self.values)
        except UnresolvedName:
            pass
        except InvalidValue as refused:
            self.faults[name] = str(refused)
        return None
