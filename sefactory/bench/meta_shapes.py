"""Shapes of common functions on the meta device, without torch's decompositions, which take most of such a run."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

ACTIVATIONS: frozenset[Callable[..., Any]] = frozenset(
    (functional.gelu, functional.hardswish, functional.hardsigmoid, functional.relu, functional.relu6, functional.elu)
    + (functional.leaky_relu, functional.mish, functional.hardtanh, functional.silu, functional.sigmoid, torch.relu)
    + (torch.sigmoid, Tensor.sigmoid, Tensor.relu)
)
ARITHMETIC: frozenset[Callable[..., Any]] = frozenset(
    (torch.add, torch.sub, torch.mul, Tensor.add, Tensor.sub, Tensor.mul, Tensor.add_, Tensor.sub_, Tensor.mul_)
)
MEANS: frozenset[Callable[..., Any]] = frozenset((torch.mean, Tensor.mean))
RECURRENT: frozenset[Callable[..., Any]] = frozenset((torch.lstm, torch.gru, torch.rnn_tanh, torch.rnn_relu))
"""They take (x, state, weights, has_biases, layers, dropout, training, bidirectional, batch_first)."""


class MetaShapes(TorchFunctionMode):
    """While it is active, norms, activations, arithmetic and recurrent layers of meta tensors return tensors at once.

    The shapes, dtypes and memory formats are those of torch.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if args and isinstance(x := args[0], Tensor) and x.is_meta and x.is_floating_point():
            if func in ACTIVATIONS or _is_norm_that_fits(func, x, args, kwargs):
                if func is functional.layer_norm and not x.is_contiguous():
                    return torch.empty(x.shape, dtype=x.dtype, device="meta")  # as in torch
                return x if kwargs.get("inplace") else x.detach()
            if func in MEANS and (shape := _mean_shape(x, *args[1:], **kwargs)) is not None:
                return torch.empty(shape, dtype=x.dtype, device="meta")
            if func in ARITHMETIC and len(args) == 2 and not kwargs:
                if _fits(args[1], x):
                    return x.detach()
                if not func.__name__.endswith("_") and isinstance(args[1], Tensor) and _fits(x, args[1]):
                    return args[1].detach()
            if func in RECURRENT and isinstance(args[2], list):  # a packed sequence has other arguments
                return _recurrent(x, args[1], is_bidirectional=args[7])
        return func(*args, **kwargs)


def _mean_shape(x: Tensor, dim: Any = None, keepdim: bool = False, **others: Any) -> list[int] | None:
    """The shape of a mean over some dimensions; None for other arguments.

    torch's own mean of meta tensors imports its compiler, which takes a second.
    """
    dims = list(range(x.dim())) if dim is None else list(dim) if isinstance(dim, list | tuple) else [dim]
    if others or not dims or not all(isinstance(d, int) and -x.dim() <= d < x.dim() for d in dims):
        return None
    over = {d % x.dim() for d in dims}
    if len(over) < len(dims):
        return None
    return [1 if d in over else n for d, n in enumerate(x.shape) if keepdim or d not in over]


def _recurrent(x: Tensor, state: Tensor | tuple[Tensor, Tensor], is_bidirectional: bool) -> tuple[Tensor, ...]:
    """The output of a recurrent layer, which has the width of its state in each direction, and the state."""
    states = (state,) if isinstance(state, Tensor) else state
    width = states[0].shape[-1] * (2 if is_bidirectional else 1)
    return (torch.empty((*x.shape[:-1], width), dtype=x.dtype, device="meta"), *states)


def _is_norm_that_fits(func: Callable[..., Any], x: Tensor, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    """True for a norm whose weights fit the input. Others raise an error."""
    if func is functional.batch_norm:
        tensors = [*args[1:3], *(kwargs.get(name) for name in ("weight", "bias"))]
        return x.dim() > 1 and not kwargs.get("training", False) and all(t is None or t.shape == x.shape[1:2] for t in tensors)
    return func is functional.layer_norm and len(args) > 1 and tuple(args[1]) == tuple(x.shape[x.dim() - len(args[1]) :])


def _fits(y: Any, x: Tensor) -> bool:
    """True for a number, and for a tensor of the same dtype that is broadcast to the shape of x."""
    if isinstance(y, int | float):
        return True
    if not isinstance(y, Tensor) or not y.is_meta or y.dtype != x.dtype or y.dim() > x.dim():
        return False
    return all(n in (1, m) for n, m in zip(reversed(y.shape), reversed(x.shape), strict=False))
