"""The authors' code of SeaFormer's attention, restated as in authors.py, and all papers by name."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from authors import CBAM, PAM, CoordAtt, DualAttention, HSigmoid, SELayer, SelectiveKernel, TripletAttention
from torch import Tensor, nn

AXES = ("row", "column")


class Conv2dBN(nn.Sequential):
    """BN(conv(x)) without bias."""

    def __init__(self, channels: int, out: int, kernel: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.add_module("c", nn.Conv2d(channels, out, kernel, padding=kernel // 2, groups=groups, bias=False))
        self.add_module("bn", nn.BatchNorm2d(out))


class SqueezeAxialPositionalEmbedding(nn.Module):
    """x + interpolate(pos_embed), interpolated in every forward; x is (B, C, N)."""

    def __init__(self, channels: int, length: int = 16) -> None:
        super().__init__()
        self.pos_embed = nn.Parameter(torch.randn(1, channels, length))

    def forward(self, x: Tensor) -> Tensor:
        return x + F.interpolate(self.pos_embed, size=x.shape[2], mode="linear", align_corners=False)


class SeaAttention(nn.Module):
    """hard_sigmoid(proj(V + row + column)) * detail(cat(Q, K, V)): fudan-zvg/SeaFormer, the classification code."""

    def __init__(self, channels: int, key: int = 16, heads: int = 4, ratio: int = 2) -> None:
        super().__init__()
        self.heads, self.scale = heads, key**-0.5
        keys, self.values = key * heads, ratio * key * heads
        total = 2 * keys + self.values
        self.to_q, self.to_k = Conv2dBN(channels, keys), Conv2dBN(channels, keys)
        self.to_v = Conv2dBN(channels, self.values)
        self.proj = nn.Sequential(nn.ReLU6(), Conv2dBN(self.values, channels))
        for axis in AXES:
            self.add_module(f"proj_encode_{axis}", nn.Sequential(nn.ReLU6(), Conv2dBN(self.values, self.values)))
            self.add_module(f"pos_emb_{axis}q", SqueezeAxialPositionalEmbedding(keys))
            self.add_module(f"pos_emb_{axis}k", SqueezeAxialPositionalEmbedding(keys))
        self.dwconv, self.act = Conv2dBN(total, total, 3, groups=total), nn.ReLU6()
        self.pwconv, self.sigmoid = Conv2dBN(total, channels), HSigmoid()

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.to_q(x), self.to_k(x), self.to_v(x)
        detail = self.pwconv(self.act(self.dwconv(torch.cat([q, k, v], dim=1))))
        row = self.proj_encode_row(self.attend((q, k, v), -1, self.pos_emb_rowq, self.pos_emb_rowk).unsqueeze(3))
        column = self.attend((q, k, v), -2, self.pos_emb_columnq, self.pos_emb_columnk).unsqueeze(2)
        gate = self.proj(v.add(row.add(self.proj_encode_column(column))))
        return self.sigmoid(gate) * detail

    def attend(self, maps: tuple[Tensor, ...], over: int, pos_q: nn.Module, pos_k: nn.Module) -> Tensor:
        """softmax(q^T k * scale) v of the means over dimension `over`: (B, v, N)."""
        q, k, v = (t.mean(over) for t in maps)
        b, _, n = q.shape
        q = pos_q(q).reshape(b, self.heads, -1, n).permute(0, 1, 3, 2)
        k = pos_k(k).reshape(b, self.heads, -1, n)
        v = v.reshape(b, self.heads, -1, n).permute(0, 1, 3, 2)
        weights = (torch.matmul(q, k) * self.scale).softmax(dim=-1)
        return torch.matmul(weights, v).permute(0, 1, 3, 2).reshape(b, self.values, n)


AUTHORS: dict[str, Callable[[int], nn.Module]] = {
    "senet": SELayer,
    "sknet": SelectiveKernel,
    "cbam": CBAM,
    "coordatt": CoordAtt,
    "triplet": TripletAttention,
    "danet": DualAttention,
    "seaformer": SeaAttention,
    "pam": PAM,
}
