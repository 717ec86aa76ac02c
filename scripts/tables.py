"""Writes docs/operators.md and docs/blocks.md: the operators from their signatures, the configs from their files.

python scripts/tables.py            rewrites both pages
python scripts/tables.py --check    exit code 1 if one of them is out of date
"""

import sys
from pathlib import Path
from typing import Any

from markdown_table import markdown_table
from written_pages import write_or_check

import sefactory as sf
from sefactory.config.registry import Operator, find_operator
from sefactory.config.schema import Schema

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"

OPERATORS = """\
# Operators

The parameters of all operators, with their defaults. [The vocabulary](vocabulary.md#operators) has the formulas, the sizes
and examples. Written by scripts/tables.py from the signatures and docstrings of the package.
"""
BLOCKS = """\
# Shipped blocks

All configs of `configs/block`. `sefactory show block=NAME` prints a block with its sizes and costs; the parameters under
`let` are changed by an override, `let.r=8`, or by a reference, `{senet: {r: 8}}`. Every config has been built and run in
the ways that [deployment.md](deployment.md) lists. Written by scripts/tables.py from the files.
"""


def shipped_operators() -> list[Operator]:
    """Returns the operators of the package, without those that a user registered."""
    operators = [find_operator(name) for name in sf.operators()]
    return [operator for operator in operators if operator and operator.make.__module__.startswith("sefactory.")]


def operator_table() -> list[str]:
    """One row per operator: name, parameters with their defaults, what it does."""
    rows = []
    for operator in shipped_operators():
        parameters = ", ".join(s.name if s.required else f"{s.name}={default_text(s)}" for s in operator.parameters)
        text = (operator.make.__doc__ or "").splitlines()[0].replace("|", "\\|")
        rows.append((code(operator.name), code(parameters), text))
    return markdown_table(("operator", "parameters", "what it does"), rows)


def code(text: str) -> str:
    """Code in a cell of a table; an empty cell for an empty text."""
    return f"`{text.strip()}`".replace("|", "\\|") if text else ""


def default_text(schema: Schema) -> str:
    """The default of a parameter, written as in YAML."""
    if schema.default is None:
        return "none"
    value = '""' if schema.default == "" else schema.default
    return str(value).lower() if isinstance(value, bool) else str(value)


def config_table() -> list[str]:
    """One row per config: name, parameters at C = 256, names of its `let`, paper."""
    rows = []
    for name in sf.configs():
        config = sf.load(name)
        count = sum(p.numel() for p in sf.build(name, 256).parameters())
        rows.append((code(name), f"{count:,}", code(let_text(config)), config.get("paper", "")))
    return markdown_table(("block", "parameters at C = 256", "`let`", "paper"), rows)


def let_text(config: Any) -> str:
    """The variables of a config's `let` with their values as in YAML; a variable that holds a node is named alone."""

    def value_text(value: Any) -> str:
        if isinstance(value, dict | list):
            return "a node"
        return str(value).lower() if isinstance(value, bool) else str(value)

    return ", ".join(f"{key}: {value_text(value)}" for key, value in config.get("let", {}).items())


def pages() -> dict[Path, str]:
    """The text of each page."""
    return {
        DOCS / "operators.md": "\n".join([OPERATORS, *operator_table(), ""]),
        DOCS / "blocks.md": "\n".join([BLOCKS, *config_table(), ""]),
    }


if __name__ == "__main__":
    sys.exit(write_or_check(pages()))
