"""Makes gates blind to the image, to tell what a block gains by looking from what it gains by its parameters alone."""

from collections.abc import Iterator

from torch import nn

from ..block import Block
from ..operators.containers import Sequential, Unit
from ..operators.elementwise import Affine

STATIC = "static"
"""The name of the step that is added in front of a slot."""


def make_gates_static(model: nn.Module) -> int:
    """Makes each gate of all blocks in a network the same for every image, and returns how many gates there are.

    In each outermost unit, x -> 0 x + 1 is put before the first step of its first slot that has any. The gate then is a
    function of the parameters alone, which stay the same in number, name and value. x itself still reaches `apply`.

    >>> import torch
    >>> from sefactory import build
    >>> block = build("senet", 32)
    >>> make_gates_static(block)
    1
    >>> x, y = torch.randn(2, 1, 32, 7, 7)
    >>> torch.allclose(block(x) / x, block(y) / y)
    True
    """
    count = 0
    for block in [module for module in model.modules() if isinstance(module, Block)]:
        units = dict.fromkeys(_outermost_units(block.node))
        for unit in units:
            _prepend(next(slot for slot in (unit.squeeze, unit.excite, unit.gate) if slot._modules))
        if units and block.lowered is not None:
            block.lower()
        count += len(units)
    return count


def _outermost_units(module: nn.Module) -> Iterator[Unit]:
    """Yields the units that are in no other unit."""
    if isinstance(module, Unit):
        yield module
        return
    for child in module.children():
        yield from _outermost_units(child)


def _prepend(slot: Sequential) -> None:
    """Puts x -> 0 x + 1 before the steps of a slot."""
    steps = dict(slot._modules)
    slot._modules.clear()
    slot.add_module(STATIC, Affine(0, 1))
    slot._modules.update(steps)
