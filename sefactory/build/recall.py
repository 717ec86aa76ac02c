"""What a build finds out is kept for the next: the nodes of a config, and its modules on the meta device for some sizes.

A network asks for one config at a few widths and many places. Nodes are read once, modules are made for each width, and the
rest are copies. What is kept is used as long as everything that it rests on is as it was.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import torch
from torch import nn

from ..block import NodeInfo
from ..config.expressions import Value
from ..config.parser import ConfigLookup, Parser
from ..config.registry import Operator, registered_operators
from ..config.syntax_tree import CacheKey, Config, Node
from ..errors import ConfigError
from ..operators.deferred_init import META, DeferredInit, clone
from ..shapes import Sizes
from .builder import ModuleBuilder

MOST_KEPT = 64
"""Configs, and rehearsals; one takes 50 to 200 kB."""
LONGEST_KEPT = 10_000
"""Characters of a config, as JSON, that is kept for the next time."""


def _answer(found: Config | None) -> CacheKey | None:
    return None if found is None else found.cache_key


class Asked:
    """A library that notes what it was asked and what it said: a tree of nodes rests on that, and on nothing else of it."""

    def __init__(self, library: ConfigLookup) -> None:
        self._library = library
        self._answers: dict[tuple[str, Path | None], tuple[Config, CacheKey | None]] = {}
        self.certain = True
        """Whether it answered every time; a file at fault is told where it is used, and may be mended."""

    def get(self, name: str, near: Config) -> Config | None:
        """As the library."""
        try:
            found = self._library.get(name, near)
        except ConfigError:
            self.certain = False
            raise
        if (name, near.folder) not in self._answers:
            self._answers[name, near.folder] = near, _answer(found)
        return found

    def names(self, near: Config) -> list[str]:
        """As the library; only a fault asks for them."""
        return self._library.names(near)

    def agrees(self, library: ConfigLookup) -> bool:
        """Whether another library says the same to the same questions."""
        try:
            return all(_answer(library.get(name, near)) == said for (name, _), (near, said) in self._answers.items())
        except ConfigError:
            return False


@dataclass(frozen=True)
class Reading:
    """The nodes of a config, the faults, and what they rest on: the operators that there are, what files are behind names."""

    root: Node
    faults: tuple[tuple[str, str], ...]
    operators: tuple[Operator, ...]
    asked: Asked

    def stands(self, library: ConfigLookup) -> bool:
        """Whether the nodes would be the same again."""
        return self.operators == registered_operators() and self.asked.agrees(library)


@dataclass(frozen=True)
class Made:
    """The modules of a config, the sizes behind them, and what the block tells of them."""

    node: nn.Module
    out: Sizes
    parts: tuple[NodeInfo, ...]
    let: Mapping[str, Mapping[str, Value]]


@dataclass(frozen=True)
class Rehearsed:
    """What was made of a reading on the meta device, and how its tensors are drawn."""

    reading: Reading
    sizes: Sizes
    made: Made
    rehearsal: DeferredInit

    def performed(self) -> Made:
        """The modules themselves, with their weights on the device that torch takes by itself."""
        if torch.get_default_device().type == "meta":
            return self.made
        if not self.rehearsal.whole:
            return _made(ModuleBuilder([]), self.reading.root, self.sizes)
        self.rehearsal.perform(self.made.node)
        return self.made

    def performed_again(self) -> Made:
        """The same of a copy: it can be asked for as often as one likes."""
        node = clone(self.made.node)
        self.rehearsal.perform(node, META if torch.get_default_device().type == "meta" else None)
        return replace(self.made, node=node, let={path: dict(names) for path, names in self.made.let.items()})


@dataclass
class Slot:
    """Where something is kept from the second time on: a search over variants never comes back to one."""

    seen: bool = False
    reading: Reading | None = None
    rehearsed: Rehearsed | None = None

    def met(self) -> bool:
        """Whether it was here before."""
        before, self.seen = self.seen, True
        return before


@lru_cache(maxsize=MOST_KEPT)
def _of_config(config: CacheKey, axes: str) -> Slot:
    return Slot()


@lru_cache(maxsize=MOST_KEPT)
def _of_sizes(config: CacheKey, sizes: Sizes, dtype: torch.dtype) -> Slot:
    """Some numbers are beyond some dtypes."""
    return Slot()


def forget() -> None:
    """Lets go of all that is kept."""
    _of_config.cache_clear()
    _of_sizes.cache_clear()


def made(config: Config, library: ConfigLookup, sizes: Sizes) -> Made:
    """The modules of a config for some sizes, with weights. Raises ConfigError with every fault found, before one is drawn."""
    said = config.cache_key
    if len(said[-1]) > LONGEST_KEPT:
        return _rehearsed(_reading(config, library, sizes.axes), sizes).performed()
    reading = _read(config, said, library, sizes.axes)
    slot = _of_sizes(said, sizes, torch.get_default_dtype())
    if slot.rehearsed is not None and slot.rehearsed.reading is reading:
        return slot.rehearsed.performed_again()
    again, found = slot.met(), _rehearsed(reading, sizes)
    if not (again and found.rehearsal.whole):  # an operator of a user is called at every build
        return found.performed()
    slot.rehearsed = found
    return found.performed_again()


def _read(config: Config, said: CacheKey, library: ConfigLookup, axes: str) -> Reading:
    """The reading that is kept, or a new one."""
    slot = _of_config(said, axes)
    if slot.reading is not None and slot.reading.stands(library):
        return slot.reading
    if not slot.met():
        return _reading(config, library, axes)
    reading = _reading(config, library, axes)
    slot.reading = reading if reading.asked.certain and not reading.faults else None
    return reading


def _reading(config: Config, library: ConfigLookup, axes: str) -> Reading:
    asked, operators = Asked(library), registered_operators()
    grammar = Parser(asked, axes[1:])
    root = grammar.read(config)
    if grammar.overflows:
        raise ConfigError(dict.fromkeys(grammar.faults))
    return Reading(root, tuple(grammar.faults), operators, asked)


def _rehearsed(reading: Reading, sizes: Sizes) -> Rehearsed:
    with DeferredInit() as rehearsal:  # everything is checked before a weight is allocated
        found = _made(ModuleBuilder([*reading.faults], rehearsal), reading.root, sizes)
    return Rehearsed(reading, sizes, found, rehearsal)


def _made(maker: ModuleBuilder, root: Node, sizes: Sizes) -> Made:
    module, out = maker.root(root, sizes)
    if module is None or out is None or maker.faults:
        raise ConfigError(dict.fromkeys(maker.faults) or [(str(root.location), "rests on a number that is not known")])
    return Made(module, out, tuple(maker.parts), maker.let)
