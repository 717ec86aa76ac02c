"""Checks the header of a config: paper, official, defaults. The parser checks `let`."""

from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import short_repr

UNUSED = "unused"


def header_faults(data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yields (path, message) for each fault in the header of a config.

    >>> list(header_faults({"paper": 3}))
    [('paper', '3; allowed: text')]
    """
    if not isinstance(data.get("paper", ""), str):
        yield "paper", f"{short_repr(data['paper'])}; allowed: text"
    if "defaults" in data:
        yield "defaults", "an override cannot set defaults; write them in the file"
    official = data.get("official", {})
    if not isinstance(official, dict):
        yield "official", f"{short_repr(official)}; allowed: a mapping from sources to key maps"
        return
    for source, key_map in official.items():
        for key, text in key_map_faults(key_map):
            yield f"official.{source}{key and '.'}{key}", text


def key_map_faults(key_map: Any) -> Iterator[tuple[str, str]]:
    """Yields (key, message) for each fault in a map from keys of the block to keys of an official state dict.

    A null removes the map or an entry.

    >>> list(key_map_faults({"excite.0": 3}))
    [('excite.0', '3; allowed: an official key, or a list of them')]
    """
    if not isinstance(key_map, Mapping | None):
        yield "", f"{short_repr(key_map)}; allowed: a mapping from keys of the block to official keys"
        return
    for ours, theirs in (key_map or {}).items():
        is_list = isinstance(theirs, list | tuple) and all(isinstance(key, str) for key in theirs)
        if not (is_list or theirs is None or (isinstance(theirs, str) and ours != UNUSED)):
            allowed = "a list of official keys" if ours == UNUSED else "an official key, or a list of them"
            yield str(ours), f"{short_repr(theirs)}; allowed: {allowed}"
