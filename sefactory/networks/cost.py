"""The cost of a whole network, counted without running it."""

from collections.abc import Sequence

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ..bench.meta_forward import meta_forward


def parameters(model: nn.Module) -> int:
    """The number of parameters."""
    return sum(parameter.numel() for parameter in model.parameters())


def macs(model: nn.Module, shape: Sequence[int]) -> int:
    """Multiply-adds of one forward pass for an input of this shape: convolutions and matrix products, on the meta device."""
    x = torch.empty(tuple(shape), device="meta", dtype=next((p.dtype for p in model.parameters()), None))
    with FlopCounterMode(display=False) as counter:
        meta_forward(model, x)
    return int(counter.get_total_flops()) // 2
