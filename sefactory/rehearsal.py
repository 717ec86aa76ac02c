"""A block is rehearsed on the meta device, where everything can be refused, before a weight is allocated."""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextvars import ContextVar, Token
from typing import Any, TypeVar

from torch import Tensor, nn

Drawn = TypeVar("Drawn", bound=Tensor)
Draw = Callable[[str | None], Drawn]
"""Makes one tensor, with its values, on a device; None is the one that torch takes by itself."""


class Rehearsal:
    """Inside of `with`, what operators draw lies on the meta device; `perform` then draws it where it belongs.

    `whole` is False where an operator was made that may allocate in other ways: then its block is made a second time.
    """

    def __init__(self) -> None:
        self.whole = True
        self._planned: list[tuple[Tensor, Draw[Tensor]]] = []
        self._tokens: list[Token[Rehearsal | None]] = []

    def __enter__(self) -> "Rehearsal":
        self._tokens.append(_CURRENT.set(self))
        return self

    def __exit__(self, *_: object) -> None:
        _CURRENT.reset(self._tokens.pop())

    def plan(self, draw: Draw[Drawn]) -> Drawn:
        """A tensor on the meta device in place of the one that is drawn later."""
        planned = draw("meta")
        self._planned.append((planned, draw))
        return planned

    def perform(self, node: nn.Module, device: str | None = None) -> None:
        """Draws the tensors in the order in which they were planned, and puts them into the modules of `node`."""
        drawn: dict[int, Any] = {id(planned): draw(device) for planned, draw in self._planned}
        for module in within(node):
            for held in (module._parameters, module._buffers):
                for name, planned in held.items():
                    if planned is not None:
                        held[name] = drawn[id(planned)]


REGISTRIES = (dict, OrderedDict, set, list)
"""What may change in a module of the package: torch's own registries, and lists of numbers."""


def twin(node: nn.Module) -> nn.Module:
    """A tree of modules with registries of its own, whose tensors, numbers, texts and tuples are those of another.

    3 us a module, where making one takes ten times that: torch looks at every attribute that is set.
    """
    copy: nn.Module = object.__new__(type(node))
    state = copy.__dict__
    for name, value in node.__dict__.items():
        state[name] = value.copy() if type(value) in REGISTRIES else value
    for name, child in (children := state["_modules"]).items():
        children[name] = child if child is None else twin(child)
    return copy


def within(node: nn.Module) -> Iterator[nn.Module]:
    """A module and all below it, in no order that matters; torch's own walk takes several times as long."""
    waiting = [node]
    while waiting:
        module = waiting.pop()
        yield module
        waiting += [child for child in module._modules.values() if child is not None]


def size(node: nn.Module) -> int:
    """The number of its parameters, those held twice once."""
    held = (parameter for module in within(node) for parameter in module._parameters.values() if parameter is not None)
    return sum({id(parameter): parameter.numel() for parameter in held}.values())


_CURRENT: ContextVar[Rehearsal | None] = ContextVar("rehearsal", default=None)


def drawn(draw: Draw[Drawn]) -> Drawn:
    """A tensor as `draw` makes it; in a rehearsal one on the meta device, which is drawn later."""
    rehearsal = _CURRENT.get()
    return draw(None) if rehearsal is None else rehearsal.plan(draw)
