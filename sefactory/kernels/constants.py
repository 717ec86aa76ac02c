"""Constant tensors that are computed once, such as the matrix of a pooling."""

from collections.abc import Callable
from functools import _lru_cache_wrapper, lru_cache, wraps
from typing import TypeVar

import torch
from torch.utils._python_dispatch import _disable_current_modes

Constants = TypeVar("Constants")


def cached_constants(size: int) -> Callable[[Callable[..., Constants]], "_lru_cache_wrapper[Constants]"]:
    """Makes a function keep the tensors of its last `size` calls. They are on the CPU, unless it names another device.

    They are computed outside inference mode, dispatch modes such as FakeTensorMode, and default devices, because later calls
    may run without these.
    """

    def decorate(function: Callable[..., Constants]) -> "_lru_cache_wrapper[Constants]":
        @lru_cache(size)
        @wraps(function)
        def compute(*arguments: object) -> Constants:
            with torch.inference_mode(False), _disable_current_modes(), torch.device("cpu"):
                return function(*arguments)

        return compute

    return decorate
