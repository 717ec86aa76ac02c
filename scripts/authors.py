"""The authors' code of the seven papers, restated in plain torch with the authors' class names.

It has every copy, concatenation, expansion, pooling call, separate projection and in-place activation of the original, because
these take time. tests/papers/references computes the same formulas without them. Each class names its repository.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SELayer(nn.Module):
    """x * expand(sigmoid(W2 relu(W1 GAP(x)))): moskomule/senet.pytorch, with the biases of the Caffe code."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = channels // reduction
        self.avg_pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(True), nn.Linear(hidden, channels), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        b, c = x.shape[:2]
        y = self.fc(self.avg_pool(x).view(b, c)).view(b, c, 1, 1)
        return x * y.expand_as(x)


# ---- SKNet ----------------------------------------------------------------------------------------------------------


class ConvBNAct(nn.Module):
    """relu(BN(conv3x3(x))) with an in-place relu. Momentum 0.05 is 0.95 in the prototxt."""

    def __init__(self, channels: int, dilation: int, groups: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(channels, momentum=0.05)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.bn(self.conv(x)))


class SelectiveKernelAttn(nn.Module):
    """softmax over paths of W2 relu(BN(W1 mean(sum of paths))): (B, paths, C, 1, 1)."""

    def __init__(self, channels: int, paths: int, width: int) -> None:
        super().__init__()
        self.paths = paths
        self.fc_reduce = nn.Conv2d(channels, width, 1, bias=False)
        self.bn = nn.BatchNorm2d(width, momentum=0.05)
        self.act = nn.ReLU(inplace=True)
        self.fc_select = nn.Conv2d(width, channels * paths, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = x.sum(1).mean((2, 3), keepdim=True)
        x = self.fc_select(self.act(self.bn(self.fc_reduce(x))))
        b, c, h, w = x.shape
        return torch.softmax(x.view(b, self.paths, c // self.paths, h, w), dim=1)


class SelectiveKernel(nn.Module):
    """Sum over paths of stack(paths) * attn: timm, split_input=False, groups 32, width max(C // 16, 32)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.paths = nn.ModuleList(ConvBNAct(channels, dilation, groups=32) for dilation in (1, 2))
        self.attn = SelectiveKernelAttn(channels, 2, max(channels // 16, 32))

    def forward(self, x: Tensor) -> Tensor:
        stacked = torch.stack([path(x) for path in self.paths], dim=1)
        return torch.sum(stacked * self.attn(stacked), dim=1)


# ---- CBAM and Triplet Attention -------------------------------------------------------------------------------------


class ChannelGate(nn.Module):
    """x * expand(sigmoid(sum over pools of mlp(pool(x)))), a Python loop over average and max pooling."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = channels // reduction
        self.mlp = nn.Sequential(nn.Flatten(), nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels))
        self.pools = (F.avg_pool2d, F.max_pool2d)

    def forward(self, x: Tensor) -> Tensor:
        total = None
        for pool in self.pools:
            size = (x.size(2), x.size(3))
            raw = self.mlp(pool(x, size, stride=size))
            total = raw if total is None else total + raw
        scale = F.sigmoid(total).unsqueeze(2).unsqueeze(3).expand_as(x)
        return x * scale


class BasicConv(nn.Module):
    """BN(conv7x7(x)) from two channels to one, momentum 0.01."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 7, padding=3, bias=False)
        self.bn = nn.BatchNorm2d(1, momentum=0.01)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x))


def zpool(x: Tensor) -> Tensor:
    """Max and mean over channels, concatenated. torch.max also returns the indices."""
    return torch.cat((torch.max(x, 1)[0].unsqueeze(1), torch.mean(x, 1).unsqueeze(1)), dim=1)


class SpatialGate(nn.Module):
    """x * sigmoid(BN(conv(zpool(x))))."""

    def __init__(self) -> None:
        super().__init__()
        self.spatial = BasicConv()

    def forward(self, x: Tensor) -> Tensor:
        return x * F.sigmoid(self.spatial(zpool(x)))


class CBAM(nn.Module):
    """Channel gate, then spatial gate: Jongchan/attention-module."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.ChannelGate, self.SpatialGate = ChannelGate(channels), SpatialGate()

    def forward(self, x: Tensor) -> Tensor:
        return self.SpatialGate(self.ChannelGate(x))


class AttentionGate(nn.Module):
    """x * sigmoid(BN(conv(zpool(x)))) with an in-place sigmoid."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = BasicConv()

    def forward(self, x: Tensor) -> Tensor:
        return x * self.conv(zpool(x)).sigmoid_()


class TripletAttention(nn.Module):
    """Mean of three gates on permuted copies of x, each permuted back: landskape-ai/triplet-attention."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.cw, self.hc, self.hw = AttentionGate(), AttentionGate(), AttentionGate()

    def forward(self, x: Tensor) -> Tensor:
        cw = self.cw(x.permute(0, 2, 1, 3).contiguous()).permute(0, 2, 1, 3).contiguous()
        hc = self.hc(x.permute(0, 3, 2, 1).contiguous()).permute(0, 3, 2, 1).contiguous()
        return 1 / 3 * (self.hw(x) + cw + hc)


# ---- Coordinate Attention -------------------------------------------------------------------------------------------


class HSigmoid(nn.Module):
    """relu6(x + 3) / 6 with an in-place relu6."""

    def __init__(self) -> None:
        super().__init__()
        self.relu = nn.ReLU6(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(x + 3) / 6


class CoordAtt(nn.Module):
    """x * a_w * a_h; one convolution takes the row and column means, concatenated: houqb/CoordAttention."""

    def __init__(self, channels: int, reduction: int = 32) -> None:
        super().__init__()
        width = max(8, channels // reduction)
        self.pool_h, self.pool_w = nn.AdaptiveAvgPool2d((None, 1)), nn.AdaptiveAvgPool2d((1, None))
        self.conv1, self.bn1, self.sigmoid = nn.Conv2d(channels, width, 1), nn.BatchNorm2d(width), HSigmoid()
        self.conv_h, self.conv_w = nn.Conv2d(width, channels, 1), nn.Conv2d(width, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        h, w = x.shape[2:]
        y = torch.cat([self.pool_h(x), self.pool_w(x).permute(0, 1, 3, 2)], dim=2)
        y = self.bn1(self.conv1(y))
        x_h, x_w = torch.split(y * self.sigmoid(y), [h, w], dim=2)
        a_h = self.conv_h(x_h).sigmoid()
        a_w = self.conv_w(x_w.permute(0, 1, 3, 2)).sigmoid()
        return x * a_w * a_h


# ---- DANet ----------------------------------------------------------------------------------------------------------


class PAM(nn.Module):
    """gamma V softmax(Q^T K)^T + x over positions, with three separate convolutions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query_conv = nn.Conv2d(channels, channels // 8, 1)
        self.key_conv = nn.Conv2d(channels, channels // 8, 1)
        self.value_conv = nn.Conv2d(channels, channels, 1)
        self.gamma, self.softmax = nn.Parameter(torch.zeros(1)), nn.Softmax(dim=-1)

    def forward(self, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        query = self.query_conv(x).view(b, -1, w * h).permute(0, 2, 1)
        key = self.key_conv(x).view(b, -1, w * h)
        attention = self.softmax(torch.bmm(query, key))
        value = self.value_conv(x).view(b, -1, w * h)
        out = torch.bmm(value, attention.permute(0, 2, 1)).view(b, c, h, w)
        return self.gamma * out + x


class CAM(nn.Module):
    """gamma softmax(expand(rowmax E) - E) X + x over channels, E = X X^T."""

    def __init__(self) -> None:
        super().__init__()
        self.gamma, self.softmax = nn.Parameter(torch.zeros(1)), nn.Softmax(dim=-1)

    def forward(self, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        query, key, value = x.view(b, c, -1), x.view(b, c, -1).permute(0, 2, 1), x.view(b, c, -1)
        energy = torch.bmm(query, key)
        attention = self.softmax(torch.max(energy, -1, keepdim=True)[0].expand_as(energy) - energy)
        out = torch.bmm(attention, value).view(b, c, h, w)
        return self.gamma * out + x


class DualAttention(nn.Module):
    """PAM(x) + CAM(x): junfu1115/DANet without the 3x3 convolutions of the head."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.sa, self.sc = PAM(channels), CAM()

    def forward(self, x: Tensor) -> Tensor:
        return self.sa(x) + self.sc(x)
