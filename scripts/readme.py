"""Writes the tables of README.md: operators from their signatures, configs from their files.

python scripts/readme.py            rewrites them
python scripts/readme.py --check    exit code 1 where one is out of date
"""

import sys
from pathlib import Path
from typing import Any

import sefactory as sf
from sefactory.config.registry import Operator, find_operator
from sefactory.config.schema import Schema

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"


def shipped() -> list[Operator]:
    """The operators of the package, without those a user registered."""
    found = [find_operator(name) for name in sf.operators()]
    return [operator for operator in found if operator and operator.make.__module__.startswith("sefactory.")]


def operator_table() -> str:
    """One row an operator: name, parameters with their defaults, what it does."""
    rows = ["| operator | parameters | |", "| --- | --- | --- |"]
    for operator in shipped():
        parameters = ", ".join(s.name if s.required else f"{s.name}={default(s)}" for s in operator.parameters)
        text = (operator.make.__doc__ or "").splitlines()[0].replace("|", "\\|")
        rows.append(f"| `{operator.name}` | {f'`{parameters}`' if parameters else ''} | {text} |")
    return "\n".join(rows)


def default(schema: Schema) -> str:
    """A default as YAML has it."""
    if schema.default is None:
        return "none"
    value = '""' if schema.default == "" else schema.default
    return str(value).lower() if isinstance(value, bool) else str(value)


def config_table() -> str:
    """One row a config: name, parameters at C = 256, names of its let, paper."""
    rows = ["| block | parameters at C = 256 | `let` | paper |", "| --- | ---: | --- | --- |"]
    for name in sf.configs():
        config = sf.load(name)
        count = sum(p.numel() for p in sf.build(name, 256).parameters())
        let = names(config)
        rows.append(f"| `{name}` | {count:,} | {f'`{let}`' if let else ''} | {config.get('paper', '')} |")
    return "\n".join(rows)


def names(config: Any) -> str:
    """The names of a let: numbers, switches and expressions as YAML has them, nodes by their name alone."""

    def told(value: Any) -> str:
        if isinstance(value, dict | list):
            return "a node"
        return str(value).lower() if isinstance(value, bool) else str(value)

    return ", ".join(f"{key}: {told(value)}" for key, value in config.get("let", {}).items())


def written(text: str) -> str:
    """The text with its tables made anew between their markers."""
    for name, table in (("operators", operator_table()), ("configs", config_table())):
        start, end = f"<!-- {name}: scripts/readme.py -->", f"<!-- end of {name} -->"
        before, rest = text.split(start)
        text = f"{before}{start}\n{table}\n{end}{rest.split(end)[1]}"
    return text


def main() -> int:
    old = README.read_text(encoding="utf-8")
    if "--check" in sys.argv:
        return int(old != written(old))
    README.write_text(written(old), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
