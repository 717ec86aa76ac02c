"""Autocast, and computing in float32 where half precision would overflow."""

import math
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

from .traced_shapes import at_least_one

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


def centred_variance(x: Tensor, dims: tuple[int, ...], unbiased: bool) -> Tensor:
    """Returns sum x^2 / (n - 1), or / n if biased, over `dims`, kept at size 1, for x with mean 0. It is 0 for n = 1."""
    total = x.square().sum(dims, keepdim=True)
    return total / at_least_one(math.prod([x.shape[dim] for dim in dims]) - int(unbiased))


def without_half(x: Tensor) -> Tensor:
    """Returns x in float32 if it is of a half type: squares above 65504 overflow in float16."""
    return x.float() if x.dtype in HALF else x
