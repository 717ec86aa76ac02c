"""Arithmetic of shapes that every exporter takes. Under torch.jit.trace a size is a tensor of the graph."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..kernels.dispatch import is_jit_tracing


def unflatten(x: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    """Returns torch.unflatten(x, dim, sizes), for dim >= 0.

    Under torch.jit.trace it is a reshape: the ONNX exporter that uses it (dynamo=False) takes the other sizes of an unflatten
    to be those of the example.
    """
    if is_jit_tracing():
        return x.reshape(*x.shape[:dim], *sizes, *x.shape[dim + 1 :])
    return torch.unflatten(x, dim, sizes)


def at_least_one(size: int) -> int:
    """Returns max(size, 1); a symbolic size stays symbolic, and a traced one a tensor."""
    at_least: int = size.clamp(min=1) if isinstance(size, Tensor) else torch.sym_max(size, 1)
    return at_least
