"""Paths in plain data: the elements of mappings and lists, and the units with slots."""

from typing import Any

from .registry import SLOTS

KeyPath = tuple[str, ...]


def children(data: Any) -> dict[str, Any]:
    """Returns the elements of a mapping by name, or of a list by number; none for other data."""
    if isinstance(data, list):
        return {str(i): item for i, item in enumerate(data)}
    return data if isinstance(data, dict) else {}


def unit_paths(data: Any, path: KeyPath = ()) -> list[KeyPath]:
    """Returns the paths of the units below a node; a node that is a unit itself has none.

    >>> unit_paths({"series": {"channel": {"gate": ["sigmoid"]}}})
    [('series', 'channel')]
    """
    if isinstance(data, dict) and any(key in data for key in SLOTS):
        return [path] if path else []
    return [unit for key, item in children(data).items() for unit in unit_paths(item, (*path, key))]
