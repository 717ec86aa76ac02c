"""SENet, SKNet, CBAM, Coordinate Attention, Triplet Attention, DANet and SeaFormer, computed as in their authors' code."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .layers import Reference, State, conv, gap, hsig, linear, mlp, norm, same, scale, zpool


def senet(state: State, x: Tensor, training: bool) -> Tensor:
    """x * sigmoid(W2 relu(W1 GAP(x))), arXiv:1709.01507; keys fc.0, fc.2 or, with biases, fc1, fc2."""
    first, second = ("fc1", "fc2") if "fc1.weight" in state else ("fc.0", "fc.2")
    return scale(x, mlp(state, first, second, gap(x)).sigmoid())


# ---- SKNet ----------------------------------------------------------------------------------------------------------


def sknet(
    state: State,
    x: Tensor,
    training: bool,
    *,
    dilations: tuple[int, ...] = (1, 2),
    groups: int = 32,
    momentum: float = 0.05,
) -> Tensor:
    """sum_i a_i U_i, a = softmax_i(W2 relu(BN(W1 GAP(sum_i U_i)))), U_i = relu(BN(conv_i x)), arXiv:1903.06586."""
    maps = []
    for i, dilation in enumerate(dilations):
        u = same(state, f"paths.{i}.conv", x, dilation=dilation, groups=groups)
        maps.append(norm(state, f"paths.{i}.bn", u, training, momentum).relu())
    u = torch.stack(maps, 1)  # (B, M, C, H, W)
    z = conv(state, "attn.fc_reduce", u.sum(1).mean((2, 3), keepdim=True))
    z = norm(state, "attn.bn", z, training, momentum).relu()
    logits = conv(state, "attn.fc_select", z).view(len(x), len(maps), -1, 1, 1)
    return (u * logits.softmax(1)).sum(1)


def sknet_linear(state: State, x: Tensor, training: bool, *, groups: int, momentum: float = 0.1) -> Tensor:
    """SKNet as in pppLang's port, arXiv:1903.06586: z = W z + b without BN or relu, one linear map per branch."""
    maps, logits, branch = [], [], 0
    while f"convs.{branch}.0.weight" in state:
        u = same(state, f"convs.{branch}.0", x, groups=groups)
        maps.append(norm(state, f"convs.{branch}.1", u, training, momentum).relu())
        branch += 1
    z = linear(state, "fc", gap(sum(maps, torch.zeros_like(maps[0]))))
    for i in range(branch):
        logits.append(linear(state, f"fcs.{i}", z))
    weights = torch.stack(logits, 1).softmax(1)[..., None, None]
    return (torch.stack(maps, 1) * weights).sum(1)


# ---- CBAM -----------------------------------------------------------------------------------------------------------


def lse(x: Tensor) -> Tensor:
    """log sum exp over H and W, the maximum taken out, (B, C)."""
    flat = x.flatten(2)
    top = flat.max(2, keepdim=True).values
    return (top + (flat - top).exp().sum(2, keepdim=True).log()).squeeze(2)


POOLS = {
    "avg": lambda x: F.avg_pool2d(x, x.shape[2:]).flatten(1),
    "max": lambda x: F.max_pool2d(x, x.shape[2:]).flatten(1),
    "lp": lambda x: F.lp_pool2d(x, 2, tuple(x.shape[2:])).flatten(1),
    "lse": lse,
}


def spatial_gate(
    state: State, key: str, x: Tensor, training: bool, momentum: float, order: tuple[str, ...] = ("max", "mean")
) -> Tensor:
    """x * sigmoid(BN(conv_kxk(zpool(x)))), the convolution at key.conv and the norm at key.bn."""
    t = same(state, f"{key}.conv", zpool(x, order))
    return x * norm(state, f"{key}.bn", t, training, momentum).sigmoid()


def cbam(
    state: State,
    x: Tensor,
    training: bool,
    *,
    pools: tuple[str, ...] = ("avg", "max"),
    spatial: bool = True,
    order: tuple[str, ...] = ("max", "mean"),
    momentum: float = 0.01,
) -> Tensor:
    """x' = x sigmoid(sum_p MLP(pool_p x)); y = x' sigmoid(BN(conv(max_c x' ++ mean_c x'))), arXiv:1807.06521."""
    logits = torch.zeros_like(gap(x))
    for pool in pools:
        logits = logits + mlp(state, "ChannelGate.mlp.1", "ChannelGate.mlp.3", POOLS[pool](x))
    x = scale(x, logits.sigmoid())
    return spatial_gate(state, "SpatialGate.spatial", x, training, momentum, order) if spatial else x


def cbam_timm(state: State, x: Tensor, training: bool) -> Tensor:
    """CBAM as in timm, arXiv:1807.06521: no biases, mean before max, BN momentum 0.1."""
    mean, top = x.mean((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
    logits = [conv(state, "channel.fc2", conv(state, "channel.fc1", t).relu()) for t in (mean, top)]
    x = x * (logits[0] + logits[1]).sigmoid()
    return spatial_gate(state, "spatial.conv", x, training, 0.1, ("mean", "max"))


# ---- Coordinate Attention -------------------------------------------------------------------------------------------


def coordatt(state: State, x: Tensor, training: bool) -> Tensor:
    """x g_h g_w; [u_h, u_w] = hswish(BN(conv(mean_W x ++ mean_H x))), g = sigmoid(conv u), arXiv:2103.02907."""
    last_h, last_w = ("conv_h", "conv_w") if "conv_h.weight" in state else ("conv2", "conv3")
    xh = x.mean(3, keepdim=True)  # (B, C, H, 1)
    xw = x.mean(2, keepdim=True).permute(0, 1, 3, 2)  # (B, C, W, 1)
    u = norm(state, "bn1", conv(state, "conv1", torch.cat([xh, xw], 2)), training)
    uh, uw = torch.split(u * hsig(u), [x.shape[2], x.shape[3]], 2)
    gh = conv(state, last_h, uh).sigmoid()
    gw = conv(state, last_w, uw.permute(0, 1, 3, 2)).sigmoid()
    return x * gw * gh


# ---- Triplet Attention ----------------------------------------------------------------------------------------------


def triplet(state: State, x: Tensor, training: bool, *, spatial: bool = True, momentum: float = 0.01) -> Tensor:
    """mean_i rotate_i^-1(gate(rotate_i(x))), gate(t) = t sigmoid(BN(conv(zpool(t)))), arXiv:2010.03045."""
    branches = {"cw": (0, 2, 1, 3), "hc": (0, 3, 2, 1), "hw": (0, 1, 2, 3)}  # each its own inverse
    if not spatial:
        del branches["hw"]
    total = torch.zeros_like(x)
    for name, axes in branches.items():
        rotated = x.permute(axes).contiguous()
        total = total + spatial_gate(state, f"{name}.conv", rotated, training, momentum).permute(axes).contiguous()
    return total / len(branches)


# ---- DANet ----------------------------------------------------------------------------------------------------------


def pam(state: State, x: Tensor, training: bool, *, prefix: str = "") -> Tensor:
    """gamma V softmax(Q^T K)^T + x over positions, arXiv:1809.02983 section 3.2."""
    q = conv(state, f"{prefix}query_conv", x).flatten(2).permute(0, 2, 1)  # (B, N, k)
    k = conv(state, f"{prefix}key_conv", x).flatten(2)  # (B, k, N)
    v = conv(state, f"{prefix}value_conv", x).flatten(2)  # (B, C, N)
    attention = torch.bmm(q, k).softmax(-1)  # (B, N queries, N keys)
    out = torch.bmm(v, attention.permute(0, 2, 1)).view_as(x)
    return state[f"{prefix}gamma"] * out + x


def cam(state: State, x: Tensor, training: bool, *, prefix: str = "") -> Tensor:
    """gamma softmax(rowmax(X X^T) - X X^T) X + x over channels, arXiv:1809.02983 section 3.3, sign as in the code."""
    flat = x.flatten(2)
    energy = torch.bmm(flat, flat.permute(0, 2, 1))
    energy = energy.max(-1, keepdim=True).values.expand_as(energy) - energy
    return state[f"{prefix}gamma"] * torch.bmm(energy.softmax(-1), flat).view_as(x) + x


def conv_bn_relu(state: State, key: str, x: Tensor, training: bool) -> Tensor:
    """relu(BN(conv3x3(x))), the convolution at key.0 and the norm at key.1."""
    return norm(state, f"{key}.1", same(state, f"{key}.0", x), training).relu()


def danet_branches(state: State, x: Tensor, training: bool) -> tuple[Tensor, Tensor]:
    """a = CBR(PAM(CBR(x))), b = CBR(CAM(CBR(x))), arXiv:1809.02983."""
    position = pam(state, conv_bn_relu(state, "conv5a", x, training), training, prefix="sa.")
    channel = cam(state, conv_bn_relu(state, "conv5c", x, training), training, prefix="sc.")
    return conv_bn_relu(state, "conv51", position, training), conv_bn_relu(state, "conv52", channel, training)


def danet(state: State, x: Tensor, training: bool) -> Tensor:
    """a + b: the fused features of the dual attention head, arXiv:1809.02983."""
    a, b = danet_branches(state, x, training)
    return a + b


def danet_head(state: State, x: Tensor, training: bool) -> Tensor:
    """conv8(a + b), conv6(a), conv7(b) end to end along C, dropout off, arXiv:1809.02983."""
    a, b = danet_branches(state, x, training)
    return torch.cat([conv(state, "conv8.1", a + b), conv(state, "conv6.1", a), conv(state, "conv7.1", b)], 1)


# ---- SeaFormer ------------------------------------------------------------------------------------------------------


def conv_bn(state: State, key: str, x: Tensor, training: bool, **options: int) -> Tensor:
    """BN(conv(x)), the convolution at key.c and the norm at key.bn."""
    return norm(state, f"{key}.bn", same(state, f"{key}.c", x, **options), training)


def position(state: State, key: str, length: int) -> Tensor:
    """The positional embedding (1, q, P) at key, linearly interpolated to length."""
    return F.interpolate(state[f"{key}.pos_embed"], size=length, mode="linear", align_corners=False)


def axial(state: State, name: str, qkv: tuple[Tensor, Tensor, Tensor], heads: int) -> Tensor:
    """softmax_keys(Q^T K key_dim^-0.5) V along one axis, (B, v, L); positions on Q and K only."""
    q, k, v = qkv
    batch, width, length = q.shape
    q = (q + position(state, f"pos_emb_{name}q", length)).view(batch, heads, -1, length).permute(0, 1, 3, 2)
    k = (k + position(state, f"pos_emb_{name}k", length)).view(batch, heads, -1, length)
    v = v.view(batch, heads, -1, length).permute(0, 1, 3, 2)
    factor = (width // heads) ** -0.5
    attention = (torch.matmul(q, k) * factor).softmax(-1)  # (B, heads, L queries, L keys)
    return torch.matmul(attention, v).permute(0, 1, 3, 2).reshape(batch, -1, length)


def seaformer(state: State, x: Tensor, training: bool, *, heads: int = 4, act: Reference = F.relu6) -> Tensor:
    """hsig(BN(conv(act(V + row + column)))) * detail(Q ++ K ++ V), arXiv:2301.13156."""
    q, k, v = (conv_bn(state, key, x, training) for key in ("to_q", "to_k", "to_v"))
    total = torch.cat([q, k, v], 1)
    detail = act(conv_bn(state, "dwconv", total, training, groups=total.shape[1]))
    detail = conv_bn(state, "pwconv", detail, training)
    row = axial(state, "row", (q.mean(-1), k.mean(-1), v.mean(-1)), heads).unsqueeze(3)
    row = conv_bn(state, "proj_encode_row.1", act(row), training)
    column = axial(state, "column", (q.mean(-2), k.mean(-2), v.mean(-2)), heads).unsqueeze(2)
    column = conv_bn(state, "proj_encode_column.1", act(column), training)
    return hsig(conv_bn(state, "proj.1", act(v + row + column), training)) * detail
