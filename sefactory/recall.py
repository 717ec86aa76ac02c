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
from .rehearsal import Rehearsal

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
    """What was made on the meta device, what of, and how its tensors are drawn."""

    root: Node
    sizes: Sizes
    made: Made
    rehearsal: Rehearsal
    asked: Asked
    operators: tuple[Operator, ...]

    def stands(self, library: Library) -> bool:
        """Whether it would be the same again: the same operators, and the same files behind every name."""
        return self.operators == registered() and self.asked.agrees(library)

    def performed(self) -> Made:
        """The modules with their weights, on the device that torch takes by itself."""
        meta = torch.get_default_device().type == "meta"
        if self.rehearsal.whole:
            drawn = self.rehearsal.perform(self.made.node, "meta" if meta else None)
            return replace(self.made, node=drawn, let={path: dict(names) for path, names in self.made.let.items()})
        return self.made if meta else _made(Maker([]), self.root, self.sizes)


def rehearsed(config: Config, library: Library, sizes: Sizes) -> Rehearsed:
    """A config for some sizes on the meta device. Raises ConfigError with every fault found."""
    said = _said(config)
    kept = _kept(said, sizes, torch.get_default_dtype()) if said and len(said[-1]) <= LONGEST_KEPT else []
    if kept and kept[0].stands(library):
        return kept[0]
    made = _rehearsed(config, Asked(library), sizes)
    if made.rehearsal.whole and made.asked.certain:
        kept[:] = [made]
    return made


@lru_cache(maxsize=MOST_KEPT)
def _kept(config: Said, sizes: Sizes, dtype: torch.dtype) -> list[Rehearsed]:
    """Where the rehearsal of a config is kept: by what it says, so that an edit is always seen; some numbers need a dtype."""
    return []


def _rehearsed(config: Config, asked: Asked, sizes: Sizes) -> Rehearsed:
    operators = registered()
    grammar = Grammar(asked, sizes.axes[1:])
    root = grammar.read(replace(config, data=copied(config.data)))  # that of the block is its owner's to change
    if grammar.overflows:
        raise ConfigError(dict.fromkeys(grammar.faults))
    with Rehearsal() as rehearsal:  # everything is checked before a weight is allocated
        made = _made(Maker(grammar.faults, rehearsal), root, sizes)
    return Rehearsed(root, sizes, made, rehearsal, asked, operators)


def _made(maker: Maker, root: Node, sizes: Sizes) -> Made:
    module, out = maker.root(root, sizes)
    if module is None or out is None or maker.faults:
        raise ConfigError(dict.fromkeys(maker.faults) or [(str(root.place), "rests on a number that is not known")])
    return Made(module, out, tuple(maker.parts), maker.let)
