"""A forward on the meta device, which computes shapes alone, and the size of a module: parameters and multiply-adds."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode


def meta_forward(module: nn.Module, x: Tensor) -> Any:
    """The output for x on the meta device, in eval mode without gradients. The module itself does not change."""
    tensors = [*module.named_parameters(), *module.named_buffers()]
    state = {name: torch.empty_like(tensor, device="meta") for name, tensor in tensors}
    with eval_mode(module), torch.no_grad():
        return functional_call(module, state, (x.to("meta"),))


@contextmanager
def eval_mode(module: nn.Module) -> Iterator[None]:
    """Sets eval mode, and restores the mode of every module at the end."""
    modes = [(child, child.training) for child in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for child, mode in modes:
            child.training = mode


def parameters(model: nn.Module) -> int:
    """The number of parameters."""
    return sum(parameter.numel() for parameter in model.parameters())


def macs(model: nn.Module, shape: Sequence[int]) -> int:
    """Multiply-adds of one forward pass for an input of this shape: convolutions and matrix products, on the meta device."""
    x = torch.empty(tuple(shape), device="meta", dtype=next((p.dtype for p in model.parameters()), None))
    with FlopCounterMode(display=False) as counter:
        meta_forward(model, x)
    return int(counter.get_total_flops()) // 2
