"""Writes docs/api.md: the signature and docstring of each name in `sefactory.__all__`.

python scripts/api.py            rewrites the page
python scripts/api.py --check    exit code 1 if it is out of date
"""

import inspect
import re
import sys
from pathlib import Path
from typing import Any

from torch import nn
from written_pages import write_or_check

import sefactory as sf

PAGE = Path(__file__).parent.parent / "docs" / "api.md"
HEAD = """\
# Python API

Everything that `import sefactory as sf` offers. Written by scripts/api.py from the signatures and docstrings.

"""
GROUPS = {
    "Blocks": ("build", "load", "Block", "freeze", "load_official", "configs"),
    "Networks": ("insert", "remove", "check", "fold", "recipe", "save", "restore", "layer", "place", "host", "macs"),
    "Training": ("train",),
    "Operators": ("operator", "operators", "Sizes"),
    "Errors": ("ConfigError",),
}
MODULE = re.compile(r"\b(?:sefactory|torch|collections|pathlib|typing)(?:\.\w+)*\.(?=[A-Z~])")
EXAMPLE = re.compile(r"^>>> .*?(?=\n\n|\Z)", flags=re.DOTALL | re.MULTILINE)


def signature(name: str, thing: Any) -> str:
    """`name(parameters) -> result` without the modules of its types, one parameter a line where it is long."""
    if inspect.isclass(thing) and issubclass(thing, nn.Module):
        return f"{name}(nn.Module)"
    parameters = MODULE.sub("", str(inspect.signature(thing))).replace("'", '"')
    text = f"{name}{parameters}"
    if len(text) <= 100:
        return text
    inside, result = parameters.removeprefix("(").rsplit(") -> ", 1)
    lines = re.split(r", (?=\w+: |\*, |/, )", inside)
    return "\n".join([f"{name}(", *(f"    {line}," for line in lines), f") -> {result}"])


def entry(name: str) -> str:
    """The section of one name."""
    thing = getattr(sf, name)
    text = EXAMPLE.sub(lambda match: f"```pycon\n{match[0].rstrip()}\n```", inspect.getdoc(thing) or "")
    methods = [method(name, part, value) for part, value in vars(thing).items()] if inspect.isclass(thing) else []
    kind = "class " if inspect.isclass(thing) else ""
    head = f"### {name}\n\n```text\n{kind}{signature(name, thing)}\n```\n\n{text}\n"
    return "\n".join([head, *filter(None, methods), ""])


def method(owner: str, name: str, value: Any) -> str:
    """One line for a public method or property that has a docstring."""
    function = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
    text = inspect.getdoc(function) if inspect.isfunction(function) else None
    if name.startswith("_") or name in ("forward", "train", "extra_repr") or not text:
        return ""
    call = "" if isinstance(value, property) else f"({', '.join(list(inspect.signature(function).parameters)[1:])})"
    first = " ".join(text.partition("\n\n")[0].splitlines())
    return f"- `{owner}.{name}{call}`: {first}"


def page() -> str:
    """The whole page. ValueError if a public name is in no group, or in several."""
    listed = [name for names in GROUPS.values() for name in names]
    if sorted(listed) != sorted(sf.__all__):
        raise ValueError(f"GROUPS and sefactory.__all__ differ in {set(listed) ^ set(sf.__all__)}")
    sections = [f"## {group}\n\n" + "\n".join(map(entry, names)) for group, names in GROUPS.items()]
    return HEAD + re.sub(r"\n{3,}", "\n\n", "\n".join(sections)).rstrip() + "\n"


if __name__ == "__main__":
    sys.exit(write_or_check({PAGE: page()}))
