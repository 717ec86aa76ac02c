"""Attention among many tokens in a small buffer, and among channels as one product (docs/kernels.md, attention).

N: batch, H: heads, T: tokens, D: features of q and k, E: features of v, R: rows of a chunk, C: channels as tokens.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from .dispatch import cpu_fast_path

MIN_TOKENS = 384  # below, one batched product for all heads is as fast, and its weights are small
MIN_ROWS, ROW_MULTIPLE = 64, 32  # rows of a chunk: matrix products of a multiple of 32 rows are faster
CHUNK_SCORES = 1 << 19  # attention scores of a chunk: 2 MB in float32
MIN_WEIGHTS = 1 << 15  # attention weights above which another pass over them is cheap

Gradients = tuple[Tensor, Tensor, Tensor]


def attend(q_NHDT: Tensor, k_NHDT: Tensor, v_NHET: Tensor, scale: float) -> Tensor:
    """y = v softmax_j(scale q^T k)^T, with the weights of one chunk of the queries of one head at a time.

    q, k: (N, H, D, T); v: (N, H, E, T) -> (N, H, E, T). No tensor of T x T is stored, nor saved for the backward, which
    computes the scores again. The weights of a chunk take 2 MB. Few tokens (under 384) are one batched product.
    """
    if q_NHDT.shape[-1] < MIN_TOKENS:
        return v_NHET @ flush_subnormals(_weights(q_NHDT, k_NHDT, scale)).transpose(-2, -1)
    return _attend(q_NHDT, k_NHDT, v_NHET, scale)


def _chunk_rows(tokens: int) -> int:
    return max(MIN_ROWS, CHUNK_SCORES // tokens // ROW_MULTIPLE * ROW_MULTIPLE)


def _weights(q_NHDT: Tensor, k_NHDT: Tensor, scale: float) -> Tensor:
    return ((scale * q_NHDT).transpose(-2, -1) @ k_NHDT).softmax(-1)


class _Attend(Function):
    """Per chunk a = softmax(q^T k), y = v a^T; in the backward also gv = g a, ge = a (ga - sum a ga), ga = g^T v."""

    @staticmethod
    def forward(ctx: Any, q_NHDT: Tensor, k_NHDT: Tensor, v_NHET: Tensor, scale: float) -> Tensor:
        ctx.save_for_backward(q_NHDT, k_NHDT, v_NHET)
        ctx.scale = scale
        chunk = _chunk_rows(q_NHDT.shape[-1])
        y_NHET = v_NHET.new_empty(v_NHET.shape)
        scaled = scale * q_NHDT
        heads = zip(*(t.flatten(0, 1) for t in (scaled, k_NHDT, v_NHET, y_NHET)), strict=True)
        weights = q_NHDT.new_empty(min(chunk, q_NHDT.shape[-1]), q_NHDT.shape[-1])
        for q, k, v, y in heads:
            for q_rows, y_rows in zip(q.split(chunk, 1), y.split(chunk, 1), strict=True):
                _write_chunk(q_rows, k, v, weights[: q_rows.shape[1]], y_rows)
        return y_NHET

    @staticmethod
    def backward(ctx: Any, g_NHET: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        q_NHDT, k_NHDT, v_NHET = ctx.saved_tensors
        gradients = _differentiable_gradients if torch.is_grad_enabled() else attend_backward
        return *gradients(g_NHET, q_NHDT, k_NHDT, v_NHET, ctx.scale), None


_attend: Callable[..., Tensor] = _Attend.apply


def _write_chunk(q_DR: Tensor, k_DT: Tensor, v_ET: Tensor, buffer_RT: Tensor, y_ER: Tensor) -> None:
    """y = v softmax(q^T k)^T."""
    torch.mm(q_DR.t(), k_DT, out=buffer_RT)
    torch.mm(v_ET, flush_subnormals_(torch.softmax(buffer_RT, -1, out=buffer_RT)).t(), out=y_ER)


def flush_subnormals_(t: Tensor) -> Tensor:
    """Sets subnormal numbers to 0, in place: many processors are up to 100 times slower with them."""
    return torch.ops.aten.hardshrink.out(t, torch.finfo(t.dtype).tiny, out=t)  # type: ignore[no-any-return]


def flush_subnormals(t: Tensor) -> Tensor:
    """The same, differentiable."""
    return torch.hardshrink(t, torch.finfo(t.dtype).tiny)


def softmax(scores: Tensor) -> Tensor:
    """softmax over the last axis; of many weights in eager torch, the subnormal ones are 0."""
    weights = scores.softmax(-1)
    if not cpu_fast_path(weights, MIN_WEIGHTS):
        return weights
    return flush_subnormals(weights) if weights.requires_grad else flush_subnormals_(weights)


def _may_be_subnormal(q_NHDT: Tensor, k_NHDT: Tensor) -> bool:
    """True if weights or their gradients may be subnormal, by a bound of the scores. Gradients have 3/4 of the range."""
    if not q_NHDT.numel():
        return False
    bound = math.sqrt(float(q_NHDT.square().sum(-2).amax() * k_NHDT.square().sum(-2).amax()))
    return not 2 * bound < -0.25 * math.log(torch.finfo(q_NHDT.dtype).tiny)  # also if one is nan


def _differentiable_gradients(g_NHET: Tensor, q_NHDT: Tensor, k_NHDT: Tensor, v_NHET: Tensor, scale: float) -> Gradients:
    """The gradients of q, k and v from all weights at once, for a double backward."""
    a = _weights(q_NHDT, k_NHDT, scale)
    ga = g_NHET.transpose(-2, -1) @ v_NHET
    ge = scale * a * (ga - (a * ga).sum(-1, keepdim=True))
    return k_NHDT @ ge.transpose(-2, -1), q_NHDT @ ge, g_NHET @ a


def attend_backward(g_NHET: Tensor, q_NHDT: Tensor, k_NHDT: Tensor, v_NHET: Tensor, scale: float) -> Gradients:
    """The same in two buffers of one chunk; the gradients of k and v are summed over the chunks. Not differentiable."""
    chunk = _chunk_rows(q_NHDT.shape[-1])
    gq_NHDT, gk_NHDT, gv_NHET = (q_NHDT.new_zeros(t.shape) for t in (q_NHDT, k_NHDT, v_NHET))
    buffers = q_NHDT.new_empty(2, min(chunk, q_NHDT.shape[-1]), q_NHDT.shape[-1])
    scaled = scale * q_NHDT
    flushes = _may_be_subnormal(scaled, k_NHDT)
    heads = zip(*(t.flatten(0, 1) for t in (g_NHET, scaled, k_NHDT, v_NHET, gq_NHDT, gk_NHDT, gv_NHET)), strict=True)
    for g, q, k, v, gq, gk, gv in heads:
        for g_rows, q_rows, gq_rows in zip(g.split(chunk, 1), q.split(chunk, 1), gq.split(chunk, 1), strict=True):
            a, ga = buffers[:, : q_rows.shape[1]]
            torch.softmax(torch.mm(q_rows.t(), k, out=a), -1, out=a)
            gv.addmm_(g_rows, flush_subnormals_(a) if flushes else a)
            torch.mm(g_rows.t(), v, out=ga)
            ge = torch.ops.aten._softmax_backward_data.out(ga, a, -1, a.dtype, grad_input=ga)
            if flushes:
                flush_subnormals_(ge)
            torch.mm(k, ge.t(), out=gq_rows)
            gk.addmm_(q_rows, ge)
    return gq_NHDT.mul_(scale), gk_NHDT, gv_NHET


def attend_channels(x_NCT: Tensor, scale: float, identity: float, gain: Tensor | None = None) -> Tensor:
    """y = (gain softmax(scale x x^T) + identity I) x, in one product. gain: () or None for 1.

    x: (N, C, T) -> (N, C, T). Saves x and the weights (N, C, C). The backward has three products; autograd has four.
    """
    return _attend_channels(x_NCT, gain, scale, identity)


class _AttendChannels(Function):
    """gx = (gain a + identity I)^T g + scale (ge + ge^T) x, where ge = a (ga - sum a ga) and ga = gain g x^T."""

    @staticmethod
    def forward(ctx: Any, x_NCT: Tensor, gain: Tensor | None, scale: float, identity: float) -> Tensor:
        a_NCC = flush_subnormals_(torch.bmm(x_NCT, x_NCT.transpose(1, 2)).mul_(scale).softmax(-1))
        ctx.save_for_backward(x_NCT, a_NCC, gain)
        ctx.scale, ctx.identity = scale, identity
        return torch.bmm(_add_identity(a_NCC, gain, identity), x_NCT)

    @staticmethod
    def backward(ctx: Any, g_NCT: Tensor) -> tuple[Tensor, Tensor | None, None, None]:
        x_NCT, a_NCC, gain = ctx.saved_tensors
        if torch.is_grad_enabled():
            a_NCC = (ctx.scale * torch.bmm(x_NCT, x_NCT.transpose(1, 2))).softmax(-1)
        ga_NCC = torch.bmm(g_NCT, x_NCT.transpose(1, 2))
        d_gain = None if gain is None else (ga_NCC * a_NCC).sum()
        ga_NCC = ga_NCC if gain is None else ga_NCC * gain
        ge_NCC = flush_subnormals(torch.ops.aten._softmax_backward_data(ga_NCC, a_NCC, -1, a_NCC.dtype))
        direct = torch.bmm(_add_identity(a_NCC, gain, ctx.identity).transpose(1, 2), g_NCT)
        return torch.baddbmm(direct, ge_NCC + ge_NCC.transpose(1, 2), x_NCT, alpha=ctx.scale), d_gain, None, None


_attend_channels: Callable[..., Tensor] = _AttendChannels.apply


def _add_identity(a_NCC: Tensor, gain: Tensor | None, identity: float) -> Tensor:
    """gain a + identity I."""
    a_NCC = a_NCC if gain is None else flush_subnormals(a_NCC * gain)
    return a_NCC + identity * torch.eye(a_NCC.shape[-1], dtype=a_NCC.dtype, device=a_NCC.device)
