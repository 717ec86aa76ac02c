"""A config as modules on the meta device: rehearsed once, and recalled as long as everything that it rests on is as it was.

A network asks for the same block at many places. Reading its nodes and making its modules takes several times as long as
a copy of the modules.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import torch
from torch import nn

from .axes import Sizes
from .block import Part
from .errors import ConfigError
from .expression import Value
from .grammar import Grammar, Library
from .maker import Maker
from .nodes import Config, Node
from .plain import copied
from .registry import Operator, registered
from .rehearsal import Rehearsal, twin

MOST_KEPT = 64
"""Rehearsals; one takes 50 to 200 kB."""
LONGEST_KEPT = 10_000
"""Characters of a config, as JSON, that is kept for the next time."""

Said = tuple[str, str, str] | None
"""A config in text: its label, its folder, its data."""


def _said(config: Config | None) -> Said:
    return None if config is None else (config.label, str(config.folder), json.dumps(config.data))


class Asked:
    """A library that notes what it was asked and what it said: a tree of nodes rests on that, and on nothing else of it."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._answers: dict[tuple[str, Path | None], tuple[Config, Said]] = {}
        self.certain = True
        """Whether it answered every time; a file at fault is told where it is used."""

    def get(self, name: str, near: Config) -> Config | None:
        """As the library."""
        self.certain, before = False, self.certain
        found = self._library.get(name, near)
        self.certain = before
        if (name, near.folder) not in self._answers:
            self._answers[name, near.folder] = near, _said(found)
        return found

    def names(self, near: Config) -> list[str]:
        """As the library; only a fault asks for them."""
        return self._library.names(near)

    def agrees(self, library: Library) -> bool:
        """Whether another library says the same to the same questions."""
        try:
            return all(_said(library.get(name, near)) == said for (name, _), (near, said) in self._answers.items())
        except ConfigError:
            return False


@dataclass(frozen=True)
class Made:
    """The modules of a config, the sizes behind them, and what the block tells of them."""

    node: nn.Module
    out: Sizes
    parts: tuple[Part, ...]
    let: Mapping[str, Mapping[str, Value]]


@dataclass(frozen=True)
class Rehearsed:
    """What was made on the meta device, of what, and how its tensors are drawn."""

    root: Node
    sizes: Sizes
    made: Made
    rehearsal: Rehearsal
    asked: Asked
    operators: tuple[Operator, ...]

    @property
    def lasting(self) -> bool:
        """Whether it may be kept: an operator of a user is called at every build, and a file at fault may be mended."""
        return self.rehearsal.whole and self.asked.certain

    def stands(self, library: Library) -> bool:
        """Whether it would be the same again: the same operators, and the same files behind every name."""
        return self.operators == registered() and self.asked.agrees(library)

    def performed(self) -> Made:
        """The modules themselves, with their weights on the device that torch takes by itself."""
        if torch.get_default_device().type == "meta":
            return self.made
        if not self.rehearsal.whole:
            return _made(Maker([]), self.root, self.sizes)
        self.rehearsal.perform(self.made.node)
        return self.made

    def performed_again(self) -> Made:
        """The same of a copy: it can be asked for as often as one likes."""
        node = twin(self.made.node)
        self.rehearsal.perform(node, "meta" if torch.get_default_device().type == "meta" else None)
        return replace(self.made, node=node, let={path: dict(names) for path, names in self.made.let.items()})


@dataclass
class Slot:
    """Where a rehearsal is kept from the second build on: a search over variants never comes back to one."""

    seen: bool = False
    kept: Rehearsed | None = None


@lru_cache(maxsize=MOST_KEPT)
def _slot(config: Said, sizes: Sizes, dtype: torch.dtype) -> Slot:
    """That of a config, by what it says, so that an edit is always seen; and of a dtype, which holds some numbers only."""
    return Slot()


def forget() -> None:
    """Lets go of all that is kept."""
    _slot.cache_clear()


def made(config: Config, library: Library, sizes: Sizes) -> Made:
    """The modules of a config for some sizes, with weights. Raises ConfigError with every fault found, before one is drawn."""
    said = _said(config)
    slot = _slot(said, sizes, torch.get_default_dtype()) if said and len(said[-1]) <= LONGEST_KEPT else Slot()
    kept = slot.kept
    if kept is not None and kept.stands(library):
        return kept.performed_again()
    again, slot.seen = slot.seen, True
    if not again:
        return _rehearsed(config, Asked(library), sizes).performed()
    # what is kept holds data of its own: those of a block are its owner's to change
    found = _rehearsed(replace(config, data=copied(config.data)), Asked(library), sizes)
    if not found.lasting:
        return found.performed()
    slot.kept = found
    return found.performed_again()


def _rehearsed(config: Config, asked: Asked, sizes: Sizes) -> Rehearsed:
    operators = registered()
    grammar = Grammar(asked, sizes.axes[1:])
    root = grammar.read(config)
    if grammar.overflows:
        raise ConfigError(dict.fromkeys(grammar.faults))
    with Rehearsal() as rehearsal:  # everything is checked before a weight is allocated
        found = _made(Maker(grammar.faults, rehearsal), root, sizes)
    return Rehearsed(root, sizes, found, rehearsal, asked, operators)


def _made(maker: Maker, root: Node, sizes: Sizes) -> Made:
    module, out = maker.root(root, sizes)
    if module is None or out is None or maker.faults:
        raise ConfigError(dict.fromkeys(maker.faults) or [(str(root.place), "rests on a number that is not known")])
    return Made(module, out, tuple(maker.parts), maker.let)
