"""Kernels for torch.compile, each as one operator that it does not look into. Programs that are exported have none of them."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.library import custom_op

from . import attention, convolution
from .dispatch import fused, transformed


def wanted(x: Tensor, more_than: int) -> bool:
    """A large float32 map on the CPU while a compiler, and no exporter, is at work, and no transform of functions."""
    if not fused() or transformed():
        return False
    return x.device.type == "cpu" and x.dtype == torch.float32 and x.numel() > more_than


def apart(x: Tensor) -> Tensor:
    """A map by way of five dimensions: for a compiler a map of its own, which it may lay with channels last for a convolution.

    It would else lay it so for all that read it: an unfold and a 1x1 convolution of one map took 1760 ms with backward, now
    1200. And of the block's own map it would keep the original for backward, and copy it once more.
    """
    return x.unsqueeze(1).squeeze(1) if x.dim() == 4 and fused() else x


# ---- Convolution -----------------------------------------------------------------------------------------------------


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


# ---- Attention -------------------------------------------------------------------------------------------------------


@custom_op("sefactory::attend", mutates_args=())
def _attend(q_NHDT: Tensor, k_NHDT: Tensor, v_NHET: Tensor, scale: float) -> Tensor:
    with torch.no_grad():
        return attention.attended(q_NHDT, k_NHDT, v_NHET, scale)


@_attend.register_fake
def _(q_NHDT: Tensor, k_NHDT: Tensor, v_NHET: Tensor, scale: float) -> Tensor:
    return v_NHET.new_empty(v_NHET.shape)


@custom_op("sefactory::attend_backward", mutates_args=())
def _attend_backward(
    g_NHET: Tensor, q_NHDT: Tensor, k_NHDT: Tensor, v_NHET: Tensor, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    with torch.no_grad():
        return attention.attended_backward(g_NHET, q_NHDT, k_NHDT, v_NHET, scale)


@_attend_backward.register_fake
def _(g_NHET: Tensor, q_NHDT: Tensor, k_NHDT: Tensor, v_NHET: Tensor, scale: float) -> tuple[Tensor, Tensor, Tensor]:
    return q_NHDT.new_empty(q_NHDT.shape), k_NHDT.new_empty(k_NHDT.shape), v_NHET.new_empty(v_NHET.shape)


def _keep_attention(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *qkv, ctx.scale = inputs
    ctx.save_for_backward(*qkv)


def _attention_gradients(ctx: Any, g_NHET: Tensor) -> tuple[Tensor | None, ...]:
    return *_attend_backward(g_NHET, *ctx.saved_tensors, ctx.scale), None


_attend.register_autograd(_attention_gradients, setup_context=_keep_attention)


def attended(q_NHDT: Tensor, k_NHDT: Tensor, v_NHET: Tensor, scale: float) -> Tensor:
    """`attention.attended` as one operator: a compiler makes T x T weights. T = 3136: 550 -> 230 ms, trained 1190 -> 760."""
    y_NHET: Tensor = _attend(q_NHDT, k_NHDT, v_NHET, scale)
    return y_NHET


@custom_op("sefactory::attend_channels", mutates_args=())
def _attend_channels(x_NCT: Tensor, gain: Tensor | None, scale: float, identity: float) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        return attention.channel_mixed(x_NCT, gain, scale, identity)


@_attend_channels.register_fake
def _(x_NCT: Tensor, gain: Tensor | None, scale: float, identity: float) -> tuple[Tensor, Tensor]:
    return x_NCT.new_empty(x_NCT.shape), x_NCT.new_empty((*x_NCT.shape[:2], x_NCT.shape[1]))


@custom_op("sefactory::attend_channels_backward", mutates_args=())
def _attend_channels_backward(
    g_NCT: Tensor, x_NCT: Tensor, a_NCC: Tensor, gain: Tensor | None, scale: float, identity: float
) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        return attention.channel_mixed_backward(g_NCT, x_NCT, a_NCC, gain, scale, identity)


@_attend_channels_backward.register_fake
def _(g_NCT: Tensor, x_NCT: Tensor, a_NCC: Tensor, gain: Tensor | None, scale: float, identity: float) -> tuple[Tensor, Tensor]:
    return x_NCT.new_empty(x_NCT.shape), x_NCT.new_empty(())


def _keep_channels(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    x_NCT, gain, *ctx.given = inputs
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(x_NCT, output[1], gain)


def _channels_gradients(ctx: Any, g_NCT: Tensor, _: object) -> tuple[Tensor | None, ...]:
    x_NCT, a_NCC, gain = ctx.saved_tensors
    gx_NCT, of_gain = _attend_channels_backward(g_NCT, x_NCT, a_NCC, gain, *ctx.given)
    return gx_NCT, None if gain is None else of_gain, None, None


_attend_channels.register_autograd(_channels_gradients, setup_context=_keep_channels)


def channel_attended(x_NCT: Tensor, scale: float, identity: float, gain: Tensor | None) -> Tensor:
    """`attention.channel_attended` as one operator: (8, 128, 784) with backward 32 -> 21 ms."""
    y_NCT: Tensor = _attend_channels(x_NCT, gain, scale, identity)[0]
    return y_NCT
