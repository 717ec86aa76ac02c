"""Attention among the channels of each head: products of q, k and v that are views of one map, without copying them."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from .dispatch import cpu_fast_path


def head_scores(q_BCT: Tensor, k_BCT: Tensor, heads: int) -> Tensor:
    """e_h = q_h k_h^T for each head h: (B, H D, T), (B, H E, T) -> (B, H, D, E).

    A batched product for each head reads its channels in place. A product of four-dimensional tensors would copy q and k,
    and save the copies for the backward (docs/kernels.md, channel attention).
    """
    if cpu_fast_path(q_BCT):
        return _head_scores(q_BCT, k_BCT, heads)
    return torch.unflatten(q_BCT, 1, (heads, -1)) @ torch.unflatten(k_BCT, 1, (heads, -1)).transpose(2, 3)


def apply_head_weights(a_BHDE: Tensor, v_BCT: Tensor) -> Tensor:
    """y_h = a_h v_h for each head h: (B, H, D, E), (B, H E, T) -> (B, H D, T)."""
    if cpu_fast_path(v_BCT):
        return _apply_head_weights(a_BHDE, v_BCT)
    return (a_BHDE @ torch.unflatten(v_BCT, 1, (a_BHDE.shape[1], -1))).flatten(1, 2)


def _head_pairs(q_BCT: Tensor, k_BCT: Tensor, heads: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The channels of q and k, head by head."""
    return zip(q_BCT.chunk(heads, 1), k_BCT.chunk(heads, 1), strict=True)


class _HeadScores(Function):
    @staticmethod
    def forward(ctx: Any, q_BCT: Tensor, k_BCT: Tensor, heads: int) -> Tensor:
        ctx.save_for_backward(q_BCT, k_BCT)
        e_BHDE = q_BCT.new_empty(len(q_BCT), heads, q_BCT.shape[1] // heads, k_BCT.shape[1] // heads)
        for i, (q, k) in enumerate(_head_pairs(q_BCT, k_BCT, heads)):
            torch.bmm(q, k.transpose(1, 2), out=e_BHDE[:, i])
        return e_BHDE

    @staticmethod
    def backward(ctx: Any, g_BHDE: Tensor) -> tuple[Tensor, Tensor, None]:
        q_BCT, k_BCT = ctx.saved_tensors
        return _apply_head_weights(g_BHDE, k_BCT), _apply_head_weights(g_BHDE.transpose(2, 3), q_BCT), None


class _ApplyHeadWeights(Function):
    @staticmethod
    def forward(ctx: Any, a_BHDE: Tensor, v_BCT: Tensor) -> Tensor:
        ctx.save_for_backward(a_BHDE, v_BCT)
        heads, width = a_BHDE.shape[1:3]
        y_BCT = v_BCT.new_empty(len(v_BCT), heads * width, v_BCT.shape[2])
        for i, (v, y) in enumerate(_head_pairs(v_BCT, y_BCT, heads)):
            torch.bmm(a_BHDE[:, i], v, out=y)
        return y_BCT

    @staticmethod
    def backward(ctx: Any, g_BCT: Tensor) -> tuple[Tensor, Tensor]:
        a_BHDE, v_BCT = ctx.saved_tensors
        return _head_scores(g_BCT, v_BCT, a_BHDE.shape[1]), _apply_head_weights(a_BHDE.transpose(2, 3), g_BCT)


_head_scores: Callable[..., Tensor] = _HeadScores.apply
_apply_head_weights: Callable[..., Tensor] = _ApplyHeadWeights.apply
