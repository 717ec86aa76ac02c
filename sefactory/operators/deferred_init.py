"""A block is rehearsed on the meta device, where everything can be refused, before a weight is allocated."""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar, Token
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ..shapes import Sizes

Drawn = TypeVar("Drawn", bound=Tensor)
Draw = Callable[[torch.device | None], Drawn]
"""Makes one tensor, with its values, on a device; None is the one that torch takes by itself."""
META = torch.device("meta")
Plan = tuple[Tensor, Draw[Tensor]]
"""A tensor on the meta device and how the one in its place is drawn."""


class DeferredInit:
    """Inside of `with`, what operators draw lies on the meta device; `perform` then draws it where it belongs.

    `whole` is False where an operator was made that may allocate in other ways: then its block is made a second time.
    """

    def __init__(self) -> None:
        self.whole = True
        self._planned: list[Plan] = []
        self._made: dict[tuple[object, ...], tuple[nn.Module, list[Plan]]] = {}
        self._tokens: list[Token[DeferredInit | None]] = []

    def __enter__(self) -> "DeferredInit":
        self._tokens.append(_CURRENT.set(self))
        return self

    def __exit__(self, *_: object) -> None:
        _CURRENT.reset(self._tokens.pop())
        self._made.clear()  # a rehearsal may be kept, and nothing more is made in it

    def plan(self, draw: Draw[Drawn]) -> Drawn:
        """A tensor on the meta device in place of the one that is drawn later."""
        planned = draw(META)
        self._planned.append((planned, draw))
        return planned

    def made(self, make: Callable[..., nn.Module], sizes: Sizes, arguments: Mapping[str, Any]) -> nn.Module:
        """The module of an operator of the package; the second of the same sizes and arguments is a copy of the first.

        A copy takes a fifth of the time, and has tensors of its own, which are drawn in its turn.
        """
        key = (make, sizes, sizes.stacked_at, repr(arguments))  # in text, where True is not 1
        if (found := self._made.get(key)) is None:
            begin = len(self._planned)
            module = make(sizes, **arguments)
            self._made[key] = module, self._planned[begin:]
            return module
        first, plans = found
        copy = clone(first)
        _put({id(planned): self.plan(draw) for planned, draw in plans}, copy)
        return copy

    def perform(self, node: nn.Module, device: torch.device | None = None) -> None:
        """Draws the tensors in the order in which they were planned, and puts them into the modules of `node`."""
        _put({id(planned): draw(device) for planned, draw in self._planned}, node)


def _put(others: Mapping[int, Any], node: nn.Module) -> None:
    """Puts others in place of all tensors of a tree, by the identity of those that are there."""
    for module in iter_modules(node):
        for held in (module._parameters, module._buffers):
            for name, tensor in held.items():
                if tensor is not None:
                    held[name] = others[id(tensor)]


REGISTRIES = (dict, OrderedDict, set, list)
"""What may change in a module of the package: torch's own registries, and lists of numbers."""


def clone(node: nn.Module) -> nn.Module:
    """A tree of modules with registries of its own, whose tensors, numbers, texts and tuples are those of another.

    3 us a module, where making one takes ten times that: torch looks at every attribute that is set.
    """
    copy: nn.Module = object.__new__(type(node))
    state = copy.__dict__
    for name, value in node.__dict__.items():
        state[name] = value.copy() if type(value) in REGISTRIES else value
    for name, child in (children := state["_modules"]).items():
        children[name] = child if child is None else clone(child)
    return copy


def iter_modules(node: nn.Module) -> Iterator[nn.Module]:
    """A module and all below it, in no order that matters; torch's own walk takes several times as long."""
    waiting = [node]
    while waiting:
        module = waiting.pop()
        yield module
        waiting += [child for child in module._modules.values() if child is not None]


def count_parameters(node: nn.Module) -> int:
    """The number of its parameters, those held twice once."""
    held = (parameter for module in iter_modules(node) for parameter in module._parameters.values() if parameter is not None)
    return sum({id(parameter): parameter.numel() for parameter in held}.values())


_CURRENT: ContextVar[DeferredInit | None] = ContextVar("rehearsal", default=None)


def init_parameter(draw: Draw[Drawn]) -> Drawn:
    """A tensor as `draw` makes it; in a rehearsal one on the meta device, which is drawn later."""
    rehearsal = _CURRENT.get()
    return draw(None) if rehearsal is None else rehearsal.plan(draw)
