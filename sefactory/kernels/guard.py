"""Where the hand-written paths may stand in for plain torch."""

import torch
from torch import Tensor, nn

LARGE = 256 * 1024
"""Values from which a hand-written backward pays for its Python: below, plain autograd is faster (1.15 against 0.95)."""

KINDS = (torch.float32, torch.float64)


def eligible(x: Tensor) -> bool:
    """A large contiguous map of float32 or float64 on the CPU, seen by nothing but eager autograd.

    Asked in every forward: the size first, 60 ns where it is small, 1 us in all. Compilers and exporters see through
    plain operators better; functorch and forward mode cannot pass an autograd.Function; subclasses have their own rules.
    """
    return x.numel() > LARGE and _suits(x) and not _watched()


def _suits(x: Tensor) -> bool:
    kind = type(x) is Tensor or type(x) is nn.Parameter
    return kind and x.device.type == "cpu" and x.dtype in KINDS and x.is_contiguous()


def _watched() -> bool:
    """Whether somebody else interprets the operators."""
    return bool(
        torch.compiler.is_compiling()
        or torch._C._are_functorch_transforms_active()
        or torch.autograd.forward_ad._current_level >= 0
        or torch.is_autocast_enabled("cpu")
        or torch._C._get_tracing_state() is not None
    )
