"""Attention among the indices of named axes."""

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..config.registry import operator
from ..config.schema import Axes, Real, Sides, Size
from ..errors import InvalidValue
from ..kernels import custom_ops
from ..shapes import Sizes
from .parameters import exact_div, inverse_permutation, normal_parameter
from .precision import in_float32
from .traced_shapes import unflatten

Similarity = Literal["dot", "cosine"]
INTERPOLATION = {1: "linear", 2: "bilinear", 3: "trilinear"}


class Attention(nn.Module):
    """y_i = sum_j softmax_j(scale q_i . k_j) v_j over the tokens; axes that are neither tokens nor features are batch axes.

    x_BSCHW -> y_BSCHW with the channels of v. With `key`, the channels of x are q (heads x key), k (heads x key) and v (the
    rest), each split into heads; without it, q = k = v = x. Where C is a token axis, the channels of a head are the tokens.
    cosine: q and k are normalised to length 1. factored: y_i = scale softmax_d(q_i) . sum_j softmax_j(k_j) v_j, which is
    linear in the number of tokens. position: (2, heads x key, P), one length P for each token axis; it is resized linearly
    to the tokens and added to q and k.
    """

    def __init__(
        self,
        sizes: Sizes,
        tokens: str,
        features: str,
        key: int | None,
        heads: int,
        scale: float,
        *,
        factored: bool = False,
        similarity: Similarity = "dot",
    ) -> None:
        super().__init__()
        channels = sizes.number("C")
        self.key, self.heads, self.scale = key, heads, scale
        self.factored, self.similarity = factored, similarity
        self.width = channels if key is None else key * heads
        self.sizes = sizes if key is None else sizes.replace({"C": channels - 2 * self.width})
        self.features, self.tokens = sizes.dims(features), sizes.dims(tokens)
        axes = sizes.axes.replace("C", "hC")  # C is split into heads h
        permuted_axes = sizes.axes_except(tokens, features) + "h" + features + tokens
        self.permutation = (0, *(axes.index(axis) + 1 for axis in permuted_axes))
        self.inverse = inverse_permutation(self.permutation)
        self.position: nn.Parameter | None = None

    def forward(self, x_BSCHW: Tensor) -> Tensor:
        q = k = v = x_BSCHW
        if self.key is not None:
            q, k, v = torch.split(x_BSCHW, [self.width, self.width, self.sizes.number("C")], dim=2)
        q_NHDT, k_NHDT, v_NHDT = (self._flatten(self._split_heads(part)) for part in (q, k, v))
        if self.position is not None:
            size = [x_BSCHW.shape[dim] for dim in self.tokens]
            q_HDT, k_HDT = split_positions(self.position, size, self.heads)
            q_NHDT, k_NHDT = q_NHDT + q_HDT, k_NHDT + k_HDT
        y_NHDT = self._attend(q_NHDT, k_NHDT, v_NHDT)
        return y_NHDT.reshape(self._split_heads(v).shape).permute(self.inverse).flatten(2, 3)

    def _split_heads(self, x_BSCHW: Tensor) -> Tensor:
        """(batch axes, heads, feature axes of a head, token axes of a head)."""
        return unflatten(x_BSCHW, 2, (self.heads, x_BSCHW.shape[2] // self.heads)).permute(self.permutation)

    def _flatten(self, x: Tensor) -> Tensor:
        """x_NHDT: the batch axes, the feature axes and the token axes are one dimension each."""
        first_token = x.dim() - len(self.tokens)
        first_feature = first_token - len(self.features)
        return x.flatten(first_token).flatten(first_feature, first_token - 1).flatten(0, first_feature - 2)

    def _attend(self, q_NHDT: Tensor, k_NHDT: Tensor, v_NHDT: Tensor) -> Tensor:
        if not self.factored:
            y = custom_ops.attention(q_NHDT, k_NHDT, v_NHDT, self.scale) if self.similarity == "dot" else None
            if y is not None:
                return y
            weight_NHTT = in_float32(self._weights, q_NHDT, k_NHDT).to(v_NHDT.dtype)
            return v_NHDT @ weight_NHTT.transpose(-2, -1)
        q_NHDT, k_NHDT = (t.to(v_NHDT.dtype) for t in in_float32(self._factors, q_NHDT, k_NHDT))
        context_NHVD = v_NHDT @ k_NHDT.transpose(-2, -1)
        return context_NHVD @ q_NHDT

    def _weights(self, q_NHDT: Tensor, k_NHDT: Tensor) -> Tensor:
        """softmax_j(scale q_i . k_j), (N, H, T, T). Half precision would overflow at real sizes, so it is called in float32."""
        q_NHDT, k_NHDT = self._normalize(q_NHDT, k_NHDT)
        return ((self.scale * q_NHDT).transpose(-2, -1) @ k_NHDT).softmax(-1)

    def _factors(self, q_NHDT: Tensor, k_NHDT: Tensor) -> tuple[Tensor, Tensor]:
        """scale softmax_d(q) and softmax_j(k), each (N, H, D, T)."""
        q_NHDT, k_NHDT = self._normalize(q_NHDT, k_NHDT)
        return self.scale * q_NHDT.softmax(-2), k_NHDT.softmax(-1)

    def _normalize(self, q_NHDT: Tensor, k_NHDT: Tensor) -> tuple[Tensor, Tensor]:
        if self.similarity == "dot":
            return q_NHDT, k_NHDT
        return F.normalize(q_NHDT, dim=-2), F.normalize(k_NHDT, dim=-2)

    def macs(self, x: Tensor, y: Tensor) -> int:
        """Multiply-adds per head and batch entry: T^2 (d_qk + d_v); factored, 2 T d_qk d_v for the context and its use."""
        query = x.numel() // x.shape[2] * self.width
        if self.factored:
            features = math.prod(x.shape[dim] for dim in self.features if dim != 2)
            return 2 * y.numel() * features * (self.width // self.heads if 2 in self.features else 1)
        tokens = math.prod(x.shape[dim] for dim in self.tokens if dim != 2)
        return tokens * (self.width // self.heads if 2 in self.tokens else 1) * (query + y.numel())

    def extra_repr(self) -> str:
        text = f"key={self.key}, heads={self.heads}, scale={self.scale:.4g}, similarity={self.similarity!r}"
        return f"{text}, factored" if self.factored else text


def resize_positions(position: Tensor, size: list[int]) -> Tensor:
    """Returns (2, heads x key, *size): the embeddings (2, heads x key, P...) interpolated linearly, half-pixel centres."""
    return F.interpolate(position, size=size, mode=INTERPOLATION[len(size)], align_corners=False)


def split_positions(position: Tensor, size: list[int], heads: int) -> tuple[Tensor, Tensor]:
    """Returns the embeddings of q and of k for a grid of tokens, each (heads, key, tokens)."""
    positions = resize_positions(position, size).flatten(2)
    q_HDT, k_HDT = unflatten(positions, 1, (heads, position.shape[1] // heads)).unbind()
    return q_HDT, k_HDT


@operator("attention")
def attention(
    sizes: Sizes,
    tokens: Axes = "grid",
    key: Size | None = None,
    heads: Size = 1,
    scale: Real | None = None,
    position: Size | Sides | None = None,
    factored: bool = False,
    similarity: Similarity = "dot",
) -> Attention:
    """Attention among the indices of the token axes; the features are C, or H and W where C is a token axis.

    With `key`, the channels hold q, k and v, and the scale is key^-0.5 (1 where C is a token axis); without it q = k = v and
    the scale is 1 (arXiv:1809.02983, equations 1 to 4). `factored` is linear attention, without a weight for each pair of
    tokens (arXiv:1812.01243). Channels as tokens with heads and `similarity: cosine` are cross-covariance attention
    (arXiv:2106.09681).
    """
    features = "".join(axis for axis in sizes.spatial_axes if axis not in tokens) if "C" in tokens else "C"
    if not features:
        raise InvalidValue(f"tokens {tokens} leave no axis for the features")
    absent = set(sizes.spatial_axes) - set(sizes.grid)  # H of a sequence has size 1, and a config for maps may name it
    if sizes.has_unit_axes(tokens) and not set(tokens) <= absent:
        raise InvalidValue(f"tokens {tokens} have size 1: there is nothing to attend to")
    width = _width(sizes, tokens, key, heads)
    lengths = _position_lengths(tokens, position)
    scale = scale if scale is not None else 1.0 if key is None or "C" in tokens else float(key**-0.5)
    module = Attention(sizes, tokens, features, key, heads, scale, factored=factored, similarity=similarity)
    if lengths:
        module.position = normal_parameter((2, width, *lengths))
    return module


def _width(sizes: Sizes, tokens: str, key: int | None, heads: int) -> int:
    """The number of channels of q, and of k. Raises InvalidValue where q, k and v do not fit."""
    channels = sizes.number("C")
    width = channels if key is None else heads * key
    if key is not None and 2 * width >= channels:
        raise InvalidValue(f"q and k, {heads} x {key} channels each, leave none of {channels} for v: reduce key or heads")
    if key is not None and "C" in tokens and channels != 3 * width:
        raise InvalidValue(f"C of {channels} is not 3 x {heads} x {key}: with C as a token axis, q, k and v are of one size")
    exact_div("the width of v", channels - 2 * width if key else channels, heads)
    if "C" in tokens and sizes.replace({"C": width // heads}).has_unit_axes(tokens):
        raise InvalidValue(f"tokens {tokens} have size 1 in each of {heads} heads: there is nothing to attend to")
    return width


def _position_lengths(tokens: str, position: int | list[int] | None) -> list[int]:
    """The number of embeddings along each token axis; empty without `position`."""
    if position is None:
        return []
    if "C" in tokens:
        raise InvalidValue("position needs spatial tokens, and C is a token axis")
    lengths = [position] if isinstance(position, int) else position
    if len(lengths) == len(tokens):
        return lengths
    if len(lengths) > 1:
        raise InvalidValue(f"position {lengths} is along {len(lengths)} token axes, and tokens are {tokens}")
    hint = f"; write position: [{', '.join(len(tokens) * [str(position)])}]"
    raise InvalidValue(f"position {position} is along one token axis, and tokens are {tokens}{hint}")
