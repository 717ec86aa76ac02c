"""What a whole network costs, without running it."""

from collections.abc import Sequence

import torch
from torch import nn
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode

from ..bench.summary import eval_mode
from .selectors import on_meta


def parameters(model: nn.Module) -> int:
    """The number of its parameters."""
    return sum(parameter.numel() for parameter in model.parameters())


def macs(model: nn.Module, shape: Sequence[int]) -> int:
    """Multiply-adds of one forward of a map of this shape: convolutions and matrix products, counted on the meta device."""
    x = torch.empty(tuple(shape), device="meta", dtype=next((p.dtype for p in model.parameters()), None))
    with eval_mode(model), torch.no_grad(), FlopCounterMode(display=False) as counter:
        functional_call(model, on_meta(model), (x,))
    return int(counter.get_total_flops()) // 2
