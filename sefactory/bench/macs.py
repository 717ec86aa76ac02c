"""Multiply-adds of a network with blocks."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..block import Block
from ..errors import ConfigError, first_line
from .dry_run import dry_run, first_dry_run


def macs(model: nn.Module, *inputs: Any) -> int:
    """The multiply-adds of model(*inputs) in eval mode, from a dry run that computes shapes alone where the model can.

    - Outside of blocks: half of what torch's FlopCounterMode counts for convolutions, matrix products and attention.
    - Inside of blocks: the number that `sefactory show` prints, for the size of map that each call gets.
    - Every weight of a kernel counts, at the borders too. Norms, activations, pooling and elementwise operations do not.

    The model is not changed. Raises ConfigError if it does not run on the inputs.

    >>> import sefactory as sf
    >>> network = nn.Sequential(nn.Conv2d(3, 64, 1, bias=False), sf.build("senet", 64))
    >>> sf.macs(network, torch.empty(1, 3, 8, 8)), sf.macs(network[1], torch.empty(1, 64, 8, 8))
    (12800, 512)
    """
    if not any(isinstance(value, Tensor) for value in torch.utils._pytree.tree_leaves(inputs)):
        raise ConfigError(
            [("inputs", "no tensor is given; pass what the network takes: sf.macs(model, torch.empty(1, 3, 224, 224))")]
        )
    try:
        return first_dry_run(model, lambda is_meta, with_own_hooks: _Count(model).run(inputs, is_meta, with_own_hooks))
    except Exception as error:
        raise ConfigError([("inputs", f"the network does not run on them: {first_line(error)}")]) from error


class _Count:
    """Counts one run: what torch counts in all, what it counts inside of blocks, and what the blocks say themselves."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._blocks = [module for module in model.modules() if isinstance(module, Block)]
        self._inside = {module for block in self._blocks for module in block.node.modules()}
        self._starts: list[int] = []
        self._in_blocks = self._torch_in_blocks = 0

    def run(self, inputs: tuple[Any, ...], is_meta: bool, with_own_hooks: bool) -> int:
        """The multiply-adds of one dry run."""
        from torch.utils.flop_counter import FlopCounterMode  # imports triton if it is installed

        self._counter = FlopCounterMode(display=False)
        handles = [block.register_forward_pre_hook(self._enter) for block in self._blocks]
        try:
            with self._counter:
                dry_run(self._model, inputs, recorder=self._record, is_meta=is_meta, with_own_hooks=with_own_hooks)
        finally:
            for handle in handles:
                handle.remove()
        return self._counted() - self._torch_in_blocks + self._in_blocks

    def _counted(self) -> int:
        return int(self._counter.get_total_flops()) // 2

    def _enter(self, block: nn.Module, args: tuple[Any, ...]) -> None:
        self._starts.append(self._counted())

    def _record(self, module: nn.Module, args: tuple[Any, ...], _: Mapping[str, Any], y: Any) -> None:
        if isinstance(module, Block):
            self._torch_in_blocks += self._counted() - self._starts.pop()
        elif module in self._inside and callable(count := getattr(module, "macs", None)):
            self._in_blocks += int(count(args[0], y))
