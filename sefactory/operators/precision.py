"""Autocast, and computing in float32 where half precision would overflow."""

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

Result = TypeVar("Result")
HALF = (torch.float16, torch.bfloat16)


def is_autocast_enabled(x: Tensor) -> bool:
    """True if autocast is on for the device of a tensor; a device without autocast, such as meta, gives False."""
    device = x.device.type
    return torch.amp.autocast_mode.is_autocast_available(device) and torch.is_autocast_enabled(device)


def in_float32(compute: Callable[..., Result], x: Tensor, *others: Any) -> Result:
    """Returns compute(x, *others) with autocast off and half-precision tensors cast to float32."""
    arguments = [t.float() if isinstance(t, Tensor) and t.dtype in HALF else t for t in (x, *others)]
    if is_autocast_enabled(x):
        with torch.autocast(x.device.type, enabled=False):
            return compute(*arguments)
    return compute(*arguments)


def sum_keepdim(x: Tensor, dims: tuple[int, ...]) -> Tensor:
    """Returns the sum over some dimensions, kept at size 1; of half precision in float32, since float16 ends at 65504."""
    return x.sum(dims, keepdim=True, dtype=torch.float32 if x.dtype in HALF else None)
