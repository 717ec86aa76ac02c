"""Fuzz tests of values: expressions, numbers, names of code, nested containers."""

from collections.abc import Callable
from typing import Any

import pytest
from omegaconf import OmegaConf

from tests.fuzz.bounded_error import error_message

EXPRESSIONS = [
    "__import__('os').system('ls')",
    "__import__",
    "open",
    "exec(C)",
    "C.__class__",
    "C.real",
    "(1).__class__.__bases__",
    "lambda: C",
    "[C for C in (1, 2)]",
    "{C: 1}",
    "(C := 3)",
    "f'{C}'",
    "'C'",
    '"C" * 9**9',
    "max(C, key=C)",
    "max(*C)",
    "max(**C)",
    "max(C, 8)(C)",
    "max[C]",
    "C[0]",
    "C if C else 8",
    "C and 8",
    "not C",
    "~C",
    "+C",
    "C < 8",
    "C % 8",
    "C @ C",
    "C << 60",
    "C | 1",
    "C; C",
    "C = 8",
    "C, 8",
    "(yield)",
    "(yield C)",
    "await C",
    "...",
    "None",
    "True",
    "1j",
    "2C",
    "0x10",
    "1if C else 2",
    "8 # r",
    "C\nC",
    "\uff23/2",
    "\u0661",
    "C/\x00",
    "9**9**9**9",
    "9**64",
    "2**-1",
    "0**-1",
    "(-8)**0.5",
    "2**0.5**64*0",
    "1e999",
    "1e308*10",
    "9" * 190,
    "C*" * 99 + "C",
    "1" + "+C" * 100,
    "(" * 90 + "C" + ")" * 90 + "+",
    "-" * 150 + "C",
    "max(" * 40 + "C" + ", 1)" * 40,
    "C/0",
    "C//0",
    "log2(0)",
    "log2(C, 2)",
    "log2()",
    "max()",
    "odd",
    "nan",
    "inf",
    "",
    " ",
    "${oc.env:HOME}",
    "${C}",
]


@pytest.mark.parametrize("text", EXPRESSIONS)
@pytest.mark.parametrize("place", ["parameter", "let", "reference"])
def test_an_expression_cannot_run_code(text: str, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.system", lambda command: pytest.fail("code has run"))
    configs = {
        "parameter": {"linear": {"out": text}},
        "let": {"let": {"r": text}, "linear": {"out": "r"}},
        "reference": [{"pam": {"key": text}}],
    }
    error_message(configs[place])


@pytest.mark.parametrize(
    "number", [float("nan"), float("inf"), -float("inf"), 10**12, 10**400, 10**5000, 2**53 + 1, -(10**12)], ids=range(8)
)
def test_numbers_out_of_range_are_rejected(number: float) -> None:
    for name in ("out", "groups"):
        error_message({"linear": {name: number}})
    error_message({"let": {"r": number}, "linear": "r"})


@pytest.mark.parametrize(
    ("config", "channels"),
    [
        ({"linear": 10**9}, 64),
        ({"linear": "C*C*C"}, 1000),
        ({"conv": {"kernel": 999_999_999}}, 64),
        ({"conv": {"kernel": 99_999, "each": "C"}}, 64),
        ({"attention": {"position": 10**9, "tokens": "H"}}, 64),
        ([{"linear": 10**7}, {"linear": 90}, {"linear": 10**7}], 90),
        ([{"gain": {"each": "C"}}], 2**31),
        ("senet", 2**31),
        ("senet", 10**12),
        ([{"pool": {"by": ["mean"] * 200}}] * 40, 64),
    ],
)
def test_huge_blocks_are_rejected_before_allocation(config: Any, channels: int) -> None:
    error_message(config, channels)


@pytest.mark.parametrize(
    "config",
    [
        {"_target_": "os.system", "_args_": ["ls"]},
        {"mlp": {"hidden": 4, "_partial_": True}},
        {"let": {"_recursive_": False}, "relu": None},
        {"series": {"_convert_": ["relu"]}},
        [{"parallel": {"a": [{"_target_": "os.system"}]}, "fuse": "sum"}],
        {"gate": ["sigmoid"], "official": {"_target_": {}}},
        {"paper": "${oc.env:HOME}", "relu": None},
        {"gate": ["${oc.env:HOME}"]},
        {"mlp": {"hidden": "${oc.env:HOME}"}},
        OmegaConf.create({"mlp": {"hidden": "${oc.env:HOME}"}}),
        {"series": [OmegaConf.create({"mlp": {"hidden": "${oc.env:HOME}"}})]},
        {"series": OmegaConf.create(["${oc.env:HOME}"])},
    ],
)
def test_a_config_cannot_name_code_or_resolvers(config: Any) -> None:
    message = error_message(config)
    assert "cannot run code" in message or "'${' is not allowed" in message


@pytest.mark.parametrize("override", ["+_target_=os.system", "+let._partial_=true", "let.r=${oc.env:HOME}", "let.r=[${let.k}]"])
def test_an_override_cannot_name_code_or_resolvers(override: str) -> None:
    message = error_message("cbam", overrides=[override])
    assert "cannot run code" in message or "'${' is not allowed" in message


def _nested(levels: int, wrap: Callable[[Any], Any]) -> Any:
    config: Any = "relu"
    for _ in range(levels):
        config = wrap(config)
    return config


def _cycle(kind: str) -> Any:
    if kind == "list":
        items: list[Any] = ["relu"]
        items.append(items)
        return items
    config: dict[str, Any] = {}
    config["series"] = [config]
    return config


CONTAINERS = {
    "50,000 lists": lambda: _nested(50_000, lambda inner: [inner]),
    "50,000 mappings": lambda: _nested(50_000, lambda inner: {"series": inner}),
    "50,000 tuples": lambda: _nested(50_000, lambda inner: (inner,)),
    "a cycle of lists": lambda: _cycle("list"),
    "a cycle of mappings": lambda: _cycle("mapping"),
    "3^60 leaves": lambda: _nested(60, lambda inner: [inner] * 3),
    "3^30 leaves": lambda: _nested(30, lambda inner: [inner] * 3),
    "10,001 entries": lambda: ["relu"] * 10_001,
    "10,001 keys": lambda: {"series": {f"s{i}": "relu" for i in range(10_001)}},
    "9,990 unknown names": lambda: [f"nosuch{i}" for i in range(9_990)],
    "4,000 unknown keys": lambda: {"pool": {f"over{i}": 1 for i in range(4_000)}},
    "9,000 names that rest on one another": lambda: {"let": {f"a{i}": f"a{i + 1}" for i in range(9_000)}, "relu": None},
    "a cycle of 5,000 names": lambda: {"let": {f"a{i}": f"a{(i + 1) % 5_000}" for i in range(5_000)}, "relu": None},
    "names that square": lambda: {"let": {"a0": "C"} | {f"a{i}": f"a{i - 1}**2" for i in range(1, 99)}, "relu": None},
    "a long key": lambda: {"x" * 10**6: 1},
    "a long name": lambda: ["x" * 10**6],
    "9,990 longer names": lambda: ["x" * 9_999] * 9_990,
    "references without end": lambda: ["cbam"] * 5_000,
    "a set": lambda: {"gate": {"sigmoid", "relu"}},
    "bytes": lambda: {"gate": [b"sigmoid"]},
    "an object": lambda: {"gate": [object()]},
    "a function": lambda: error_message,
    "a class": lambda: {"gate": [dict]},
    "a number as a key": lambda: {"series": {1: "relu"}},
    "null as a key": lambda: {"series": {None: "relu"}},
    "a tuple as a key": lambda: {("a", "b"): "relu"},
    "a NUL in a name": lambda: ["sig\0moid"],
    "a NUL in a key": lambda: {"sig\0moid": None},
    "a surrogate": lambda: ["\ud800"],
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_nested_containers(name: str) -> None:
    error_message(CONTAINERS[name]())
