"""Mutants of the recorded cases: configs with one error, and a key map that still finds every weight."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import sefactory as sf
from tests.papers.recorded_cases import CASES

from .changes import Change, changes, transposed
from .tree import Widths, edited, module_path, spelled_out


@dataclass(frozen=True)
class Mutant:
    """A config that is wrong in one thing: of which case, of which kind, where, what was there and what is now."""

    case: str
    kind: str
    path: str
    was: str
    now: str
    config: Any = field(repr=False, compare=False)

    @property
    def label(self) -> str:
        """Where and what; the lists of known survivors match it."""
        return f"{self.path}: {self.was} -> {self.now}"


def original(case: str, channels: int) -> tuple[Any, Widths]:
    """The resolved config of a case in one spelling, with a key map that names every tensor; its widths."""
    given = CASES[case]
    block = sf.build(given.config, channels, overrides=given.overrides)
    widths = {part.path: part.sizes[0].number("C") for part in block.parts}
    keys = _tensor_by_tensor(block, block.config["official"][given.source])
    return spelled_out(block.config, widths) | {"official": {given.source: keys}}, widths


@cache
def mutants(case: str, channels: int) -> tuple[Mutant, ...]:
    """Every mutant of a recorded case, in the order of its config; no two are the same config."""
    config, widths = original(case, channels)
    found = {repr(config): Mutant(case, "", "", "", "", config)}
    for change in [*transposed(config), *changes(config, widths)]:
        wrong = _changed(config, change, CASES[case].source)
        path = module_path(change.path) or "the root"
        found.setdefault(repr(wrong), Mutant(case, change.kind, path, _shown(change.was), _shown(change.now), wrong))
    return tuple(found.values())[1:]


def _changed(config: Any, change: Change, source: str) -> Any:
    keys = _moved(config["official"][source], change.moved)
    return edited(config, change.edits) | {"official": {source: keys}}


def _tensor_by_tensor(block: sf.Block, mapping: Mapping[str, Any]) -> dict[str, Any]:
    """The key map with an entry for each tensor, so that each can move."""
    full = {"unused": mapping["unused"]} if "unused" in mapping else {}
    for key in block.state_dict():
        entry = max((e for e in mapping if key == e or key.startswith(f"{e}.")), key=len)
        theirs = mapping[entry] if isinstance(mapping[entry], list) else [mapping[entry]]
        full[key] = [name + key[len(entry) :] for name in theirs]
    return full


def _moved(keys: Mapping[str, Any], moved: Mapping[str, list[str]]) -> dict[str, Any]:
    """The key map after modules have moved, one of them to several places where they share it.

    >>> _moved({"excite.0.weight": "w"}, {"excite.0": ["excite.1"]})
    {'excite.1.weight': 'w'}
    """
    found = dict[str, Any]()
    for key, theirs in keys.items():
        old = next((prefix for prefix in moved if key.startswith(f"{prefix}.")), key)
        found |= {new + key[len(old) :]: theirs for new in moved.get(old, [old])}
    return found


def _shown(value: Any) -> str:
    """A value in a label."""
    return "none" if value is None else '""' if value == "" else str(value).replace("'", "")
