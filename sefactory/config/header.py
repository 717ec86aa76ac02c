"""The header of a config: paper, official, defaults. `let` is read where expressions are."""

from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import short_repr

UNUSED = "unused"


def header_faults(data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What is wrong with the header of a config, by key.

    >>> list(header_faults({"paper": 3}))
    [('paper', '3; paper is a text')]
    """
    if not isinstance(data.get("paper", ""), str):
        yield "paper", f"{short_repr(data['paper'])}; paper is a text"
    if "defaults" in data:
        yield "defaults", "an override cannot set defaults; write them in the file"
    official = data.get("official", {})
    if not isinstance(official, dict):
        yield "official", f"{short_repr(official)}; official is a mapping of sources to maps of keys"
        return
    for source, entries in official.items():
        for key, text in map_faults(entries):
            yield f"official.{source}{key and '.'}{key}", text


def map_faults(entries: Any) -> Iterator[tuple[str, str]]:
    """What is wrong with one map of keys, by key; null removes a map or an entry.

    >>> list(map_faults({"excite.0": 3}))
    [('excite.0', '3; it is a key of theirs, or a list of them')]
    """
    if not isinstance(entries, Mapping | None):
        yield "", f"{short_repr(entries)}; it is a mapping of our keys to theirs"
        return
    for ours, theirs in (entries or {}).items():
        listed = isinstance(theirs, list | tuple) and all(isinstance(name, str) for name in theirs)
        if not (listed or theirs is None or (isinstance(theirs, str) and ours != UNUSED)):
            wanted = "a list of their keys" if ours == UNUSED else "a key of theirs, or a list of them"
            yield str(ours), f"{short_repr(theirs)}; it is {wanted}"
