"""The modules of the package as syntax trees, and what they define."""

import ast
import io
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

TESTS = Path(__file__).parents[1]
PACKAGE = TESTS.parent / "sefactory"
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
LAYOUT_TOKENS = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}


def dotted(path: Path) -> str:
    """The name of a module below the package: "config.parser", and "config" for config/__init__.py."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {dotted(path): path for path in sorted(PACKAGE.rglob("*.py")) if path != PACKAGE / "__init__.py"}
ROOMS = [
    "errors",
    "shapes",
    "store",
    "config",
    "kernels",
    "operators",
    "compiler",
    "block",
    "build",
    "bench",
    "networks",
    "training",
    "cli",
]
"""The folders and files at the root of the package, along the path of the data."""


def modules_of(room: str) -> list[str]:
    return [module for module in MODULES if module.split(".")[0] == room]


class Definition(NamedTuple):
    """A class or function: its module, its name with those of its classes, and whether a part of the name is private."""

    module: str
    name: str
    node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    is_private: bool


@cache
def syntax_tree(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


def definitions(module: str) -> Iterator[Definition]:
    """Every class, function and method of a module; functions inside of functions are left out."""
    yield from _definitions(module, syntax_tree(module).body, "", False)


def _definitions(module: str, body: list[ast.stmt], prefix: str, is_private: bool) -> Iterator[Definition]:
    for node in body:
        if isinstance(node, (ast.ClassDef, *FUNCTIONS)):
            private = is_private or (node.name.startswith("_") and not node.name.endswith("__"))
            yield Definition(module, prefix + node.name, node, private)
            if isinstance(node, ast.ClassDef):
                yield from _definitions(module, node.body, f"{prefix}{node.name}.", private)


@cache
def _code_lines(module: str) -> frozenset[int]:
    """The numbers of the lines that hold more than a comment."""
    tokens = tokenize.generate_tokens(io.StringIO(MODULES[module].read_text(encoding="utf-8")).readline)
    return frozenset(n for token in tokens if token.type not in LAYOUT_TOKENS for n in range(token.start[0], token.end[0] + 1))


def code_length(definition: Definition) -> int:
    """The number of lines of a class or function, without blank lines, comments and its docstring."""
    node = definition.node
    lines = set(range(node.lineno, (node.end_lineno or node.lineno) + 1)) & _code_lines(definition.module)
    if ast.get_docstring(node) is not None:
        lines -= set(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    return len(lines)
