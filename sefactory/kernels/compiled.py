"""The same kernels for torch.compile, as operators that it does not look into: its own code for them is slower on a CPU.

Forward and backward, milliseconds, 8 x 128 x 56 x 56, float32, one thread of a Zen 3, what inductor makes of plain torch and
with these: see docs/speed.md. Programs that are exported have none of them.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.library import custom_op

from . import convolution
from .blockwise import EXTREMA, Request, gated, statistics
from .gating import Combine, add_term, gate_gradients
from .gradient import Gated, Parts
from .guard import LARGE, exporting

Needed = tuple[bool, bool, bool]


def wanted(x: Tensor, more_than: int = LARGE) -> bool:
    """A large contiguous float32 map on the CPU while a compiler, and no exporter, is at work."""
    if not torch.compiler.is_dynamo_compiling() or exporting():
        return False
    large = x.device.type == "cpu" and x.dtype == torch.float32 and x.numel() > more_than
    return large and x.is_contiguous() and not torch.is_autocast_enabled("cpu")


# ---- Convolutions ----------------------------------------------------------------------------------------------------


@custom_op("sefactory::convolve", mutates_args=())
def _convolve(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: Sequence[int], dilation: int, groups: int
) -> Tensor:
    with torch.no_grad():
        return convolution.convolve(x, weight, bias, stride, padding, dilation, groups)


@_convolve.register_fake
def _(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: Sequence[int], dilation: int, groups: int
) -> Tensor:
    return convolution.CONVOLUTIONS[x.dim() - 2](x, weight, bias, stride, tuple(padding), dilation, groups).contiguous()


@custom_op("sefactory::convolve_backward", mutates_args=())
def _convolve_backward(
    g: Tensor, x: Tensor, weight: Tensor, stride: int, padding: Sequence[int], dilation: int, groups: int
) -> tuple[Tensor, Tensor, Tensor]:
    with torch.no_grad():
        found = convolution.convolve_backward(g.contiguous(), x, weight, stride, padding, dilation, groups, (True, True, True))
        gx, gw, gb = (t.contiguous() for t in found if t is not None)
    return gx, gw, gb


@_convolve_backward.register_fake
def _(
    g: Tensor, x: Tensor, weight: Tensor, stride: int, padding: Sequence[int], dilation: int, groups: int
) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty_like(x), weight.new_empty(weight.shape), g.new_empty(g.shape[1])


def _keep_convolution(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, weight, bias, *ctx.given = inputs
    ctx.save_for_backward(x, weight)
    ctx.biased = bias is not None


def _convolution_gradients(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
    gx, gw, gb = _convolve_backward(g, *ctx.saved_tensors, *ctx.given)
    return gx, gw, gb if ctx.biased else None, None, None, None, None


_convolve.register_autograd(_convolution_gradients, setup_context=_keep_convolution)


def convolve(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: Sequence[int], dilation: int, groups: int
) -> Tensor:
    """`convolution.convolve` as one operator."""
    y: Tensor = _convolve(x, weight, bias, stride, list(padding), dilation, groups)
    return y


# ---- Statistics ------------------------------------------------------------------------------------------------------


def _text(requests: Sequence[Request]) -> str:
    return ";".join(f"{name}:{','.join(map(str, dims))}" for name, dims in requests)


def _requests(text: str) -> list[Request]:
    """
    >>> _requests(_text([("mean", (2, 3)), ("max", (1,))]))
    [('mean', (2, 3)), ('max', (1,))]
    """
    pairs = (part.split(":") for part in text.split(";"))
    return [(name, tuple(map(int, dims.split(",")))) for name, dims in pairs]


@custom_op("sefactory::squeeze", mutates_args=())
def _squeeze(x: Tensor, requests: str) -> list[Tensor]:
    with torch.no_grad():
        return [y.contiguous() for y in statistics(x, _requests(requests))]


@_squeeze.register_fake
def _(x: Tensor, requests: str) -> list[Tensor]:
    shapes = ([1 if i in dims else n for i, n in enumerate(x.shape)] for _, dims in _requests(requests))
    return [x.new_empty(shape) for shape in shapes]


@custom_op("sefactory::squeeze_backward", mutates_args=())
def _squeeze_backward(x: Tensor, found: Sequence[Tensor], d_found: Sequence[Tensor], requests: str) -> Tensor:
    parts = Parts(x.shape)
    with torch.no_grad():
        for request, y, d in zip(_requests(requests), found, d_found, strict=True):
            add_term(parts, request, d.contiguous(), x, None, y if request[0] in EXTREMA else None)
        gx = parts.written(None)
    return torch.zeros_like(x) if gx is None else gx


@_squeeze_backward.register_fake
def _(x: Tensor, found: Sequence[Tensor], d_found: Sequence[Tensor], requests: str) -> Tensor:
    return torch.empty_like(x)


def _keep_statistics(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    x, ctx.requests = inputs
    ctx.save_for_backward(x, *output)


def _statistics_gradient(ctx: Any, grads: list[Tensor | None]) -> tuple[Tensor, None]:
    x, *found = ctx.saved_tensors
    given = [torch.zeros_like(y) if d is None else d for d, y in zip(grads, found, strict=True)]
    gx: Tensor = _squeeze_backward(x, found, given, ctx.requests)
    return gx, None


_squeeze.register_autograd(_statistics_gradient, setup_context=_keep_statistics)


def squeeze(x: Tensor, requests: Sequence[Request]) -> list[Tensor]:
    """The statistics of `gating.squeezed` as one operator."""
    found: list[Tensor] = _squeeze(x, _text(requests))
    return found


# ---- Gates -----------------------------------------------------------------------------------------------------------


@custom_op("sefactory::apply_gates", mutates_args=())
def _apply(x: Tensor, gates: Sequence[Tensor], combine: str) -> Tensor:
    with torch.no_grad():
        return gated(x, gates, combine)[0]


@_apply.register_fake
def _(x: Tensor, gates: Sequence[Tensor], combine: str) -> Tensor:
    return torch.empty_like(x)


@custom_op("sefactory::apply_gates_backward", mutates_args=())
def _apply_backward(g: Tensor, x: Tensor, gates: Sequence[Tensor], combine: str) -> list[Tensor]:
    with torch.no_grad():
        given = Gated(g.contiguous(), tuple(gates), combine)
        gx = Parts(g.shape).written(given)
        found = gate_gradients(given, x, [True] * len(gates))
    return [t.contiguous() for t in (gx, *found) if t is not None]


@_apply_backward.register_fake
def _(g: Tensor, x: Tensor, gates: Sequence[Tensor], combine: str) -> list[Tensor]:
    return [torch.empty_like(x), *(gate.new_empty(gate.shape) for gate in gates)]


def _keep_gates(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, gates, ctx.combine = inputs
    ctx.save_for_backward(x, *gates)


def _gates_gradients(ctx: Any, g: Tensor) -> tuple[Tensor, list[Tensor], None]:
    x, *gates = ctx.saved_tensors
    gx, *found = _apply_backward(g, x, gates, ctx.combine)
    return gx, found, None


_apply.register_autograd(_gates_gradients, setup_context=_keep_gates)


def apply_gates(x: Tensor, gates: Sequence[Tensor], combine: Combine) -> Tensor:
    """`gating.applied` as one operator."""
    y: Tensor = _apply(x, list(gates), combine)
    return y
