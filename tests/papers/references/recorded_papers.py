"""The other recorded blocks, computed as in their authors' code."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from .layers import State, conv, gap, hsig, linear, mlp, norm, same, scale


def eca(state: State, x: Tensor, training: bool) -> Tensor:
    """x * sigmoid(conv1d_k(GAP(x) as (B, 1, C))), arXiv:1910.03151."""
    weight = state["conv.weight"]
    z = F.conv1d(gap(x)[:, None], weight, padding=weight.shape[-1] // 2)
    return scale(x, z[:, 0].sigmoid())


def gather(state: State, x: Tensor, training: bool, extent: int) -> Tensor:
    """The gather operator: global mean, windowed mean of extent e, or log2(e) strided depthwise convolutions."""
    if "gather.conv1.weight" in state:
        stages = int(math.log2(extent))
        for i in range(1, stages + 1):
            x = conv(state, f"gather.conv{i}", x, stride=2, padding=1, groups=x.shape[1])
            x = norm(state, f"gather.norm{i}", x, training)
            x = x.relu() if i < stages else x
        return x
    if extent == 0:
        return x.mean((2, 3), keepdim=True)
    return F.avg_pool2d(x, 2 * extent - 1, extent, extent - 1, count_include_pad=False)


def gather_excite(state: State, x: Tensor, training: bool, *, extent: int = 0) -> Tensor:
    """x * sigmoid(upsample(mlp(gather(x)))), arXiv:1810.12348; the mlp where the state has one."""
    z = gather(state, x, training, extent)
    if "mlp.fc1.weight" in state:
        z = conv(state, "mlp.fc2", conv(state, "mlp.fc1", z).relu())
    return x * F.interpolate(z, size=x.shape[2:], mode="nearest").sigmoid()


# ---- GCNet ----------------------------------------------------------------------------------------------------------


def context(state: State, key: str, x: Tensor) -> Tensor:
    """sum_n x_n softmax_n(w x_n + b), (B, C, 1, 1)."""
    mask = conv(state, key, x).flatten(2).softmax(2)[:, 0, :, None]  # (B, N, 1)
    return torch.bmm(x.flatten(2), mask)[..., None]


def transform(state: State, keys: tuple[str, str, str], c: Tensor, eps: float) -> Tensor:
    """W2 relu(LN(W1 c + b1)) + b2, keys in the order W1, LN, W2."""
    first, layer_norm, second = keys
    t = conv(state, first, c)
    shape = t.shape[1:]
    t = F.layer_norm(t, shape, state[f"{layer_norm}.weight"].view(shape), state[f"{layer_norm}.bias"].view(shape), eps)
    return conv(state, second, t.relu())


def gcnet(state: State, x: Tensor, training: bool, *, fusions: tuple[str, ...] = ("add",)) -> Tensor:
    """x * sigmoid(T_mul(c)) + T_add(c), c the attention-pooled context of x, arXiv:1904.11492."""
    c, y = context(state, "conv_mask", x), x
    for fusion in sorted(fusions, reverse=True):  # mul before add
        key = f"channel_{fusion}_conv"
        t = transform(state, (f"{key}.0", f"{key}.1", f"{key}.3"), c, 1e-5)
        y = y * t.sigmoid() if fusion == "mul" else y + t
    return y


def gcnet_timm(state: State, x: Tensor, training: bool) -> Tensor:
    """GCNet as in timm, arXiv:1904.11492: the scale alone, layer norm eps 1e-6."""
    keys = ("mlp_scale.fc1", "mlp_scale.norm", "mlp_scale.fc2")
    return x * transform(state, keys, context(state, "conv_attn", x), 1e-6).sigmoid()


# ---- BAM, effective SE, scSE ----------------------------------------------------------------------------------------


def bam(state: State, x: Tensor, training: bool) -> Tensor:
    """x * (1 + sigmoid(Mc * Ms)), arXiv:1807.06514; the product is the code's, the paper has a sum."""
    c, s = "channel_att.gate_c.gate_c_", "spatial_att.gate_s.gate_s_"
    z = norm(state, f"{c}bn_1", linear(state, f"{c}fc_0", gap(x)), training).relu()
    channel = linear(state, f"{c}fc_final", z)[:, :, None, None].expand_as(x)
    t = norm(state, f"{s}bn_reduce0", conv(state, f"{s}conv_reduce0", x), training).relu()
    for i in range(2):
        t = norm(state, f"{s}bn_di_{i}", same(state, f"{s}conv_di_{i}", t, dilation=4), training).relu()
    spatial = conv(state, f"{s}conv_final", t).expand_as(x)
    return x * (1 + (channel * spatial).sigmoid())


def ese(state: State, x: Tensor, training: bool) -> Tensor:
    """x * hsig(W GAP(x) + b), arXiv:1911.06667."""
    return x * hsig(conv(state, "fc", x.mean((2, 3), keepdim=True)))


def sse(state: State, x: Tensor, training: bool, *, key: str = "conv") -> Tensor:
    """x * sigmoid(w . x + b) per position, arXiv:1803.02579."""
    return x * conv(state, key, x).sigmoid()


def scse(state: State, x: Tensor, training: bool, *, merge: str = "max") -> Tensor:
    """max (ai-med) or sum (smp) of x sigmoid(W2 relu(W1 GAP(x))) and x sigmoid(w . x), arXiv:1803.02579."""
    theirs = "cSE.fc1.weight" in state
    first, second, spatial = ("cSE.fc1", "cSE.fc2", "sSE.conv") if theirs else ("cSE.1", "cSE.3", "sSE.0")
    a = scale(x, mlp(state, first, second, gap(x)).sigmoid())
    b = sse(state, x, training, key=spatial)
    return torch.max(a, b) if merge == "max" else a + b


# ---- SRM, SimAM, non-local, split attention, A2, FcaNet -------------------------------------------------------------


def srm(state: State, x: Tensor, training: bool) -> Tensor:
    """x * sigmoid(BN(w0 mean + w1 std)), std = sqrt(unbiased var + 1e-5), arXiv:1903.10829."""
    style = torch.stack([gap(x), (x.flatten(2).var(2, unbiased=True) + 1e-5).sqrt()], 2)  # (B, C, 2)
    z = (style * state["cfc"]).sum(2)
    return scale(x, norm(state, "bn", z, training).sigmoid())


def simam(state: State, x: Tensor, training: bool, *, lam: float = 1e-4) -> Tensor:
    """x * sigmoid(d / (4 (sum d / (N - 1) + lambda)) + 0.5), d = (x - mean)^2, ICML 2021 (Yang et al.)."""
    d = (x - x.mean((2, 3), keepdim=True)) ** 2
    n = x.shape[2] * x.shape[3] - 1
    return x * (d / (4 * (d.sum((2, 3), keepdim=True) / n + lam)) + 0.5).sigmoid()


def nonlocal_timm(state: State, x: Tensor, training: bool) -> Tensor:
    """x + BN(z(softmax_j(t_i . p_j C^-0.5) g_j)), C the input width, arXiv:1711.07971 as in timm."""
    t, p, g = (conv(state, key, x).flatten(2).transpose(1, 2) for key in "tpg")  # (B, N, h)
    attention = (torch.bmm(t, p.transpose(1, 2)) * x.shape[1] ** -0.5).softmax(2)
    out = torch.bmm(attention, g).transpose(1, 2).reshape(len(x), -1, *x.shape[2:])
    return x + norm(state, "norm", conv(state, "z", out), training)


def splat(state: State, x: Tensor, training: bool, *, radix: int = 2, cardinality: int = 1) -> Tensor:
    """sum_r a_r U_r, a = softmax_r(fc2 relu(BN(fc1 GAP(sum_r U_r)))), arXiv:2004.08955; radix 1 has a sigmoid."""
    u = norm(state, "bn0", same(state, "conv", x, groups=cardinality * radix), training).relu()
    parts = u.chunk(radix, 1)
    z = torch.stack(parts).sum(0).mean((2, 3), keepdim=True)
    z = norm(state, "bn1", conv(state, "fc1", z, groups=cardinality), training).relu()
    logits = conv(state, "fc2", z, groups=cardinality)
    if radix == 1:
        return u * logits.sigmoid()
    weights = logits.view(len(x), cardinality, radix, -1).softmax(2).transpose(1, 2).reshape(len(x), -1, 1, 1)
    return torch.stack([a * part for a, part in zip(weights.chunk(radix, 1), parts, strict=True)]).sum(0)


def a2(state: State, x: Tensor, training: bool) -> Tensor:
    """proj((A softmax_N(B)^T) softmax_cn(V)): gather, then distribute, arXiv:1810.11579; no residual."""
    a = conv(state, "convA", x).flatten(2)  # (B, c_m, N)
    b = conv(state, "convB", x).flatten(2).softmax(2)  # (B, c_n, N)
    v = conv(state, "convV", x).flatten(2).softmax(1)  # (B, c_n, N)
    descriptors = torch.bmm(a, b.transpose(1, 2))  # (B, c_m, c_n)
    return conv(state, "proj", torch.bmm(descriptors, v).view(len(x), -1, *x.shape[2:]))


def fca(state: State, x: Tensor, training: bool) -> Tensor:
    """x * sigmoid(W2 relu(W1 sum_hw(dct * x))), the filters a buffer (C, h, w), arXiv:2012.11879."""
    dct = state["dct_layer.weight"]
    z = x if x.shape[2:] == dct.shape[1:] else F.adaptive_avg_pool2d(x, (dct.shape[1], dct.shape[2]))
    return scale(x, mlp(state, "fc.0", "fc.2", (z * dct).sum((2, 3))).sigmoid())
