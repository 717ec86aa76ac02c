"""The kernels that torch.compile uses: each is one operator that inductor calls and does not look into.

`convolve` and `attention` stand in the module tree. They use an operator where it is faster than inductor's code, and plain
torch elsewhere (docs/kernels.md, torch.compile).
"""

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.library import custom_op

from .attention import MIN_TOKENS, attend, attend_backward
from .convolution import convolve as convolve_eager
from .convolution import convolve_backward, has_faster_form, plain_conv
from .dispatch import under_inductor, use_custom_op
from .grouped_conv import ConvArguments
from .im2col import MAX_CHANNELS

MIN_NUMEL = 2**15  # values of a map above which an operator is faster
MIN_NUMEL_FEW_CHANNELS = 2**12  # the same for convolutions of few channels
MIN_NUMEL_VALUES = 2**13  # the same for the values of attention
MIN_TOKENS_MANY_FEATURES = 64  # smallest number of tokens for an operator where there are at least as many features
MAX_WIDTH = 5  # kernel size up to which a convolution in groups is faster


# ---- Convolution -----------------------------------------------------------------------------------------------------


def convolve(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: Sequence[int], dilation: int, groups: int
) -> Tensor:
    """F.conv1d, F.conv2d or F.conv3d; under torch.compile the package's operator where it is faster."""
    arguments = ConvArguments(stride, tuple(padding), dilation, groups)
    if under_inductor() and _is_faster(x, weight, arguments):
        y: Tensor = _convolve(x.contiguous(), weight, bias, *arguments)
        return y
    return plain_conv(x, weight, bias, arguments)


def _is_faster(x: Tensor, weight: Tensor, arguments: ConvArguments) -> bool:
    """True for large maps in groups of several channels, and for few channels.

    In training few channels always use the operator. If inductor sees one plain convolution, it puts channels last in all
    maps, and statistics over C then take 2.5 times as long.
    """
    few = arguments.groups == 1 and prod(weight.shape[:2]) <= MAX_CHANNELS and prod(weight.shape[2:]) > 1
    grouped = arguments.groups > 1 and weight.shape[1] > 1 and weight.shape[-1] <= MAX_WIDTH
    if not (few or grouped) or not use_custom_op(x, MIN_NUMEL_FEW_CHANNELS if few else MIN_NUMEL):
        return False
    return (few and torch.is_grad_enabled()) or has_faster_form(x, weight, arguments)


@custom_op("sefactory::convolve", mutates_args=())
def _convolve(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: Sequence[int], dilation: int, groups: int
) -> Tensor:
    with torch.no_grad():
        return convolve_eager(x, weight, bias, stride, padding, dilation, groups)


@_convolve.register_fake
def _(x: Tensor, weight: Tensor, bias: Tensor | None, *arguments: Any) -> Tensor:
    return plain_conv(x, weight, bias, ConvArguments(*arguments)).contiguous()


@custom_op("sefactory::convolve_backward", mutates_args=())
def _convolve_backward(
    g: Tensor, x: Tensor, weight: Tensor, stride: int, padding: Sequence[int], dilation: int, groups: int
) -> tuple[Tensor, Tensor, Tensor]:
    with torch.no_grad():
        arguments = ConvArguments(stride, tuple(padding), dilation, groups)
        gradients = convolve_backward(g.contiguous(), x, weight, arguments)
        gx, gw, gb = (t.contiguous() for t in gradients if t is not None)
    return gx, gw, gb


@_convolve_backward.register_fake
def _(g: Tensor, x: Tensor, weight: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty_like(x), weight.new_empty(weight.shape), g.new_empty(g.shape[1])


def _save_convolution(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, weight, bias, *ctx.arguments = inputs
    ctx.save_for_backward(x, weight)
    ctx.has_bias = bias is not None


def _convolution_gradients(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
    gx, gw, gb = _convolve_backward(g, *ctx.saved_tensors, *ctx.arguments)
    return gx, gw, gb if ctx.has_bias else None, None, None, None, None


_convolve.register_autograd(_convolution_gradients, setup_context=_save_convolution)


# ---- Attention -------------------------------------------------------------------------------------------------------


def attention(q_NHDT: Tensor, k_NHDT: Tensor, v_NHET: Tensor, scale: float) -> Tensor | None:
    """y = v softmax_j(scale q^T k)^T by the package's operator; None for few tokens, and outside torch.compile.

    From 384 tokens on, the operator stores the weights of one chunk at a time. It sets subnormal weights to 0, which are common
    where there are more features than tokens.
    """
    if not use_custom_op(v_NHET, MIN_NUMEL_VALUES):  # first: other tracers must not see sizes compared
        return None
    features, tokens = q_NHDT.shape[2:]
    if tokens < MIN_TOKENS and not MIN_TOKENS_MANY_FEATURES <= tokens <= features:
        return None
    y_NHET: Tensor = _attend(q_NHDT, k_NHDT, v_NHET, scale)
    return y_NHET


@custom_op("sefactory::attend", mutates_args=())
def _attend(q_NHDT: Tensor, k_NHDT: Tensor, v_NHET: Tensor, scale: float) -> Tensor:
    with torch.no_grad():
        return attend(q_NHDT, k_NHDT, v_NHET, scale)


@_attend.register_fake
def _(q_NHDT: Tensor, k_NHDT: Tensor, v_NHET: Tensor, scale: float) -> Tensor:
    return v_NHET.new_empty(v_NHET.shape)


@custom_op("sefactory::attend_backward", mutates_args=())
def _attend_backward(
    g_NHET: Tensor, q_NHDT: Tensor, k_NHDT: Tensor, v_NHET: Tensor, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    with torch.no_grad():
        return attend_backward(g_NHET, q_NHDT, k_NHDT, v_NHET, scale)


@_attend_backward.register_fake
def _(g_NHET: Tensor, q_NHDT: Tensor, k_NHDT: Tensor, v_NHET: Tensor, scale: float) -> tuple[Tensor, Tensor, Tensor]:
    return q_NHDT.new_empty(q_NHDT.shape), k_NHDT.new_empty(k_NHDT.shape), v_NHET.new_empty(v_NHET.shape)


def _save_attention(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *qkv, ctx.scale = inputs
    ctx.save_for_backward(*qkv)


def _attention_gradients(ctx: Any, g_NHET: Tensor) -> tuple[Tensor | None, ...]:
    return *_attend_backward(g_NHET, *ctx.saved_tensors, ctx.scale), None


_attend.register_autograd(_attention_gradients, setup_context=_save_attention)
