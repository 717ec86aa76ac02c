"""Size expressions against Python's own arithmetic, and their rules."""

import ast
import math
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sefactory.config.expressions import MAX_NUMBER, UnresolvedName, evaluate, floor_size, format_values, free_variables
from sefactory.config.scope import MAX_CHAIN, LetError, resolve_let, size_variables
from sefactory.errors import InvalidValue
from sefactory.shapes import Sizes

NAMES = {"C": 64, "r": 16, "k": 7, "m": 0.05, "q": 2.5, "flag": True, "later": None}
NUMBERS = st.integers(0, 40).map(str) | st.sampled_from(["0.5", "2.5", "1e2", "C", "r", "k", "q"])
TEXTS = st.recursive(
    NUMBERS,
    lambda inner: st.one_of(
        st.builds("({} {} {})".format, inner, st.sampled_from(["+", "-", "*", "/", "//"]), inner),
        st.builds("(-{})".format, inner),
        st.builds("({})**{}".format, inner, st.sampled_from("0123")),
        st.builds("{}({}, {})".format, st.sampled_from(["max", "min"]), inner, inner),
        st.builds("odd({})".format, inner),
    ),
    max_leaves=8,
)


class _Floor(ast.NodeTransformer):
    """int / int becomes a floor, which is what whole expressions mean by it."""

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        if not isinstance(node.op, ast.Div):
            return node
        call = ast.Call(ast.Name("divide", ast.Load()), [node.left, node.right], [])
        return ast.fix_missing_locations(ast.copy_location(call, node))


def _divide(a: float, b: float) -> float:
    return a // b if isinstance(a, int) and isinstance(b, int) else a / b


def _odd(x: float) -> int:
    floor = math.floor(x)
    return floor if floor % 2 else floor + 1


def _python(text: str, whole: bool) -> float:
    """What Python makes of it."""
    tree: ast.AST = ast.parse(text, mode="eval")
    tree = _Floor().visit(tree) if whole else tree
    scope = {**NAMES, "odd": _odd, "divide": _divide, "max": max, "min": min}
    value: float = eval(compile(tree, "", "eval"), {"__builtins__": {}}, scope)
    return value


@given(TEXTS, st.booleans())
def test_values_equal_those_of_python(text: str, whole: bool) -> None:
    assume(len(text) <= 200)
    try:
        expected, exact = _python(text, whole), _python(text, False)
    except ZeroDivisionError:
        with pytest.raises(InvalidValue, match="division by zero"):
            evaluate(text, NAMES, whole)
        return
    try:
        found = evaluate(text, NAMES, whole)
    except InvalidValue as refused:
        vanished = whole and expected == 0 and exact != 0
        assert vanished or "larger than 2^53" in str(refused) or "nested operations" in str(refused)
        return
    assert found == expected and type(found) is type(expected) and (found != 0 or not whole or exact == 0)


@given(st.integers(-(10**6), 10**6), st.integers(-(10**4), 10**4).filter(bool))
def test_integers_divide_to_the_floor(a: int, b: int) -> None:
    names = {"a": a, "b": b}
    true = Fraction(a, b)
    if 0 < true < 1:
        with pytest.raises(InvalidValue, match=r"^a/b = \S+, which rounds down to 0 \(a = -?\d+, b = -?\d+\)"):
            evaluate("a/b", names)
    else:
        assert evaluate("a/b", names) == math.floor(true) == evaluate("a//b", names)
    assert evaluate("a/b", names, floor=False) == a / b


@given(st.floats(-(10**9), 10**9))
def test_a_size_is_the_floor(x: float) -> None:
    if 0 < x < 1:
        with pytest.raises(InvalidValue, match="rounds down to 0"):
            floor_size("x", x, {})
    else:
        assert floor_size("x", x, {}) == math.floor(x)


@given(st.floats(-(10**9), 10**9))
def test_odd_is_the_floor_or_one_more(x: float) -> None:
    odd = evaluate("odd(x)", {"x": x})
    assert odd % 2 == 1 and 0 <= odd - math.floor(x) <= 1


@pytest.mark.parametrize(
    ("text", "whole", "fraction"),
    [
        ("C/r", 4, 4.0),
        ("C/24", 2, 64 / 24),
        ("C/3/3", 7, 64 / 9),
        ("-C/24", -3, -64 / 24),
        ("1.0/20", 0.05, 0.05),
        ("max(C/32, 8)", 8, 8),
        ("min(C, 8, 3)", 3, 3),
        ("max(C/128, 8)", 8, 8),
        ("odd((log2(C) + 1) / 2)", 3, 3),
        ("odd(4)", 5, 5),
        ("odd(5.9)", 5, 5),
        ("odd(-4)", -3, -3),
        ("log2(C)", 6.0, 6.0),
        ("C**0.5", 8.0, 8.0),
        ("2**10", 1024, 1024),
        ("2**-1.0*8", 4.0, 4.0),
        ("2**-1", 0.5, 0.5),
        ("2*k + C", 78, 78),
        ("  C / r  ", 4, 4.0),
        ("0", 0, 0),
        ("C - 64", 0, 0),
        ("0*C/128", 0, 0.0),
        ("m", 0.05, 0.05),
        ("1e-5", 1e-5, 1e-5),
        (".5*C", 32.0, 32.0),
        ("2**53", 2**53, 2**53),
    ],
)
def test_examples(text: str, whole: float, fraction: float) -> None:
    assert evaluate(text, NAMES) == whole and evaluate(text, NAMES, floor=False) == fraction


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("C/128", "C/128 = 0.5, which rounds down to 0 (C = 64); use at least 128 channels"),
        ("k/r", "k/r = 0.438, which rounds down to 0 (k = 7, r = 16); set let.r to 7 or less"),
        ("r/C", "r/C = 0.25, which rounds down to 0 (C = 64, r = 16)"),
        ("C/r/r", "C/r/r = 0.25, which rounds down to 0 (C = 64, r = 16)"),
        ("1/20", "1/20 = 0.05, which rounds down to 0"),
        ("C/0", "C/0: division by zero (C = 64)"),
        ("C//(r-16)", "C//(r-16): division by zero (C = 64, r = 16)"),
        ("C**65", "C**65: 64 ** 65; exponents are at most 64 (C = 64)"),
        ("0**-1", "0**-1: division by zero"),
        ("2**53 + 1", "2**53 + 1: 2 ** 53 + 1 is larger than 2^53"),
        ("-2**54", "-2**54: 2 ** 54 is larger than 2^53"),
        ("1e999", "1e999: 1e309 is not a finite real number"),
        ("(0-8)**0.5", "(0-8)**0.5: (0 - 8) ** 0.5 is not a finite real number"),
        ("log2(0)", "log2(0): log2(0) is undefined"),
        ("log2(r-17)", "log2(r-17): log2(-1) is undefined (r = 16)"),
        ("log2(C, 2)", "log2(C, 2): log2 takes one number"),
        ("odd()", "odd(): odd takes one number"),
        ("min(C)", "min(C): min takes at least two numbers"),
        ("max", "max: max is a function; write max(...)"),
        ("floor(C)", "floor(C): no function 'floor'; there are max, min, log2, odd"),
        ("odds(C)", "odds(C): no function 'odds'; there are max, min, log2, odd; did you mean 'odd'?"),
        ("C/R", "C/R: no name 'R'; there are C, r, k, m, q, flag, later; did you mean 'r'?"),
        ("H*W", "H*W: H is known only on a fixed grid: give height= and width="),
        ("flag*2", "flag*2: flag is true, not a number (flag = true)"),
        ("flag", "flag: flag is true, not a number (flag = true)"),
        ("C%2", "'C%2'; allowed: a number, or an expression such as C/r or max(C/32, 8)"),
        ("", "''; allowed: a number, or an expression such as C/r or max(C/32, 8)"),
        ("2C", "'2C'; allowed: a number, or an expression such as C/r or max(C/32, 8)"),
        ("C if C else 2", "C if C else 2 is not allowed; an expression has numbers, names, + - * / // **, max, min, log2, odd"),
        ("8 + True", "8 + True: True is not allowed; an expression has numbers, names, + - * / // **, max, min, log2, odd"),
        ("1+" * 100 + "1", "an expression of 201 characters; allowed: at most 200"),
        ("1" + "+1" * 20, f"'{'1' + '+1' * 20}'; allowed: at most 20 nested operations"),
        ("C + later", None),
    ],
)
def test_refusals(text: str, message: str | None) -> None:
    if message is None:
        with pytest.raises(UnresolvedName):
            evaluate(text, NAMES)
        return
    with pytest.raises(InvalidValue) as caught:
        evaluate(text, NAMES)
    assert str(caught.value) == message


@pytest.mark.parametrize("levels", range(14, 26))
def test_depth_and_length_have_limits(levels: int) -> None:
    text = "-" * (levels - 1) + "C"
    if levels <= 20:
        assert abs(evaluate(text, NAMES)) == 64
    else:
        with pytest.raises(InvalidValue, match="at most 20 nested operations"):
            evaluate(text, NAMES)
    assert evaluate("C" + " " * 199, NAMES) == 64


def test_every_intermediate_value_is_bounded() -> None:
    assert evaluate(f"{MAX_NUMBER} - 1", {}) == MAX_NUMBER - 1
    with pytest.raises(InvalidValue, match="larger than 2"):
        evaluate(f"({MAX_NUMBER} + {MAX_NUMBER}) / 4", {})


def test_names_of_an_expression() -> None:
    assert free_variables("max(C/r, odd(k)) + 2") == {"C", "r", "k"} and free_variables("8") == set()
    assert format_values("C/r + later + m", NAMES) == " (C = 64, m = 0.05, r = 16)" and format_values("8", NAMES) == ""


def test_names_of_a_map() -> None:
    assert size_variables(Sizes.of_map(64)) == {"C": 64} and size_variables(Sizes.of_map(64, {"H": 7, "W": 5})) == {
        "C": 64,
        "H": 7,
        "W": 5,
    }


def test_let_in_any_order() -> None:
    let = {"values": "2*keys", "keys": "heads*key", "heads": 4, "key": "C/8", "p": 0.5, "bias": True, "r": 2}
    found = resolve_let(let, {"C": 64, "r": 16})
    assert found == {"C": 64, "heads": 4, "key": 8, "keys": 32, "values": 64, "p": 0.5, "bias": True, "r": 2}


def test_let_shadows_what_is_around_it() -> None:
    assert resolve_let({"r": "k/2", "k": 8}, {"C": 64, "r": 16, "k": 7})["r"] == 4


def test_let_reports_all_errors() -> None:
    let = {"a": "b", "b": "a + 1", "c": "C/128", "d": "c*2", "e": "nosuch", "f": "C/2", "g": "g"}
    with pytest.raises(LetError) as caught:
        resolve_let(let, {"C": 64})
    assert caught.value.faults == {
        "a": "refers to itself: a -> b -> a",
        "c": "C/128 = 0.5, which rounds down to 0 (C = 64); use at least 128 channels",
        "e": "nosuch: no name 'nosuch'; there are C, a, b, c, d, e, f, g",
        "g": "refers to itself: g -> g",
    }
    assert caught.value.values == {"C": 64, "a": None, "b": None, "c": None, "d": None, "e": None, "f": 32, "g": None}


@pytest.mark.parametrize("length", [MAX_CHAIN, MAX_CHAIN + 5])
def test_a_chain_of_names_has_a_limit(length: int) -> None:
    let = {f"a{i}": f"a{i + 1} + 1" for i in range(length)} | {f"a{length}": 0}
    if length <= MAX_CHAIN:
        assert resolve_let(let, {})["a0"] == length
    else:
        with pytest.raises(LetError, match="refers to a chain of more than 100 names"):
            resolve_let(let, {})
