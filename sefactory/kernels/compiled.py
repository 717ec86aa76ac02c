"""Convolutions for torch.compile, as one operator that it does not look into. Programs that are exported have none of it."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.library import custom_op

from . import convolution
from .guard import fused


def wanted(x: Tensor, more_than: int) -> bool:
    """A contiguous float32 map on the CPU while a compiler, and no exporter, is at work."""
    if not fused():
        return False
    large = x.device.type == "cpu" and x.dtype == torch.float32 and x.numel() > more_than
    return large and x.is_contiguous() and not torch.is_autocast_enabled("cpu")


def apart(x: Tensor) -> Tensor:
    """A map by way of five dimensions: for a compiler a map of its own, which it may lay with channels last for a convolution.

    It would else lay it so for all that read it: an unfold and a 1x1 convolution of one map took 1760 ms with backward, now
    1200. And of the block's own map it would keep the original for backward, and copy it once more.
    """
    return x.unsqueeze(1).squeeze(1) if x.dim() == 4 and fused() else x


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
