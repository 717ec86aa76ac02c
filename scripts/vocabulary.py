"""Writes docs/vocabulary.md from scripts/page: prose with markers, and tables generated from the library.

python scripts/vocabulary.py            rewrites it
python scripts/vocabulary.py --check    exit code 1 if it is out of date
"""

import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml
from examples import CHANNELS, build_node, error_message, example, output_size
from markdown_table import markdown_table
from tables import code, default_text, let_text, shipped_operators
from written_pages import write_or_check

import sefactory as sf
from sefactory.config.registry import SLOTS, Operator
from sefactory.config.repository import ConfigRepository

ROOT = Path(__file__).parent.parent
SOURCE, PAGE = ROOT / "scripts" / "page", ROOT / "docs" / "vocabulary.md"


def data(name: str) -> Any:
    """A file of scripts/page."""
    return yaml.safe_load((SOURCE / f"{name}.yaml").read_text(encoding="utf-8"))


RECIPES, FAMILIES, FORMS, TRAPS = data("recipes"), data("operators"), data("forms"), data("traps")


def fuses() -> Iterator[str]:
    """The table of fuses: formula and output size."""
    rows = []
    for name, formula in FORMS["fuses"].items():
        block = build_node({"parallel": {"a": ["relu"], "b": [{"pool": "HW"}]}, "fuse": name})
        rows.append((code(name), code(formula), output_size(block)))
    yield from markdown_table(("fuse", "formula", "output size for 1 x 64 x H x W and 1 x 64 x 1 x 1"), rows)


def applies() -> Iterator[str]:
    """The table of applications with their formulas."""
    yield from markdown_table(
        ("apply", "formula (x is the input, g the gate)"), ((code(n), code(f)) for n, f in FORMS["applies"].items())
    )


def recipes() -> Iterator[str]:
    """Groups of recipes: short ones in a table, long ones as pairs of code blocks."""
    for group in RECIPES:
        yield from (f"### {group['group']}", "", group["text"], "")
        short = [row for row in group["rows"] if "title" not in row]
        if short:
            yield from markdown_table(("PyTorch", "YAML", "output size", "note"), map(_short_recipe, short))
            yield ""
        for row in group["rows"]:
            if "title" in row:
                yield from _long_recipe(row)


def _notes(row: dict[str, Any]) -> list[str]:
    return [text for text in ("fixed grid" if row.get("grid") else "", row.get("note", "")) if text]


def _recipe_size(row: dict[str, Any]) -> str:
    return output_size(build_node(yaml.safe_load(row["yaml"]), grid=row.get("grid", False)))


def _short_recipe(row: dict[str, Any]) -> tuple[str, ...]:
    return code(row["torch"]), code(row["yaml"]), _recipe_size(row), "; ".join(_notes(row))


def _long_recipe(row: dict[str, Any]) -> Iterator[str]:
    yield from (f"**{row['title']}** -> {_recipe_size(row)}", "")
    yield from ("```py", row["torch"].strip(), "```", "", "```yaml", row["yaml"].strip(), "```", "")
    if "keys" in row:
        pairs = (
            f"`{ours}` <- `{', '.join([theirs] if isinstance(theirs, str) else theirs)}`"
            for ours, theirs in row["keys"].items()
        )
        yield from (f"Weights: {'; '.join(pairs)}.", "")
    if "state" in row:
        yield from (f"Weights: `{row['state']}`.", "")
    if notes := _notes(row):
        text = "; ".join(notes)
        yield from (f"{text[0].upper()}{text[1:]}.", "")


def operators() -> Iterator[str]:
    """One section per family of operators."""
    known = {operator.name: operator for operator in shipped_operators()}
    for family in FAMILIES:
        yield from (f"### {family['family']}", "")
        yield from (family["text"], "") if "text" in family else ()
        for entry in family.get("operators", ()):
            yield from _operator(known[entry["name"]], entry)
        if "functions" in family:
            rows = ((code(n), str(inspect.getdoc(known[n].make)), code(f)) for n, f in family["functions"].items())
            yield from markdown_table(("word", "formula", "in torch"), rows)
            yield ""


def _operator(operator: Operator, entry: dict[str, Any]) -> Iterator[str]:
    yield from (f"#### {operator.name}", "", inspect.getdoc(operator.make) or "", "")
    if formula := entry.get("formula") or _formula(operator):
        yield from ("```text", formula.strip(), "```", "")
    meanings = entry["parameters"]
    rows = [
        (code(s.name), "required" if s.required else code(default_text(s)), s.allowed_values, meanings[s.name])
        for s in operator.parameters
    ]
    yield from (*markdown_table(("parameter", "default", "allowed", "meaning"), rows), "")
    yield from (*markdown_table(("example", "input", "output", "state dict"), map(_example, entry["examples"])), "")
    if "errors" in entry:
        yield from (*markdown_table(("error", "input", "message"), map(_error, entry["errors"])), "")
    if "notes" in entry:
        yield from (*(f"- {note}" for note in entry["notes"]), "")


def _formula(operator: Operator) -> str:
    """The docstring of the module class that the operator returns, if it is a class of the package."""
    module = inspect.signature(operator.make).return_annotation
    is_ours = inspect.isclass(module) and module.__module__.startswith("sefactory.")
    return (inspect.getdoc(module) or "") if is_ours else ""


def _in(row: dict[str, Any]) -> str:
    return str(row.get("in", f"1 x {CHANNELS} x H x W"))


def _error(row: dict[str, Any]) -> tuple[str, ...]:
    message = error_message(yaml.safe_load(row["yaml"]), _in(row))
    return code(row["yaml"]), _in(row), message.replace("|", "\\|")


def _example(row: dict[str, Any]) -> tuple[str, ...]:
    out, state = example(yaml.safe_load(row["yaml"]), _in(row))
    tensors = (f"`{key}` {shape}" for key, shape in state.items() if not key.endswith("num_batches_tracked"))
    return code(row["yaml"]), _in(row), out, ", ".join(tensors)


def configs() -> Iterator[str]:
    """Some shipped configs in full."""
    for name in FORMS["whole"]:
        text = (ROOT / "configs" / "block" / f"{name}.yaml").read_text(encoding="utf-8")
        yield from (f"`{name}`", "", "```yaml", text.strip(), "```", "")


def names() -> Iterator[str]:
    """The names of all shipped configs with their `let`."""
    let = {name: let_text(sf.load(name)) for name in sf.configs()}
    entries = (f"`{name}` ({values})" if values else f"`{name}`" for name, values in let.items())
    yield f"{', '.join(entries)}."


def slot_words() -> Iterator[str]:
    """The table of slot words and what each stands for."""
    repository = ConfigRepository()
    rows = []
    for slot in SLOTS:
        for word in repository.list_names(slot):
            file = repository.find(word, slot)
            assert file
            lines = [line for line in file.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
            rows.append((slot, code(word), code(" ".join(lines).removeprefix(f"{slot}: "))))
    yield from markdown_table(("slot", "word", "stands for"), rows)


def traps() -> Iterator[str]:
    """The list of traps."""
    yield from (f"- {entry['trap']}" for entry in TRAPS)


INSERTS: dict[str, Callable[[], Iterator[str]]] = {
    "fuses": fuses,
    "applies": applies,
    "recipes": recipes,
    "operators": operators,
    "configs": configs,
    "names": names,
    "words": slot_words,
    "traps": traps,
}


def page() -> str:
    """The whole page."""
    text = (SOURCE / "page.md").read_text(encoding="utf-8")
    for name, insert in INSERTS.items():
        before, after = text.split(f"<!-- insert: {name} -->")
        text = before + "\n".join(insert()).strip() + after
    return text


if __name__ == "__main__":
    sys.exit(write_or_check({PAGE: page()}))
