"""What autocast does to a tensor, and how to compute without it where half types would overflow."""

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

Found = TypeVar("Found")
HALF = (torch.float16, torch.bfloat16)


def is_autocast_enabled(x: Tensor) -> bool:
    """Whether autocast is on for the device of a tensor; some devices (meta) have none."""
    device = x.device.type
    return torch.amp.autocast_mode.is_autocast_available(device) and torch.is_autocast_enabled(device)


def in_float32(compute: Callable[..., Found], first: Tensor, *others: Any) -> Found:
    """compute(first, *others) with autocast off and half types taken to float32."""
    full = [t.float() if isinstance(t, Tensor) and t.dtype in HALF else t for t in (first, *others)]
    if is_autocast_enabled(first):
        with torch.autocast(first.device.type, enabled=False):
            return compute(*full)
    return compute(*full)


def sum_keepdim(x: Tensor, dims: tuple[int, ...]) -> Tensor:
    """The sum over some axes, which stay with size 1; of half types in float32, since float16 ends at 65504."""
    return x.sum(dims, keepdim=True, dtype=torch.float32 if x.dtype in HALF else None)
