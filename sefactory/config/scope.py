"""The variables of expressions: sizes of the input, and the names that `let` defines."""

from collections.abc import Mapping
from typing import Any

from ..errors import InvalidValue
from ..shapes import Sizes
from .expressions import UnresolvedName, Value, check_names, evaluate, free_variables

MAX_CHAIN = 100
"""The largest length of a chain of names of `let`, each of which refers to the next."""


def size_variables(sizes: Sizes) -> dict[str, Value]:
    """Returns the sizes of C and of the spatial axes, where they are known.

    >>> size_variables(Sizes.of_map(64, {"H": 14}))
    {'C': 64, 'H': 14}
    """
    return {axis: size for axis in sizes.axes[1:] if isinstance(size := sizes[axis], int)}


class LetError(InvalidValue):
    """Raised if names of `let` cannot be evaluated. `faults` has the reasons; `values` has all names, with None for these."""

    def __init__(self, faults: Mapping[str, str], values: dict[str, Value]) -> None:
        super().__init__("; ".join(f"{name}: {text}" for name, text in faults.items()))
        self.faults, self.values = faults, values


def resolve_let(let: Mapping[str, Any], outer: Mapping[str, Value]) -> dict[str, Value]:
    """Returns the values of the outer names and of `let`. Names of `let` can refer to one another in any order.

    Raises LetError for cycles and for expressions that are not allowed.

    >>> resolve_let({"keys": "2*key", "key": "C/8"}, {"C": 64})
    {'C': 64, 'key': 8, 'keys': 16}
    """
    resolver = _Resolver(let, outer)
    for name in let:
        resolver.resolve(name, ())
    if resolver.faults:
        raise LetError(resolver.faults, resolver.values)
    return resolver.values


class _Resolver:
    """Evaluates the names of one `let`. A name is evaluated after the names that it refers to."""

    def __init__(self, let: Mapping[str, Any], outer: Mapping[str, Value]) -> None:
        self.let = let
        self.values = {name: value for name, value in outer.items() if name not in let}
        self.known = {**self.values, **let}
        self.faults: dict[str, str] = {}

    def resolve(self, name: str, users: tuple[str, ...]) -> None:
        """Stores the value of a name in `values`, None if it has none. `users` is the chain of names that refer to it."""
        if name in self.values:
            return
        given = self.let[name]
        value: Value = None
        if name in users:
            self.faults[name] = f"refers to itself: {' -> '.join((*users[users.index(name) :], name))}"
        elif len(users) > MAX_CHAIN:
            self.faults[name] = f"refers to a chain of more than {MAX_CHAIN} names"
        elif isinstance(given, str):
            value = self._evaluate(name, given, users)
        elif isinstance(given, int | float):
            value = given
        self.values[name] = value

    def _evaluate(self, name: str, text: str, users: tuple[str, ...]) -> Value:
        """Returns the value of an expression, None if it is invalid or not known yet. Resolves the names in it first."""
        try:
            check_names(text, self.known)
            for other in sorted(free_variables(text) & self.let.keys()):
                self.resolve(other, (*users, name))
            return evaluate(text, self.values)
        except UnresolvedName:
            pass
        except InvalidValue as error:
            self.faults[name] = str(error)
        return None
