"""Writes the tables of README.md: operators from their signatures, configs from their files.

python scripts/readme.py            rewrites README.md
python scripts/readme.py --check    exit code 1 where it is out of date
"""

import sys
from pathlib import Path

import sefactory as sf
from sefactory.registry import find
from sefactory.schema import Schema

README = Path(__file__).parent.parent / "README.md"


def operator_table() -> str:
    """One row an operator: name, parameters with their defaults, what it does."""
    rows = ["| operator | parameters | |", "| --- | --- | --- |"]
    for name in sf.operators():
        found = find(name)
        if found is None or not found.make.__module__.startswith("sefactory."):
            continue
        parameters = ", ".join(_parameter(schema) for schema in found.parameters)
        text = (found.make.__doc__ or "").splitlines()[0].replace("|", "\\|")
        rows.append(f"| `{name}` | {f'`{parameters}`' if parameters else ''} | {text} |")
    return "\n".join(rows)


def _parameter(schema: Schema) -> str:
    if schema.required:
        return schema.name
    default = '""' if schema.default == "" else "none" if schema.default is None else schema.default
    return f"{schema.name}={str(default).lower() if isinstance(default, bool) else default}"


def config_table() -> str:
    """One row a config: name, parameters at C = 256, names of its let, paper."""
    rows = ["| block | parameters at C = 256 | `let` | paper |", "| --- | ---: | --- | --- |"]
    for name in sf.configs():
        config = sf.load(name)
        count = sum(p.numel() for p in sf.build(name, 256).parameters())
        let = ", ".join(f"{key}: {value}" for key, value in config.get("let", {}).items())
        rows.append(f"| `{name}` | {count:,} | {f'`{let}`' if let else ''} | {config.get('paper', '')} |")
    return "\n".join(rows)


def written(text: str) -> str:
    """The text with its tables made anew between their markers."""
    for name, table in (("operators", operator_table()), ("configs", config_table())):
        start, end = f"<!-- {name}: scripts/readme.py -->", f"<!-- end of {name} -->"
        before, rest = text.split(start)
        text = f"{before}{start}\n{table}\n{end}{rest.split(end)[1]}"
    return text


def main() -> int:
    text = README.read_text(encoding="utf-8")
    new = written(text)
    if "--check" in sys.argv:
        return int(new != text)
    README.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
