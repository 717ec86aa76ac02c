"""Weights between the indices of axes, from the data itself."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..axes import GRID, Sizes
from ..errors import Refused
from ..precision import autocasting
from ..registry import operator
from ..schema import Axes, Real, Size
from .weights import divide, inverse, normal


class Attention(nn.Module):
    """y_i = sum_j softmax_j(scale q_i . k_j) v_j among the tokens; every axis but tokens and features is batch.

    With key width d the channels are q (heads d), k (heads d), v (the rest), each cut into heads; else q = k = v = x.
    x_BSCHW -> y_BSCHW with the width of v. position: (2, heads d, P), added to q and k, resized linearly to the tokens.
    """

    def __init__(self, sizes: Sizes, tokens: str, features: str, key: int | None, heads: int, scale: float) -> None:
        super().__init__()
        channels = sizes.number("C")
        self.key, self.heads, self.scale = key, heads, scale
        self.width = channels if key is None else key * heads
        self.sizes = sizes if key is None else sizes.replace({"C": channels - 2 * self.width})
        self.order = (0, *sizes.dims(sizes.others(tokens, features) + features + tokens))
        self.back = inverse(self.order)
        self.lead = len(self.order) - len(features) - len(tokens)
        self.features, self.tokens = len(features), len(tokens)
        self.position: nn.Parameter | None = None

    def forward(self, x_BSCHW: Tensor) -> Tensor:
        q = k = v = x_BSCHW
        if self.key is not None:
            q, k, v = torch.split(x_BSCHW, [self.width, self.width, self.sizes.number("C")], dim=2)
        q_NHDT, k_NHDT, v_NHDT = (self._heads(part) for part in (q, k, v))
        if self.position is not None:
            q_NHDT, k_NHDT = self._placed(q_NHDT, k_NHDT)
        weight_NHTT = attend(q_NHDT, k_NHDT, self.scale)
        y_NHDT = v_NHDT @ weight_NHTT.to(v_NHDT.dtype).transpose(-2, -1)
        v_permuted = v.permute(self.order)
        return y_NHDT.reshape(v_permuted.shape).permute(self.back)

    def _heads(self, x_BSCHW: Tensor) -> Tensor:
        """(batch axes, heads, features of a head, tokens)."""
        x = x_BSCHW.permute(self.order)
        x = x.flatten(self.lead + self.features).flatten(self.lead, self.lead + self.features - 1)
        return torch.unflatten(x.flatten(0, self.lead - 1), 1, (self.heads, x.shape[-2] // self.heads))

    def _placed(self, q_NHDT: Tensor, k_NHDT: Tensor) -> tuple[Tensor, Tensor]:
        assert self.position is not None
        placed = F.interpolate(self.position, size=q_NHDT.shape[-1], mode="linear")
        q_HDT, k_HDT = torch.unflatten(placed, 1, q_NHDT.shape[1:3])
        return q_NHDT + q_HDT, k_NHDT + k_HDT

    def macs(self, x: Tensor, y: Tensor) -> int:
        """Multiply-adds of q.k and of the weighted sum: T^2 (d_qk + d_v) for each head and batch entry."""
        tokens = 1
        for dim in self.order[len(self.order) - self.tokens :]:
            tokens *= x.shape[dim]
        query = x.numel() * self.width // x.shape[2]
        return tokens * (query + y.numel())

    def extra_repr(self) -> str:
        return f"key={self.key}, heads={self.heads}, scale={self.scale:.4g}"


def attend(q_NHDT: Tensor, k_NHDT: Tensor, scale: float) -> Tensor:
    """softmax_j(scale q_i . k_j), (N, H, T, T). Half types compute it in float32: the energies overflow at real sizes."""
    if autocasting(q_NHDT):
        with torch.autocast(q_NHDT.device.type, enabled=False):
            return _weights(q_NHDT.float(), k_NHDT.float(), scale)
    if q_NHDT.dtype in (torch.float16, torch.bfloat16):
        return _weights(q_NHDT.float(), k_NHDT.float(), scale)
    return _weights(q_NHDT, k_NHDT, scale)


def _weights(q_NHDT: Tensor, k_NHDT: Tensor, scale: float) -> Tensor:
    return ((scale * q_NHDT).transpose(-2, -1) @ k_NHDT).softmax(-1)


@operator("attention")
def attention(
    sizes: Sizes,
    tokens: Axes = "HW",
    key: Size | None = None,
    heads: Size = 1,
    scale: Real | None = None,
    position: Size | None = None,
) -> Attention:
    """Weights among the indices of the token axes (arXiv:1809.02983, eqs. 1-4); features are C, or H and W where C is a token.

    With `key` the channels are read as q, k, v and the scale is key^-0.5; else q = k = v and it is 1.
    """
    features = "".join(axis for axis in GRID if axis not in tokens) if "C" in tokens else "C"
    if not features:
        raise Refused(f"tokens {tokens} leave no axis for the features")
    if sizes.flat(tokens):
        raise Refused(f"tokens {tokens} have size 1: there is nothing to attend to")
    channels = sizes.number("C")
    _check_tokens_of_channels(tokens, key, heads, position)
    width = channels if key is None else heads * key
    if key is not None and 2 * width >= channels:
        raise Refused(f"C of {channels} has no room for q and k of {heads} x {key} channels each and a v")
    divide("the width of v", channels - 2 * width if key else channels, heads)
    module = Attention(sizes, tokens, features, key, heads, _scale(scale, key))
    if position is not None:
        if len(tokens) > 1:
            raise Refused(f"position is along one token axis, and tokens are {tokens}")
        module.position = normal((2, width, position))
    return module


def _scale(scale: float | None, key: int | None) -> float:
    if scale is not None:
        return scale
    return 1.0 if key is None else float(key**-0.5)


def _check_tokens_of_channels(tokens: str, key: int | None, heads: int, position: int | None) -> None:
    for name, wrong in (("key", key is not None), ("heads", heads > 1), ("position", position is not None)):
        if "C" in tokens and wrong:
            raise Refused(f"{name} is cut from the channels, and C is a token axis")
