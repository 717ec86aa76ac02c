"""The other values that a parameter could have, from its schema."""

from collections.abc import Iterator
from itertools import permutations
from typing import Any

from sefactory.config.registry import Operator
from sefactory.config.schema import Schema

AXES = ("over", "along", "tokens", "mix", "each")
KINDS = {
    **dict.fromkeys(AXES, "axis"),
    **dict.fromkeys(("scale", "shift"), "scale"),
    **dict.fromkeys(("kernel", "kernels", "dilation", "stride", "extent", "padding"), "window"),
    **dict.fromkeys(("groups", "parts"), "groups"),
    **dict.fromkeys(("bias", "unbiased", "hard", "factored", "similarity"), "switch"),
    **dict.fromkeys(("frequencies", "grid"), "spectrum"),
    "by": "statistic",
}
"""The kind of a mutant by the name of the parameter; another one's is its name where that is listed, else `size`."""
OWN_KINDS = ("eps", "momentum", "fuse")
SETS = ("S", "C", "H", "W", "CH", "CW", "HW", "CHW", "SC")
UNSEEN_BY_NATURE = ("start", "bias_start")
"""Initial values: the authors' weights overwrite them."""

Values = Iterator[Any]


def kind_of(parameter: str) -> str:
    """The kind of a mutant that changes a parameter."""
    return KINDS.get(parameter, parameter if parameter in OWN_KINDS else "size")


def plain_axes(value: Any) -> Any:
    """`grid` is the axes of a map, H and W.

    >>> plain_axes("Cgrid"), plain_axes("C"), plain_axes(None)
    ('CHW', 'C', None)
    """
    return value.replace("grid", "HW") if isinstance(value, str) else value


def current(operator: Operator, schema: Schema, arguments: dict[str, Any]) -> Any:
    """The value in force: what is written, else the default; an axis that is left open is the one it falls to."""
    value = arguments.get(schema.name, schema.default)
    if schema.name == "mix" and value is None:
        taken = [arguments.get(s.name, s.default) for s in operator.parameters if s.name in ("along", "each")]
        return "" if any("C" in plain_axes(axes) for axes in taken) else "C"
    return plain_axes(value) if schema.name in AXES else value


def alternatives(operator: Operator, schema: Schema, value: Any) -> Values:
    """Other values for a parameter that has this one."""
    if schema.name in UNSEEN_BY_NATURE and operator.name != "slice":
        return
    found = _found(operator, schema, value)
    yield from (other for i, other in enumerate(found) if other != value and other not in found[:i])


def _found(operator: Operator, schema: Schema, value: Any) -> list[Any]:
    if schema.name in AXES:
        return list(_axes(operator.name, schema.name, value))
    if isinstance(value, list):
        return list(_lists(schema, value))
    if schema.choices:
        return list(schema.choices)
    if schema.is_boolean:
        return [not value]
    if schema.name in ("eps", "momentum"):
        return list(_small(schema.name, value))
    return list(_factors(value, schema.is_optional) if schema.number_type is float else _counts(value, schema.is_optional))


def _axes(operator: str, name: str, value: str) -> Values:
    """Sets where order is nothing, arrangements of as many axes where it is, single axes where a slice is taken."""
    if name == "over":
        yield from (s for s in SETS if set(s) != set(value) and (len(s) == 1 or operator != "slice"))
    elif name == "along":
        yield from map("".join, permutations("SCHW", len(value)))
    else:
        lengths = (1, 2) if name == "tokens" else sorted({0, 1, len(value)})
        yield from ("".join(axes) for n in lengths for axes in permutations("SCHW", n))


def _lists(schema: Schema, value: list[Any]) -> Values:
    """Two neighbours swapped, one left out, one replaced by each of its alternatives."""
    for i in range(len(value) - 1):
        yield [*value[:i], value[i + 1], value[i], *value[i + 2 :]]
    for i, item in enumerate(value):
        if len(value) > 1:
            yield [*value[:i], *value[i + 1 :]]
        others = schema.choices or (_lists(schema, item) if isinstance(item, list) else _counts(item, False))
        yield from ([*value[:i], other, *value[i + 1 :]] for other in others)


def _small(name: str, value: Any) -> Values:
    """1000, 100 and 0.1 times an eps; ten times, a tenth and the complement of a momentum."""
    yield from (_times(value, factor) for factor in ((1000, 100, 0.1) if name == "eps" else (10, 0.1)))
    if name == "momentum":
        yield f"1 - ({value})" if isinstance(value, str) else 1 - value


def _factors(value: Any, optional: bool) -> Values:
    """The negative, the double, the half; 1 and -1 where there is none or 0, and none where there may be."""
    if not value:
        yield from (1.0, -1.0)
        return
    yield from (_times(value, -1), _times(value, 2), _times(value, 0.5))
    if optional:
        yield None


def _counts(value: Any, optional: bool) -> Values:
    """One more, the double, the half and, where there may be none, none."""
    if value is None:
        yield 2
        return
    if isinstance(value, str):
        yield from (f"({value}) + 1", f"2*({value})", f"({value})/2")
    else:
        yield from (value + 1, value + 2, 2 * value, *([value // 2] if value > 1 else []))
    if optional:
        yield None


def _times(value: Any, factor: float) -> Any:
    """The product, of a number or of an expression.

    >>> _times(1e-5, 100), _times("m", 10)
    (0.001, '10*(m)')
    """
    return f"{factor:g}*({value})" if isinstance(value, str) else float(f"{value * factor:.6g}")


def of_let(value: Any) -> Values:
    """Other values for a number or an expression of `let`."""
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, float):
        yield from (_times(value, 10), _times(value, 0.1))
    elif isinstance(value, int | str):
        yield from _counts(value, False)
