"""Names and what they stand for: C, H, W of the map a config is built for, and those of `let`."""

from collections.abc import Mapping
from typing import Any

from .axes import Sizes
from .errors import Refused
from .expression import Unknown, Value, evaluate, references


def of_map(sizes: Sizes) -> dict[str, Value]:
    """C, and H and W where the grid is fixed.

    >>> of_map(Sizes.of_map(64, height=14))
    {'C': 64, 'H': 14}
    """
    return {axis: size for axis in "CHW" if isinstance(size := sizes[axis], int)}


class LetFault(Refused):
    """A name of `let` that cannot be evaluated."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(text)
        self.name = name


def resolve_let(let: Mapping[str, Any], outer: Mapping[str, Value]) -> dict[str, Value]:
    """The values of `let`, which sees its siblings in any order, on top of the outer names.

    Raises LetFault for a cycle or an expression that is refused.

    >>> resolve_let({"keys": "2*key", "key": "C/8"}, {"C": 64})
    {'C': 64, 'key': 8, 'keys': 16}
    """
    values = {name: value for name, value in outer.items() if name not in let}
    for name in let:
        _resolve(name, let, values, ())
    return values


def _resolve(name: str, let: Mapping[str, Any], values: dict[str, Value], below: tuple[str, ...]) -> None:
    if name in values:
        return
    if name in below:
        raise LetFault(name, f"rests on itself: {' -> '.join((*below[below.index(name) :], name))}")
    given = let[name]
    if not isinstance(given, str):
        values[name] = given
        return
    try:
        for other in references(given):
            if other in let:
                _resolve(other, let, values, (*below, name))
        values[name] = evaluate(given, values)
    except Unknown:
        values[name] = None
    except LetFault:
        raise
    except Refused as refused:
        raise LetFault(name, str(refused)) from None
