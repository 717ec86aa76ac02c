"""Size expressions: `C/r`, `max(C/32, 8)`, `odd((log2(C) + 1) / 2)`. A whitelist over `ast`; nothing is executed."""

import ast
import math
import operator
from collections.abc import Callable, Mapping
from functools import lru_cache

from .errors import Refused, nearest, words

LONGEST = 200
DEEPEST = 20
LARGEST = 2**53
LARGEST_EXPONENT = 64

Number = int | float
Value = Number | bool | None
"""What a name stands for; None is a number that is not known yet, as everything behind a fault upstream."""


class Unknown(Exception):
    """The expression is in order, but rests on a number that is not known yet."""


def _odd(x: Number) -> int:
    return math.floor(x) | 1


def _log2(x: Number) -> float:
    if x <= 0:
        raise Refused(f"log2 of {x}")
    return math.log2(x)


FUNCTIONS: dict[str, Callable[..., Number]] = {"max": max, "min": min, "log2": _log2, "odd": _odd}
ARITIES = {"log2": 1, "odd": 1}
_BINARY: dict[type[ast.operator], Callable[[Number, Number], Number]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
}


def evaluate(text: str, names: Mapping[str, Value], whole: bool = True) -> Number:
    """The value of an expression; with `whole`, int / int is floored (sizes, let), else division is true.

    Raises Refused for anything outside the language and for a nonzero value that was floored to 0, and Unknown.

    >>> evaluate("max(C/32, 8)", {"C": 64}), evaluate("1/20", {}, whole=False)
    (8, 0.05)
    """
    if whole and isinstance(bare := names.get(text.strip()), int | float) and not isinstance(bare, bool):
        return bare
    body = _parse(text)
    for node in ast.walk(body):
        _check_name(node, text, names)
    value = _value(body, names, whole)
    if whole and value == 0 and _value(body, names, False) != 0:
        raise Refused(f"{text} is {_value(body, names, False):.3g}, which floors to 0")
    return value


def floored(text: str, value: Number) -> int:
    """A size: the value made whole.

    >>> floored("3.7", 3.7)
    3
    """
    if 0 < abs(value) < 1:
        raise Refused(f"{text} is {value:.3g}, which floors to 0")
    return math.floor(value)


def references(text: str) -> set[str]:
    """The names an expression uses."""
    return {node.id for node in ast.walk(_parse(text)) if isinstance(node, ast.Name)} - set(FUNCTIONS)


@lru_cache(maxsize=4096)
def _parse(text: str) -> ast.expr:
    if len(text) > LONGEST:
        raise Refused(f"an expression of {len(text)} characters; at most {LONGEST}")
    if "${" in text:
        raise Refused(f"{text!r}: '${{' is refused; write the name itself")
    try:
        body = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise Refused(f"{text!r} is not a number or an expression such as C/r or max(C/32, 8)") from None
    if _depth(body) > DEEPEST:
        raise Refused(f"{text!r} is nested deeper than {DEEPEST}")
    return body


def _depth(node: ast.AST) -> int:
    """Levels of operations; bounded because the text is short."""
    level, depth = [node], 0
    while level:
        level = [c for n in level for c in ast.iter_child_nodes(n) if isinstance(c, ast.expr)]
        depth += 1
    return depth


def _check_name(node: ast.AST, text: str, names: Mapping[str, Value]) -> None:
    if isinstance(node, ast.Name) and node.id not in names and node.id not in FUNCTIONS:
        if node.id in ("H", "W"):
            raise Refused(f"{text} needs {node.id}, which only a fixed grid has: give height= and width=")
        raise Refused(f"{text}: no name {node.id!r}; known are {words(names)}{nearest(node.id, names)}")


def _value(node: ast.expr, names: Mapping[str, Value], whole: bool) -> Number:
    value = _raw(node, names, whole)
    if isinstance(value, complex) or abs(value) > LARGEST or not math.isfinite(value):
        raise Refused(f"{ast.unparse(node)} is larger than 2^53 or no number")
    return value


def _raw(node: ast.expr, names: Mapping[str, Value], whole: bool) -> Number:
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return value
        case ast.Name(id=name) if name in names:
            return _named(name, names[name])
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, names, whole)
        case ast.BinOp(left=left, op=op, right=right):
            return _binary(op, _value(left, names, whole), _value(right, names, whole), whole)
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in FUNCTIONS and args:
            if len(args) != ARITIES.get(name, max(len(args), 2)):
                raise Refused(f"{ast.unparse(node)}: {name} takes {ARITIES.get(name, 'at least 2')} value(s)")
            return FUNCTIONS[name](*(_value(arg, names, whole) for arg in args))
    raise Refused(
        f"{ast.unparse(node)!r} is not allowed in an expression; allowed are numbers, names, + - * / // **, {words(FUNCTIONS)}"
    )


def _named(name: str, value: Value) -> Number:
    if value is None:
        raise Unknown
    if isinstance(value, bool):
        raise Refused(f"{name} is {str(value).lower()}, not a number")
    return value


def _binary(op: ast.operator, left: Number, right: Number, whole: bool) -> Number:
    if type(op) in _BINARY:
        return _BINARY[type(op)](left, right)
    if isinstance(op, ast.Pow):
        if abs(right) > LARGEST_EXPONENT or (left == 0 and right < 0):
            raise Refused(f"{left} ** {right}: exponents go up to {LARGEST_EXPONENT}, and 0 has no negative power")
        try:
            power: Number = left**right
        except OverflowError:
            return math.inf
        return power
    if isinstance(op, ast.Div | ast.FloorDiv):
        if right == 0:
            raise Refused("division by zero")
        if isinstance(op, ast.FloorDiv) or (whole and isinstance(left, int) and isinstance(right, int)):
            return left // right
        return left / right
    raise Refused(f"the operation {type(op).__name__} is not allowed in an expression; allowed are + - * / // **")
