"""A resolved config in canonical form, the paths of its parts, and edits of them."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import sefactory as sf
from sefactory.config.registry import HEADER_KEYS, SLOTS, find_operator

Path = tuple[str | int, ...]
Widths = Mapping[str, int]
"""The channels that come into the node at a module path."""
NAMED = ("parallel", "own")
FORM_KEYS = (*SLOTS, "shared", "series", *NAMED, "fuse", "apply")


def module_path(path: Path) -> str:
    """A path of the YAML as the path of the module."""
    return ".".join(map(str, path))


def parts(node: Mapping[str, Any]) -> Iterator[tuple[Path, Any]]:
    """The nodes right below a unit, a series or a parallel, with their paths from it."""
    for key in (*SLOTS, "shared", "series", *NAMED):
        held = node.get(key, ())
        items = held.items() if isinstance(held, dict) else enumerate(held)
        yield from (((key, name), item) for name, item in items)


def spelled_out(node: Any, widths: Widths, path: Path = (), c: int | None = None) -> Any:
    """The node with every operator as {name: {parameter: value}} and every config that it names in the place of the name.

    `c` is the width of the map that an inlined config is for: its expressions cannot say C any more.
    """
    if isinstance(node, str):
        return _named(node, None, widths, path, c)
    if isinstance(node, list):
        return [spelled_out(step, widths, (*path, i), c) for i, step in enumerate(node)]
    if not any(key in node for key in FORM_KEYS):
        ((name, given),) = ((key, value) for key, value in node.items() if key not in HEADER_KEYS)
        return {key: node[key] for key in HEADER_KEYS if key in node} | _named(name, given, widths, path, c)
    written = {**node, "let": {name: _of_width(value, c) for name, value in node["let"].items()}} if "let" in node else node
    return edited(written, {at: spelled_out(below, widths, (*path, *at), c) for at, below in parts(node)})


def _named(name: str, given: Any, widths: Widths, path: Path, c: int | None) -> Any:
    """An operator with its parameters by name, or the config of that name."""
    operator = find_operator(name)
    if operator is not None:
        numbers = {schema.name for schema in operator.parameters if schema.number_type}
        arguments = operator.arguments(given)
        return {name: {key: _of_width(value, c) if key in numbers else value for key, value in arguments.items()}}
    inner = {key: value for key, value in sf.load(name).items() if key not in ("paper", "official")}
    inner["let"] = inner.get("let", {}) | (given or {})
    return spelled_out(inner, widths, path, widths[module_path(path)])


def _of_width(value: Any, c: int | None) -> Any:
    return re.sub(r"\bC\b", str(c), value) if c is not None and isinstance(value, str) else value


def edited(node: Any, edits: Mapping[Path, Any]) -> Any:
    """A copy with other values at some paths.

    >>> edited({"gate": ["relu", "tanh"], "let": {}}, {("gate", 1): "sigmoid"})
    {'gate': ['relu', 'sigmoid'], 'let': {}}
    """
    if () in edits:
        return edits[()]
    if not isinstance(node, dict | list):
        return node
    items = node.items() if isinstance(node, dict) else enumerate(node)
    below: dict[Any, dict[Path, Any]] = {key: {} for key, _ in items}
    for path, value in edits.items():
        below.setdefault(path[0], {})[path[1:]] = value
    made = {key: edited(node[key] if _has(node, key) else {}, inner) for key, inner in below.items()}
    return made if isinstance(node, dict) else [made[i] for i in range(len(made))]


def _has(node: Any, key: Any) -> bool:
    return key in node if isinstance(node, dict) else key < len(node)
