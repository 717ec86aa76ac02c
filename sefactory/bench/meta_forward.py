"""A forward on the meta device: shapes without computation."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call


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
