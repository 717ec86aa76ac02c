"""Attention as steps: one product for q, k and v, one for the weights, one for the result with its gain and its residual."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from ..axes import Sizes
from ..kernels.attention import FEWEST_TOKENS, attended, channel_attended
from ..kernels.guard import eligible
from ..operators.attention import Attention, placed
from ..operators.gate import Gain
from ..operators.linear import Linear
from ..precision import in_float32
from . import graph as g
from .graph import Value
from .maps import FOLD
from .program import Writer

FEWEST = 2**15
"""Values of a map from which its attention has a backward of its own."""
Placing = Callable[[Tensor, list[int]], Tensor]


def attend(op: g.Attend, value: Value, w: Writer) -> None:
    """Among positions with C as features, or among channels with positions as features; any other as the plain tree does it."""
    source, *residual = value.inputs
    layout = attend_layout(op.attention, source.sizes)
    if not layout:
        w.made(value, w.unary(op.attention, w.slot(source, source.sizes.axes)), source.sizes.axes)
        return
    placing = Kept() if w.frozen else resized
    among = _channels(op) if "C" in _tokens(op.attention, source.sizes) else _positions(op, placing)
    slots = [w.slot(source, layout), *[w.slot(other, layout) for other in residual]]
    w.made(value, w.nary(among, slots), layout)


def attend_layout(module: Attention, sizes: Sizes) -> str:
    """The layout that attention takes; empty where the plain tree has to do it."""
    tokens, features = _tokens(module, sizes), "".join(sizes.axes[dim - 1] for dim in module.features)
    others = [axis for axis in sizes.axes if axis not in tokens + features and sizes[axis] != 1]
    canonical = "".join(sorted(tokens, key=sizes.axes.index))
    if others or module.factored or module.similarity != "dot" or tokens != canonical:
        return ""
    if "C" in tokens:
        return f"C{features}" if tokens == "C" and module.heads == 1 and module.key is None else ""
    return f"C{tokens}"


def _tokens(module: Attention, sizes: Sizes) -> str:
    return "".join(sizes.axes[dim - 1] for dim in module.tokens)


# ---- Among positions -------------------------------------------------------------------------------------------------


def _positions(op: g.Attend, placing: Placing) -> Callable[..., Tensor]:
    """x (B, C, tokens...) -> (B, C', tokens...)."""
    module, linear, gain = op.attention, op.linear, op.gain

    def run(x: Tensor, residual: Tensor | None = None) -> Tensor:
        large = x.numel() > FOLD
        x_BCT = x.flatten(2) if x.dim() > 3 else x
        if linear is not None:
            x_BCT = projected(x_BCT, linear, gain if large else None, 2 * module.width)
        y_BCT = _attended(module, x_BCT, list(x.shape[2:]), placing)
        y = y_BCT.view(y_BCT.shape[:2] + x.shape[2:]) if x.dim() > 3 else y_BCT
        if gain is None or (large and linear is not None):
            return y if residual is None else y + residual
        return y * gain.weight if residual is None else torch.addcmul(residual, y, gain.weight)

    return run


def projected(x_BCT: Tensor, linear: Linear, gain: Gain | None, start: int) -> Tensor:
    """W x + b, the rows from `start` on times the gain: attention is linear in its values."""
    weight: Tensor = linear.weight
    bias: Tensor | None = linear.bias
    if gain is not None:
        weight = torch.cat([weight[:start], weight[start:] * gain.weight])
        bias = bias if bias is None else torch.cat([bias[:start], bias[start:] * gain.weight])
    return F.conv2d(x_BCT.unsqueeze(-1), weight[..., None, None], bias, groups=linear.groups).squeeze(-1)


def _attended(module: Attention, x_BCT: Tensor, size: list[int], placing: Placing) -> Tensor:
    heads, scale = module.heads, module.scale
    q, k, v = _parts(module, x_BCT, size, placing)
    batch, width, tokens = v.shape
    if heads > 1:
        q, k, v = (t.reshape(batch * heads, t.shape[1] // heads, tokens) for t in (q, k, v))

    if tokens >= FEWEST_TOKENS and eligible(x_BCT, FEWEST):
        return attended(q[:, None], k[:, None], v[:, None], scale).view(batch, width, tokens)

    def weights(q: Tensor, k: Tensor) -> Tensor:
        scores = torch.bmm(q.transpose(1, 2), k)
        return (scores if scale == 1 else scores.mul_(scale)).softmax(-1)

    a = in_float32(weights, q, k).to(v.dtype)
    y = torch.bmm(v, a.transpose(1, 2))
    return y.view(batch, width, tokens) if heads > 1 else y


def _parts(module: Attention, x_BCT: Tensor, size: list[int], placing: Placing) -> tuple[Tensor, Tensor, Tensor]:
    """q, k, v, with the positions of the first two."""
    if module.key is None:
        q = k = v = x_BCT
        if module.position is not None:
            at = placing(module.position, size)
            q, k = q + at[0], k + at[1]
        return q, k, v
    width = module.width
    v = x_BCT.narrow(1, 2 * width, x_BCT.shape[1] - 2 * width)
    qk = x_BCT.narrow(1, 0, 2 * width)
    if module.position is not None:
        qk = qk + placing(module.position, size).flatten(0, 1)
    return qk.narrow(1, 0, width), qk.narrow(1, width, width), v


def resized(position: Tensor, size: list[int]) -> Tensor:
    """Positions of q and of k for a grid of tokens, (2, heads x width, tokens)."""
    if list(position.shape[2:]) == size:  # between the very places of a grid nothing is interpolated
        return position.flatten(2)
    q_HDT, k_HDT = placed(position, size, 1)
    return torch.cat([q_HDT, k_HDT])


class Kept:
    """The same, kept for each grid: of positions that are constants."""

    def __init__(self) -> None:
        self._kept: dict[object, Tensor] = {}

    def __call__(self, position: Tensor, size: list[int]) -> Tensor:
        if torch.compiler.is_compiling():
            return resized(position, size)
        key = (*size, position.device, position.dtype)
        if key not in self._kept:
            self._kept[key] = resized(position, size)
        return self._kept[key]


# ---- Among channels --------------------------------------------------------------------------------------------------


def _channels(op: g.Attend) -> Callable[..., Tensor]:
    """x (B, C, positions...) -> the same: (gain A + identity) x, A = softmax(scale x x^T) in float32."""
    scale, gain, identity = op.attention.scale, op.gain, op.identity

    def weights(x_BCN: Tensor) -> Tensor:
        scores = torch.bmm(x_BCN, x_BCN.transpose(1, 2))
        return (scores if scale == 1 else scores.mul_(scale)).softmax(-1)

    def run(x: Tensor, residual: Tensor | None = None) -> Tensor:
        x_BCN = x.flatten(2) if x.dim() > 3 else x
        if eligible(x_BCN, FEWEST):
            y = channel_attended(x_BCN, scale, identity, None if gain is None else gain.weight).view(x.shape)
            return y if residual is None else y + residual
        a_BCC = in_float32(weights, x_BCN).to(x.dtype)
        if gain is not None:
            a_BCC = a_BCC * gain.weight
        if identity:
            a_BCC = a_BCC + identity * torch.eye(x_BCN.shape[1], dtype=x.dtype, device=x.device)
        y_BCN = torch.bmm(a_BCC, x_BCN)
        y = y_BCN.view(x.shape) if x.dim() > 3 else y_BCN
        return y if residual is None else y + residual

    return run
