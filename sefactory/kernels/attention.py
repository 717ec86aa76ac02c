"""Attention among many tokens in a small buffer, and among channels as one product."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from .dispatch import SMALL, eager

FEWEST_TOKENS = 384  # below, one batched product for all heads is as fast, and its weights are small
BUFFER = 1 << 19  # energies at a time: 2 MB in float32
FEWEST_ROWS = 64
NEAR = 60.0
"""Energies up to which exp takes them as they are: e^60 leaves float32 1e12 for the sum of the values, e^-60 is normal.
The weights of 512 x 1024 take 0.20 ms of a Sapphire Rapids instead of 0.49 by softmax."""
ROWS = 32  # by which products are cut: 160 rows of 3136 energies take 0.85 times as long as 167

Saved = tuple[Tensor, Tensor, Tensor]


def attended(q_NHDT: Tensor, k_NHDT: Tensor, v_NHET: Tensor, scale: float, chunk: int | None = None) -> Tensor:
    """y = v softmax_j(scale q^T k)^T, the weights made for `chunk` queries of one head at a time.

    q, k: (N, H, D, T); v: (N, H, E, T) -> (N, H, E, T). Nothing T x T is ever made, nor kept for the backward, which makes
    the energies again. `chunk` is chosen so that they take 2 MB; without it, few tokens (under 384) are one batched product.

    Milliseconds of the plain formula and of this, forward and backward, D = 16, E = 128, float32, one thread of a Zen 3:
    batch 4, T = 1024: 107 -> 91; batch 1, T = 4096: 655 -> 426. T = 16384 trains in 40 MB
    beyond its inputs, where all weights are 1.1 GB.
    """
    tokens = q_NHDT.shape[-1]
    if chunk is None and tokens < FEWEST_TOKENS:
        return v_NHET @ _weights(q_NHDT, k_NHDT, scale).transpose(-2, -1)
    return _attended(q_NHDT, k_NHDT, v_NHET, scale, chunk or _rows(tokens))


def attended_backward(g_NHET: Tensor, q_NHDT: Tensor, k_NHDT: Tensor, v_NHET: Tensor, scale: float) -> Saved:
    """The gradients of q, k and v that `attended` has for many tokens; they are not differentiable."""
    return _chunked(g_NHET, q_NHDT, k_NHDT, v_NHET, scale, _rows(q_NHDT.shape[-1]))


def _rows(tokens: int) -> int:
    return max(FEWEST_ROWS, BUFFER // tokens // ROWS * ROWS)


def _weights(q_NHDT: Tensor, k_NHDT: Tensor, scale: float) -> Tensor:
    return ((scale * q_NHDT).transpose(-2, -1) @ k_NHDT).softmax(-1)


class _Attended(Function):
    """Chunk by chunk a = softmax(q^T k), y = v a^T; and again in the backward gv = g a, ge = a (ga - sum a ga), ga = g^T v."""

    @staticmethod
    def forward(ctx: Any, q_NHDT: Tensor, k_NHDT: Tensor, v_NHET: Tensor, scale: float, chunk: int) -> Tensor:
        ctx.save_for_backward(q_NHDT, k_NHDT, v_NHET)
        ctx.scale, ctx.chunk = scale, chunk
        y_NHET = v_NHET.new_empty(v_NHET.shape)
        scaled = scale * q_NHDT
        heads = zip(*(t.flatten(0, 1) for t in (scaled, k_NHDT, v_NHET, y_NHET)), strict=True)
        weights = q_NHDT.new_empty(min(chunk, q_NHDT.shape[-1]), q_NHDT.shape[-1])
        near = _reach(scaled, k_NHDT) < NEAR
        for q, k, v, y in heads:
            for q_rows, y_rows in zip(q.split(chunk, 1), y.split(chunk, 1), strict=True):
                (_mixed_near if near else _mixed)(q_rows, k, v, weights[: q_rows.shape[1]], y_rows)
        return y_NHET

    @staticmethod
    def backward(ctx: Any, g_NHET: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        q_NHDT, k_NHDT, v_NHET = ctx.saved_tensors
        if torch.is_grad_enabled():
            return (*_differentiable(g_NHET, q_NHDT, k_NHDT, v_NHET, ctx.scale), None, None)
        return (*_chunked(g_NHET, q_NHDT, k_NHDT, v_NHET, ctx.scale, ctx.chunk), None, None)


_attended: Callable[..., Tensor] = _Attended.apply


def _mixed(q_DR: Tensor, k_DT: Tensor, v_ET: Tensor, buffer_RT: Tensor, y_ER: Tensor) -> None:
    """y = v softmax(q^T k)^T."""
    torch.mm(q_DR.t(), k_DT, out=buffer_RT)
    torch.mm(v_ET, normal_(torch.softmax(buffer_RT, -1, out=buffer_RT)).t(), out=y_ER)


def _mixed_near(q_DR: Tensor, k_DT: Tensor, v_ET: Tensor, buffer_RT: Tensor, y_ER: Tensor) -> None:
    """The same of energies that exp takes as they are: y = v exp(q^T k)^T / sum exp(q^T k), the quotient of fewer values."""
    a_RT = torch.mm(q_DR.t(), k_DT, out=buffer_RT).exp_()
    torch.mm(v_ET, a_RT.t(), out=y_ER)
    y_ER.div_(a_RT.sum(1))


def normal_(t: Tensor) -> Tensor:
    """Numbers below the least normal one become 0, in place.

    exp gives such weights where energies are 87 apart, and an Intel core multiplies each by microcode. On a Sapphire Rapids
    softmax(-x x^T) x of (4, 128, 1024), 18 % of its weights such, took 35 ms, now 1.2; `attended` of 1024 tokens with 3 % of
    them 755 and its backward 712, now 26 and 44. Another pass over 1024 x 1024 weights takes 0.8 of 17 there.
    """
    return torch.ops.aten.hardshrink.out(t, torch.finfo(t.dtype).tiny, out=t)  # type: ignore[no-any-return]


def normal(t: Tensor) -> Tensor:
    """The same, differentiable."""
    return torch.hardshrink(t, torch.finfo(t.dtype).tiny)


def softmax(energies: Tensor) -> Tensor:
    """softmax over the last axis; of more than a few eager weights, those below the normal numbers are 0.

    Position attention of (2, 128, 14, 14) with energies far apart took 27 ms on a Sapphire Rapids, now 1.4; of 7 x 7 the pass
    would take a tenth of the time.
    """
    weights = energies.softmax(-1)
    if not eager(weights, SMALL):
        return weights
    return normal(weights) if weights.requires_grad else normal_(weights)


def _reach(q_NHDT: Tensor, k_NHDT: Tensor) -> float:
    """The largest |q| |k|, which no energy is beyond; nan where one is."""
    most = q_NHDT.square().sum(-2).amax() * k_NHDT.square().sum(-2).amax() if q_NHDT.numel() else q_NHDT.new_zeros(())
    return math.sqrt(float(most))


def _far(q_NHDT: Tensor, k_NHDT: Tensor) -> bool:
    """Whether energies may lie so far apart that their weights, or gradients of these, are below the normal numbers.

    No two are further apart than twice their reach; gradients are given three quarters of the range.
    """
    return not 2 * _reach(q_NHDT, k_NHDT) < -0.25 * math.log(torch.finfo(q_NHDT.dtype).tiny)


def _differentiable(g_NHET: Tensor, q_NHDT: Tensor, k_NHDT: Tensor, v_NHET: Tensor, scale: float) -> Saved:
    """The gradients of q, k and v from all weights at once, for a backward that is differentiated itself."""
    a = _weights(q_NHDT, k_NHDT, scale)
    ga = g_NHET.transpose(-2, -1) @ v_NHET
    ge = scale * a * (ga - (a * ga).sum(-1, keepdim=True))
    return k_NHDT @ ge.transpose(-2, -1), q_NHDT @ ge, g_NHET @ a


def _chunked(g_NHET: Tensor, q_NHDT: Tensor, k_NHDT: Tensor, v_NHET: Tensor, scale: float, chunk: int) -> Saved:
    """The same in two buffers of `chunk` rows; the gradients of k and v are summed over the chunks."""
    gq_NHDT, gk_NHDT, gv_NHET = (q_NHDT.new_zeros(t.shape) for t in (q_NHDT, k_NHDT, v_NHET))
    buffers = q_NHDT.new_empty(2, min(chunk, q_NHDT.shape[-1]), q_NHDT.shape[-1])
    scaled = scale * q_NHDT
    far = _far(scaled, k_NHDT)
    heads = zip(*(t.flatten(0, 1) for t in (g_NHET, scaled, k_NHDT, v_NHET, gq_NHDT, gk_NHDT, gv_NHET)), strict=True)
    for g, q, k, v, gq, gk, gv in heads:
        for g_rows, q_rows, gq_rows in zip(g.split(chunk, 1), q.split(chunk, 1), gq.split(chunk, 1), strict=True):
            a, ga = buffers[:, : q_rows.shape[1]]
            torch.softmax(torch.mm(q_rows.t(), k, out=a), -1, out=a)
            gv.addmm_(g_rows, normal_(a) if far else a)
            torch.mm(g_rows.t(), v, out=ga)
            ge = torch.ops.aten._softmax_backward_data.out(ga, a, -1, a.dtype, grad_input=ga)
            if far:
                normal_(ge)
            torch.mm(k, ge.t(), out=gq_rows)
            gk.addmm_(q_rows, ge)
    return gq_NHDT.mul_(scale), gk_NHDT, gv_NHET


def values_attended(x_NC: Tensor, scale: float) -> Tensor | None:
    """y_i = sum_j e_ij x_j / sum_j e_ij, e = exp(scale x x^T), both sums by one product; None where exp needs the largest.

    x: (N, C), numbers with one feature each -> (N, C). (16, 128) takes 0.21 ms of a Sapphire Rapids, by softmax 0.63.
    """
    if not abs(scale) * float(torch.linalg.vector_norm(x_NC, math.inf)) ** 2 < NEAR:
        return None
    e_NCC = torch.mul((x_NC * scale)[:, :, None], x_NC[:, None]).exp_()
    sums_N2C = torch.bmm(torch.stack([x_NC, torch.ones_like(x_NC)], 1), e_NCC)  # e is symmetric
    return sums_N2C[:, 0] / sums_N2C[:, 1]


def channel_attended(x_NCT: Tensor, scale: float, identity: float, gain: Tensor | None = None) -> Tensor:
    """y = (gain softmax(scale x x^T) + identity I) x, in one product; gain: () or None for 1.

    x: (N, C, T) -> (N, C, T). Kept for the backward: x and the weights, (N, C, C). It has three products where autograd has
    four and sums them: (4, 128, 1024) 18.2 -> 12.8 ms forward and backward, (8, 128, 784) 27.4 -> 20.5.
    """
    return _channel_attended(x_NCT, gain, scale, identity)


def channel_mixed(x_NCT: Tensor, gain: Tensor | None, scale: float, identity: float) -> tuple[Tensor, Tensor]:
    """y and the weights a = softmax(scale x x^T)."""
    a_NCC = normal_(torch.bmm(x_NCT, x_NCT.transpose(1, 2)).mul_(scale).softmax(-1))
    return torch.bmm(_plus(a_NCC, gain, identity), x_NCT), a_NCC


def channel_mixed_backward(
    g_NCT: Tensor, x_NCT: Tensor, a_NCC: Tensor, gain: Tensor | None, scale: float, identity: float
) -> tuple[Tensor, Tensor]:
    """gx = (gain a + identity I)^T g + scale (ge + ge^T) x, where ge = a (ga - sum a ga) ga = gain g x^T; and the gain's."""
    ga_NCC = torch.bmm(g_NCT, x_NCT.transpose(1, 2))
    of_gain = g_NCT.new_zeros(()) if gain is None else (ga_NCC * a_NCC).sum()
    ga_NCC = ga_NCC if gain is None else ga_NCC * gain
    ge_NCC = normal(torch.ops.aten._softmax_backward_data(ga_NCC, a_NCC, -1, a_NCC.dtype))
    direct = torch.bmm(_plus(a_NCC, gain, identity).transpose(1, 2), g_NCT)
    return torch.baddbmm(direct, ge_NCC + ge_NCC.transpose(1, 2), x_NCT, alpha=scale), of_gain


class _ChannelAttended(Function):
    @staticmethod
    def forward(ctx: Any, x_NCT: Tensor, gain: Tensor | None, scale: float, identity: float) -> Tensor:
        y_NCT, a_NCC = channel_mixed(x_NCT, gain, scale, identity)
        ctx.save_for_backward(x_NCT, a_NCC, gain)
        ctx.scale, ctx.identity = scale, identity
        return y_NCT

    @staticmethod
    def backward(ctx: Any, g_NCT: Tensor) -> tuple[Tensor, Tensor | None, None, None]:
        x_NCT, a_NCC, gain = ctx.saved_tensors
        if torch.is_grad_enabled():
            a_NCC = (ctx.scale * torch.bmm(x_NCT, x_NCT.transpose(1, 2))).softmax(-1)
        gx_NCT, of_gain = channel_mixed_backward(g_NCT, x_NCT, a_NCC, gain, ctx.scale, ctx.identity)
        return gx_NCT, None if gain is None else of_gain, None, None


_channel_attended: Callable[..., Tensor] = _ChannelAttended.apply


def _plus(a_NCC: Tensor, gain: Tensor | None, identity: float) -> Tensor:
    """gain a + identity I."""
    a_NCC = a_NCC if gain is None else normal(a_NCC * gain)
    return a_NCC + identity * torch.eye(a_NCC.shape[-1], dtype=a_NCC.dtype)
