"""Random states of the seven papers under the authors' keys, at any width, and inputs at which their gates differ."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .layers import State

Shapes = dict[str, tuple[int, ...]]


def norm_shapes(key: str, width: int) -> Shapes:
    """The five entries of a batch norm."""
    names = ("weight", "bias", "running_mean", "running_var")
    return {f"{key}.{name}": (width,) for name in names} | {f"{key}.num_batches_tracked": ()}


def biased(key: str, *shape: int) -> Shapes:
    """A weight and its bias."""
    return {f"{key}.weight": shape, f"{key}.bias": shape[:1]}


def senet_shapes(c: int, *, r: int = 16, bias: bool = True) -> Shapes:
    """fc1, fc2 with biases (the authors' network) or fc.0, fc.2 without (SELayer)."""
    h = c // r
    if bias:
        return biased("fc1", h, c, 1, 1) | biased("fc2", c, h, 1, 1)
    return {"fc.0.weight": (h, c), "fc.2.weight": (c, h)}


def sknet_shapes(
    c: int, *, r: int = 16, least: int = 32, groups: int = 32, kernels: tuple[int, ...] = (3, 3), d: int | None = None
) -> Shapes:
    """Branches paths.i, selection attn; d = max(C // r, least)."""
    d = max(c // r, least) if d is None else d
    shapes: Shapes = {}
    for i, kernel in enumerate(kernels):
        shapes |= {f"paths.{i}.conv.weight": (c, c // groups, kernel, kernel)} | norm_shapes(f"paths.{i}.bn", c)
    shapes |= {"attn.fc_reduce.weight": (d, c, 1, 1), "attn.fc_select.weight": (len(kernels) * c, d, 1, 1)}
    return shapes | norm_shapes("attn.bn", d)


def gate_shapes(key: str, k: int) -> Shapes:
    """A spatial gate: conv k x k from two maps to one, and a norm of one channel."""
    return {f"{key}.conv.weight": (1, 2, k, k)} | norm_shapes(f"{key}.bn", 1)


def cbam_shapes(c: int, *, r: int = 16, k: int = 7, spatial: bool = True) -> Shapes:
    """ChannelGate.mlp and, where spatial, SpatialGate.spatial."""
    channel = biased("ChannelGate.mlp.1", c // r, c) | biased("ChannelGate.mlp.3", c, c // r)
    return channel | (gate_shapes("SpatialGate.spatial", k) if spatial else {})


def coordatt_shapes(c: int, *, r: int = 32, last: tuple[str, str] = ("conv_h", "conv_w")) -> Shapes:
    """conv1, bn1 and the two last convolutions: conv_h, conv_w, or conv2, conv3 of the MobileNet copy."""
    m = max(8, c // r)
    first = biased("conv1", m, c, 1, 1) | norm_shapes("bn1", m)
    return first | biased(last[0], c, m, 1, 1) | biased(last[1], c, m, 1, 1)


def triplet_shapes(c: int, *, k: int = 7, spatial: bool = True) -> Shapes:
    """cw, hc and, where spatial, hw; c plays no part."""
    shapes = gate_shapes("cw.conv", k) | gate_shapes("hc.conv", k)
    return shapes | (gate_shapes("hw.conv", k) if spatial else {})


def pam_shapes(c: int, *, prefix: str = "") -> Shapes:
    """query_conv, key_conv, value_conv and gamma."""
    qk = biased(f"{prefix}query_conv", c // 8, c, 1, 1) | biased(f"{prefix}key_conv", c // 8, c, 1, 1)
    return qk | biased(f"{prefix}value_conv", c, c, 1, 1) | {f"{prefix}gamma": (1,)}


def cam_shapes(c: int, *, prefix: str = "") -> Shapes:
    """gamma alone."""
    return {f"{prefix}gamma": (1,)}


def danet_shapes(c: int, *, width: int | None = None) -> Shapes:
    """The head without its classifiers; width = C // 4 inside."""
    d = c // 4 if width is None else width
    shapes = pam_shapes(d, prefix="sa.") | cam_shapes(d, prefix="sc.")
    for key, incoming in {"conv5a": c, "conv5c": c, "conv51": d, "conv52": d}.items():
        shapes |= {f"{key}.0.weight": (d, incoming, 3, 3)} | norm_shapes(f"{key}.1", d)
    return shapes


def danet_head_shapes(c: int, *, width: int | None = None, classes: int = 19) -> Shapes:
    """The head with its classifiers conv6, conv7, conv8."""
    d = c // 4 if width is None else width
    classifiers = [biased(f"conv{i}.1", classes, d, 1, 1) for i in (6, 7, 8)]
    return danet_shapes(c, width=width) | classifiers[0] | classifiers[1] | classifiers[2]


def seaformer_shapes(c: int, *, heads: int = 4, key: int = 16, ratio: int = 2, length: int = 16) -> Shapes:
    """Sea_Attention: q = k = heads * key wide, v = ratio times that."""
    q, v = heads * key, heads * ratio * key
    maps = {"to_q": (q, c), "to_k": (q, c), "to_v": (v, c), "pwconv": (c, 2 * q + v), "proj.1": (c, v)}
    maps |= {"proj_encode_row.1": (v, v), "proj_encode_column.1": (v, v)}
    shapes: Shapes = {"dwconv.c.weight": (2 * q + v, 1, 3, 3)} | norm_shapes("dwconv.bn", 2 * q + v)
    for name, (out, incoming) in maps.items():
        shapes |= {f"{name}.c.weight": (out, incoming, 1, 1)} | norm_shapes(f"{name}.bn", out)
    positions = [f"pos_emb_{axis}{part}.pos_embed" for axis in ("row", "column") for part in "qk"]
    return shapes | dict.fromkeys(positions, (1, q, length))


SHAPES: dict[str, Callable[..., Shapes]] = {
    "senet": senet_shapes,
    "sknet": sknet_shapes,
    "cbam": cbam_shapes,
    "coordatt": coordatt_shapes,
    "triplet": triplet_shapes,
    "pam": pam_shapes,
    "cam": cam_shapes,
    "danet": danet_shapes,
    "danet_head": danet_head_shapes,
    "seaformer": seaformer_shapes,
}


def random_entry(key: str, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Norm weight and variance U(0.5, 1.5), bias and mean N(0, 0.3^2), maps N(0, 1 / fan_in), gamma U(0.4, 1.2)."""
    name = key.rpartition(".")[2]
    if name == "num_batches_tracked":
        return torch.randint(3, 100, shape, generator=generator)
    uniform = torch.rand(shape, generator=generator, dtype=torch.float64)
    normal = torch.randn(shape, generator=generator, dtype=torch.float64)
    if name == "gamma":
        return 0.4 + 0.8 * uniform
    if name == "pos_embed":
        return normal
    if name in ("bias", "running_mean"):
        return 0.3 * normal
    if name == "running_var" or len(shape) == 1:
        return 0.5 + uniform
    return normal / math.sqrt(math.prod(shape[1:]))


def random_state(
    family: str, channels: int, generator: torch.Generator, dtype: torch.dtype = torch.float32, **hyper: Any
) -> State:
    """A full random state of a family; the same numbers in every dtype."""
    entries = {key: random_entry(key, shape, generator) for key, shape in SHAPES[family](channels, **hyper).items()}
    return {key: entry.to(dtype) if entry.is_floating_point() else entry for key, entry in entries.items()}


def random_input(
    shape: tuple[int, int, int, int], generator: torch.Generator, dtype: torch.dtype = torch.float32, size: float = 1.0
) -> Tensor:
    """Noise plus an offset per channel, row and column; size 0.25 for cam, 0.35 for danet (softmax of X X^T)."""
    b, c, h, w = shape
    offsets = {(b, c, h, w): 1.0, (b, c, 1, 1): 0.7, (b, c, h, 1): 0.4, (b, c, 1, w): 0.4}
    total = torch.zeros(shape, dtype=torch.float64)
    for part, weight in offsets.items():
        total = total + weight * torch.randn(part, generator=generator, dtype=torch.float64)
    return (size * total).to(dtype)
