"""Emitter of attention between the channels of each head. Factors per channel can be applied to the scores."""

from collections.abc import Callable

import torch
from torch import Tensor

from ...kernels.attention import softmax
from ...operators.attention import Attention
from ...operators.precision import in_float32
from ...shapes import Sizes
from .. import ir as ops
from ..graph import Node
from .activations import PAIRS
from .emitter import Emitter
from .layout import strip_unit_axes

MIN_NORM = 1e-12
"""The smallest norm that a vector is divided by; the default `eps` of torch.nn.functional.normalize."""
BROADCAST_DIM = (3, 2)
"""The dim of the scores (B, heads, d, d) that a factor does not depend on: columns for a factor of q, rows for one of k."""


def heads_layout(module: Attention, sizes: Sizes) -> str:
    """Returns the layout of q, k and v. Empty unless the tokens are the channels of each head, and nothing else."""
    tokens, features = sizes.axes_of(module.tokens), sizes.axes_of(module.features)
    others = strip_unit_axes(sizes.axes_except(tokens, features), sizes)
    return "" if tokens != "C" or module.key is None or module.factored or others else f"C{features}"


def emit_channel_attention(op: ops.ChannelAttentionOp, node: Node, emitter: Emitter) -> None:
    """Emits y = softmax(scale e) v, where e is q k^T after its factors and gains; q, k, v: (B, heads * d, features...)."""
    layout, (q, k, v, *factors) = heads_layout(op.attention, node.sizes), node.inputs
    inputs = [*[emitter.register(x, layout) for x in (q, k, v)], *[emitter.register(x, "C") for x in factors]]
    emitter.call(node, _attend(op), inputs, layout)


def _attend(op: ops.ChannelAttentionOp) -> Callable[..., Tensor]:
    weigh, heads = _weights(op), op.attention.heads

    def run(q: Tensor, k: Tensor, v: Tensor, *factors: Tensor) -> Tensor:
        a_BHDE = in_float32(weigh, q.flatten(2), k.flatten(2), *factors).to(v.dtype)
        return (a_BHDE @ torch.unflatten(v.flatten(2), 1, (heads, -1))).view(v.shape)

    return run


def _weights(op: ops.ChannelAttentionOp) -> Callable[..., Tensor]:
    """Returns the function that computes the attention weights softmax_j(scale e_ij) of each head, (B, heads, d, d).

    e is q k^T, combined with the factors and multiplied by the gains. For cosine similarity q and k are normalised.
    """
    heads, scale, is_cosine, gains = op.attention.heads, op.attention.scale, op.attention.similarity == "cosine", op.gains
    # no rule moves a factor of cosine similarity to the scores: its only factors are the norms
    sides_and_kinds = ((0, "quotient"), (1, "quotient")) if is_cosine else op.factor_ops
    factor_ops = [(BROADCAST_DIM[side], PAIRS[kind]) for side, kind in sides_and_kinds]

    def run(q_BCT: Tensor, k_BCT: Tensor, *factors: Tensor) -> Tensor:
        e_BHDE = torch.unflatten(q_BCT, 1, (heads, -1)) @ torch.unflatten(k_BCT, 1, (heads, -1)).transpose(2, 3)
        factors = (_norms(q_BCT), _norms(k_BCT)) if is_cosine else factors
        for (dim, combine), factor_BC in zip(factor_ops, factors, strict=True):
            e_BHDE = combine(e_BHDE, torch.unflatten(factor_BC, 1, (heads, -1)).unsqueeze(dim))
        for gain in gains:
            e_BHDE = e_BHDE * gain.weight.view(-1, 1, 1)
        return softmax(e_BHDE if scale == 1 else e_BHDE * scale)

    return run


def _norms(x_BCT: Tensor) -> Tensor:
    length_BC: Tensor = torch.linalg.vector_norm(x_BCT, dim=2)
    return length_BC.clamp_min(MIN_NORM)
