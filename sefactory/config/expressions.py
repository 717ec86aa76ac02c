"""Size expressions such as `C/r`, `max(C/32, 8)` or `odd((log2(C) + 1) / 2)`.

Python's `ast` parses them. Only numbers, names, arithmetic and four functions are allowed, and no code is executed.
"""

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping
from enum import Enum
from functools import lru_cache

from ..errors import InvalidValue, did_you_mean, join_words, short_repr

MAX_LENGTH = 200
MAX_DEPTH = 20
MAX_NUMBER = 2**53
MAX_EXPONENT = 64
MIN_ARGUMENTS = 2

GRID_ARGUMENTS = {"D": "depth", "H": "height", "W": "width"}
"""The spatial axes, and the arguments of `build` that fix their sizes."""

Number = int | float


class LetNode(Enum):
    """The value of a name of `let` that stands for a node, not for a number."""

    NODE = "a node of let"

    def __repr__(self) -> str:
        return self.value


Value = Number | bool | None | LetNode
"""The value of a name. None is a number that is not known yet."""


class UnresolvedName(Exception):
    """The expression is valid, but the value of one of its names is not known yet."""


def _log2(x: Number) -> float:
    if x <= 0:
        raise InvalidValue(f"log2({x}) is undefined")
    return math.log2(x)


FUNCTIONS: dict[str, Callable[..., Number]] = {"max": max, "min": min, "log2": _log2, "odd": lambda x: math.floor(x) | 1}
ONE_ARGUMENT = ("log2", "odd")
_ARITHMETIC: dict[type[ast.operator], Callable[[Number, Number], Number]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Pow: operator.pow,
}
_ALPHABET = re.compile(r"[A-Za-z0-9_ .,+*/()-]*")
_NUMBER_THEN_LETTER = re.compile(r"(?<![A-Za-z_0-9.])[0-9.]++(?:[eE][+-]?[0-9]++)?+[A-Za-z_]")
"""A number followed directly by a letter, such as `2if`: Python's parser accepts it with a warning."""


def evaluate(text: str, names: Mapping[str, Value], floor: bool = True) -> Number:
    """Returns the value of an expression. With `floor`, int / int rounds down (sizes, `let`); without, it is exact.

    Raises InvalidValue if the expression is not allowed, or if a nonzero value rounds down to 0.
    Raises UnresolvedName if the value of a name is not known yet.

    >>> evaluate("max(C/32, 8)", {"C": 64}), evaluate("1/20", {}, floor=False)
    (8, 0.05)
    """
    body = _parse(text)
    check_names(text, names)
    try:
        value = _value(body, names, floor)
        exact = _value(body, names, False) if floor and value == 0 else value
    except InvalidValue as error:
        raise InvalidValue(f"{text}: {error}{format_values(text, names)}") from None
    if value == 0 and exact != 0:
        raise _rounds_to_zero(text, exact, names)
    return value


def floor_size(text: str, value: Number, names: Mapping[str, Value]) -> int:
    """Returns a size rounded down; raises InvalidValue if a positive value becomes 0.

    >>> floor_size("3.7", 3.7, {})
    3
    """
    if 0 < value < 1:
        raise _rounds_to_zero(text, value, names)
    return math.floor(value)


def _rounds_to_zero(text: str, value: Number, names: Mapping[str, Value]) -> InvalidValue:
    fact = f"{text} = {value:.3g}, which rounds down to 0{format_values(text, names)}"
    return InvalidValue(fact + _remedy(_parse(text), names))


def _remedy(body: ast.expr, names: Mapping[str, Value]) -> str:
    """Returns how to make a quotient at least 1, where that is certain: for a name divided by a name or a number."""
    match body:
        case ast.BinOp(ast.Name(dividend), ast.Div() | ast.FloorDiv(), ast.Name() | ast.Constant() as right):
            size, divisor = _value(body.left, names, False), _value(right, names, False)
        case _:
            return ""
    remedies = []
    if isinstance(right, ast.Name) and right.id not in ("C", *GRID_ARGUMENTS) and size > 0:
        remedies.append(f"set let.{right.id} to {size} or less")
    if dividend == "C":
        remedies.append(f"use at least {math.ceil(divisor)} channels")
    return f"; {', or '.join(remedies)}" if remedies else ""


def format_values(text: str, names: Mapping[str, Value]) -> str:
    """Returns the values of the names in an expression, for a message.

    >>> format_values("C/r", {"C": 8, "r": 16})
    ' (C = 8, r = 16)'
    """
    values = {name: names.get(name) for name in sorted(free_variables(text))}
    known = [f"{name} = {short_repr(value)}" for name, value in values.items() if value is not None]
    return f" ({', '.join(known)})" if known else ""


def check_names(text: str, names: Mapping[str, object]) -> None:
    """Raises InvalidValue for a name that does not exist, or that is a node of `let`."""
    for name in sorted(free_variables(text)):
        if names.get(name) is LetNode.NODE:
            raise InvalidValue(f"{text}: {name!r} is a node of let, not a number")
        if name in names:
            continue
        if name in GRID_ARGUMENTS:
            unknown = [axis for axis in GRID_ARGUMENTS if axis in free_variables(text) and axis not in names]
            arguments = " and ".join(f"{GRID_ARGUMENTS[axis]}=" for axis in unknown)
            kind = " of DHW" if name == "D" else ""
            raise InvalidValue(f"{text}: {name} is known only on a fixed grid{kind}: give {arguments}")
        raise InvalidValue(f"{text}: no name {name!r}; there are {join_words(names)}{did_you_mean(name, names)}")


def free_variables(text: str) -> frozenset[str]:
    """Returns the names in an expression."""
    return frozenset(node.id for node in ast.walk(_parse(text)) if isinstance(node, ast.Name)) - FUNCTIONS.keys()


@lru_cache(maxsize=4096)
def _parse(text: str) -> ast.expr:
    """Returns the syntax tree of an allowed expression; raises InvalidValue for any other text."""
    if len(text) > MAX_LENGTH:
        raise InvalidValue(f"an expression of {len(text)} characters; allowed: at most {MAX_LENGTH}")
    try:
        if not _ALPHABET.fullmatch(text) or _NUMBER_THEN_LETTER.search(text):
            raise SyntaxError
        body = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise InvalidValue(f"{short_repr(text)}; allowed: a number, or an expression such as C/r or max(C/32, 8)") from None
    if _depth(body) > MAX_DEPTH:
        raise InvalidValue(f"{short_repr(text)}; allowed: at most {MAX_DEPTH} nested operations")
    try:
        for node in ast.walk(body):
            if isinstance(node, ast.expr):
                _check_node(node)
    except InvalidValue as error:
        raise InvalidValue(str(error) if str(error).startswith(f"{text} is ") else f"{text}: {error}") from None
    return body


def _depth(node: ast.AST) -> int:
    """Returns the number of nested operations, without recursion."""
    level, depth = [node], 0
    while level:
        level = [child for parent in level for child in ast.iter_child_nodes(parent) if isinstance(child, ast.expr)]
        depth += 1
    return depth


def _check_node(node: ast.expr) -> None:
    """Raises InvalidValue for everything but numbers, names, arithmetic and the functions."""
    match node:
        case ast.Name() | ast.UnaryOp(op=ast.USub()):
            pass
        case ast.Constant(value=value) if type(value) in (int, float):
            pass
        case ast.BinOp(op=op) if type(op) in _ARITHMETIC:
            pass
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
            _check_call(name, len(args))
        case _:
            allowed = f"numbers, names, + - * / // **, {join_words(FUNCTIONS)}"
            raise InvalidValue(f"{ast.unparse(node)} is not allowed; an expression has {allowed}")


def _check_call(name: str, count: int) -> None:
    if name not in FUNCTIONS:
        raise InvalidValue(f"no function {name!r}; there are {join_words(FUNCTIONS)}{did_you_mean(name, FUNCTIONS)}")
    takes_one = name in ONE_ARGUMENT
    if (count != 1) if takes_one else (count < MIN_ARGUMENTS):
        raise InvalidValue(f"{name} takes {'one number' if takes_one else 'at least two numbers'}")


def _value(node: ast.expr, names: Mapping[str, Value], floor: bool) -> Number:
    value = _apply(node, names, floor)
    if isinstance(value, complex) or not math.isfinite(value):
        raise InvalidValue(f"{ast.unparse(node)} is not a finite real number")
    if abs(value) > MAX_NUMBER:
        raise InvalidValue(f"{ast.unparse(node)} is larger than 2^53")
    return value


def _apply(node: ast.expr, names: Mapping[str, Value], floor: bool) -> Number:
    """Returns the value of a node from the values of its operands."""
    match node:
        case ast.Name(id=name):
            return _lookup(name, names.get(name))
        case ast.UnaryOp(operand=operand):
            return -_value(operand, names, floor)
        case ast.BinOp(left=left, op=op, right=right):
            return _binary(op, _value(left, names, floor), _value(right, names, floor), floor)
        case ast.Call(func=ast.Name(id=name), args=args):
            return FUNCTIONS[name](*(_value(arg, names, floor) for arg in args))
        case ast.Constant(value=int() | float() as value):
            return value
    raise InvalidValue(f"{ast.unparse(node)} is not a number")


def _lookup(name: str, value: Value) -> Number:
    if name in FUNCTIONS:
        raise InvalidValue(f"{name} is a function; write {name}(...)")
    if value is None:
        raise UnresolvedName
    if isinstance(value, bool | LetNode):
        raise InvalidValue(f"{name} is {short_repr(value)}, not a number")
    return value


def _binary(op: ast.operator, left: Number, right: Number, floor: bool) -> Number:
    """Returns `left op right`; raises InvalidValue for a division by zero, and for an exponent above the limit."""
    if isinstance(op, ast.Pow) and abs(right) > MAX_EXPONENT:
        raise InvalidValue(f"{left} ** {right}; exponents are at most {MAX_EXPONENT}")
    rounds_down = floor and isinstance(op, ast.Div) and isinstance(left, int) and isinstance(right, int)
    try:
        return operator.floordiv(left, right) if rounds_down else _ARITHMETIC[type(op)](left, right)
    except OverflowError:
        return math.inf
    except ZeroDivisionError:
        raise InvalidValue("division by zero") from None
