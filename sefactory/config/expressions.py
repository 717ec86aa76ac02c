"""Size expressions: `C/r`, `max(C/32, 8)`, `odd((log2(C) + 1) / 2)`. A whitelist over `ast`; nothing is executed."""

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import EllipsisType

from ..errors import InvalidValue, did_you_mean, join_words, short_repr

MAX_LENGTH = 200
MAX_DEPTH = 20
MAX_NUMBER = 2**53
MAX_EXPONENT = 64

GRID_ARGUMENTS = {"D": "depth", "H": "height", "W": "width"}
"""The axes of a grid, and the arguments that fix them."""

Number = int | float
Value = Number | bool | None | EllipsisType
"""What a name stands for; None is a number that is not known yet, as everything behind a fault upstream, ... a node."""


class UnresolvedName(Exception):
    """The expression is in order, but rests on a number that is not known yet."""


def _odd(x: Number) -> int:
    return math.floor(x) | 1


def _log2(x: Number) -> float:
    if x <= 0:
        raise InvalidValue(f"log2 of {x}")
    return math.log2(x)


FUNCTIONS: dict[str, Callable[..., Number]] = {"max": max, "min": min, "log2": _log2, "odd": _odd}
ARITIES = {"log2": 1, "odd": 1}
MIN_ARGUMENTS = 2
_OPERATIONS = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Pow)
_BINARY: dict[type[ast.operator], Callable[[Number, Number], Number]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
}
_ALPHABET = re.compile(r"[A-Za-z0-9_ .,+*/()-]*")
_GLUED = re.compile(r"(?<![A-Za-z_0-9.])[0-9.]++(?:[eE][+-]?[0-9]++)?+[A-Za-z_]")
"""A number with letters right behind it, of which Python's parser only warns."""


def evaluate(text: str, names: Mapping[str, Value], whole: bool = True) -> Number:
    """The value of an expression; with `whole`, int / int is floored (sizes, let), else division is true.

    Raises InvalidValue for anything outside the language and for a nonzero value that was floored to 0, and Unknown.

    >>> evaluate("max(C/32, 8)", {"C": 64}), evaluate("1/20", {}, whole=False)
    (8, 0.05)
    """
    if isinstance(bare := names.get(text.strip()), int | float) and not isinstance(bare, bool):
        return bare
    body = _parse(text)
    check_names(text, names)
    try:
        value = _value(body, names, whole)
        exact = _value(body, names, False) if whole and value == 0 else value
    except InvalidValue as refused:
        raise InvalidValue(f"{text}: {refused}{format_values(text, names)}") from None
    if value == 0 and exact != 0:
        raise _vanished(text, exact, names)
    return value


def floor_size(text: str, value: Number, names: Mapping[str, Value]) -> int:
    """A size: the value made whole.

    Raises InvalidValue for a nonzero value that becomes 0.

    >>> floor_size("3.7", 3.7, {})
    3
    """
    if 0 < value < 1:
        raise _vanished(text, value, names)
    return math.floor(value)


def _vanished(text: str, value: Number, names: Mapping[str, Value]) -> InvalidValue:
    return InvalidValue(f"{text} = {value:.3g}, which floors to 0{format_values(text, names)}")


def format_values(text: str, names: Mapping[str, Value]) -> str:
    """The numbers behind the names of an expression.

    >>> format_values("C/r", {"C": 8, "r": 16})
    ' (C = 8, r = 16)'
    """
    numbers = {name: names.get(name) for name in sorted(free_variables(text))}
    known = [f"{name} = {short_repr(value)}" for name, value in numbers.items() if value is not None]
    return f" ({', '.join(known)})" if known else ""


def check_names(text: str, names: Mapping[str, object]) -> None:
    """Refuses a name that does not exist, or that stands for a node."""
    for name in sorted(free_variables(text)):
        if names.get(name) is ...:
            raise InvalidValue(f"{text}: {name!r} is a node of let, not a number")
        if name in names:
            continue
        if name in GRID_ARGUMENTS:
            missing = [
                f"{GRID_ARGUMENTS[axis]}=" for axis in GRID_ARGUMENTS if axis in free_variables(text) and axis not in names
            ]
            kind = " of DHW" if name == "D" else ""
            raise InvalidValue(f"{text}: {name} is known on a fixed grid{kind} only: give {' and '.join(missing)}")
        raise InvalidValue(f"{text}: no name {name!r}; there are {join_words(names)}{did_you_mean(name, names)}")


@lru_cache(maxsize=4096)
def free_variables(text: str) -> frozenset[str]:
    """The names an expression uses."""
    return frozenset(node.id for node in ast.walk(_parse(text)) if isinstance(node, ast.Name)) - FUNCTIONS.keys()


@lru_cache(maxsize=4096)
def _parse(text: str) -> ast.expr:
    if len(text) > MAX_LENGTH:
        raise InvalidValue(f"an expression of {len(text)} characters; allowed: at most {MAX_LENGTH}")
    try:
        if not _ALPHABET.fullmatch(text) or _GLUED.search(text):
            raise SyntaxError
        body = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise InvalidValue(f"{short_repr(text)}; allowed: a number, or an expression such as C/r or max(C/32, 8)") from None
    if _depth(body) > MAX_DEPTH:
        raise InvalidValue(f"{short_repr(text)}; allowed: at most {MAX_DEPTH} operations inside one another")
    try:
        _check_form(body)
    except InvalidValue as refused:
        raise InvalidValue(str(refused) if str(refused).startswith(f"{text} is ") else f"{text}: {refused}") from None
    return body


def _depth(node: ast.AST) -> int:
    """Levels of operations; bounded because the text is short."""
    level, depth = [node], 0
    while level:
        level = [c for n in level for c in ast.iter_child_nodes(n) if isinstance(c, ast.expr)]
        depth += 1
    return depth


def _check_form(node: ast.expr) -> None:
    """Refuses everything but numbers, names, arithmetic and the functions."""
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return
        case ast.Name():
            return
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return _check_form(operand)
        case ast.BinOp(left=left, op=op, right=right) if isinstance(op, _OPERATIONS):
            _check_form(left)
            return _check_form(right)
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
            _check_call(name, len(args))
            for arg in args:
                _check_form(arg)
            return
    raise InvalidValue(
        f"{ast.unparse(node)} is not allowed; an expression has numbers, names, + - * / // **, {join_words(FUNCTIONS)}"
    )


def _check_call(name: str, count: int) -> None:
    if name not in FUNCTIONS:
        raise InvalidValue(f"no function {name!r}; there are {join_words(FUNCTIONS)}{did_you_mean(name, FUNCTIONS)}")
    if count != ARITIES.get(name, max(count, MIN_ARGUMENTS)):
        raise InvalidValue(f"{name} takes {'one number' if name in ARITIES else 'two numbers or more'}")


def _value(node: ast.expr, names: Mapping[str, Value], whole: bool) -> Number:
    value = _raw(node, names, whole)
    if isinstance(value, complex) or not math.isfinite(value):
        raise InvalidValue(f"{ast.unparse(node)} is no number")
    if abs(value) > MAX_NUMBER:
        raise InvalidValue(f"{ast.unparse(node)} is beyond 2^53")
    return value


def _raw(node: ast.expr, names: Mapping[str, Value], whole: bool) -> Number:
    match node:
        case ast.Name(id=name):
            return _named(name, names.get(name))
        case ast.UnaryOp(operand=operand):
            return -_value(operand, names, whole)
        case ast.BinOp(left=left, op=op, right=right):
            return _binary(op, _value(left, names, whole), _value(right, names, whole), whole)
        case ast.Call(func=ast.Name(id=name), args=args):
            return FUNCTIONS[name](*(_value(arg, names, whole) for arg in args))
        case ast.Constant(value=int() | float() as value):
            return value
    raise InvalidValue(f"{ast.unparse(node)} is no number")


def _named(name: str, value: Value) -> Number:
    if name in FUNCTIONS:
        raise InvalidValue(f"{name} is a function; write {name}(...)")
    if value is None:
        raise UnresolvedName
    if isinstance(value, bool | EllipsisType):
        raise InvalidValue(f"{name} is {'a node of let' if value is ... else short_repr(value)}, not a number")
    return value


def _binary(op: ast.operator, left: Number, right: Number, whole: bool) -> Number:
    if type(op) in _BINARY:
        return _BINARY[type(op)](left, right)
    if right == 0 and isinstance(op, ast.Div | ast.FloorDiv):
        raise InvalidValue("division by zero")
    if isinstance(op, ast.Pow):
        return _power(left, right)
    if isinstance(op, ast.FloorDiv) or (whole and isinstance(left, int) and isinstance(right, int)):
        return left // right
    return left / right


def _power(base: Number, exponent: Number) -> Number:
    if abs(exponent) > MAX_EXPONENT:
        raise InvalidValue(f"{base} ** {exponent}; exponents go up to {MAX_EXPONENT}")
    if base == 0 and exponent < 0:
        raise InvalidValue(f"0 ** {exponent}; division by zero")
    try:
        power: Number = base**exponent
    except OverflowError:
        return math.inf
    return power
