"""Attention gates of other papers as plain torch modules with the authors' parameter names."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def mean(x: Tensor) -> Tensor:
    """The mean over the positions, B C 1 1."""
    return x.mean((2, 3), keepdim=True)


def depthwise(c: int, k: int | tuple[int, int], dilation: int = 1, bias: bool = True) -> nn.Conv2d:
    """A depthwise convolution that keeps the grid."""
    h, w = (k, k) if isinstance(k, int) else k
    padding = (dilation * (h // 2), dilation * (w // 2))
    return nn.Conv2d(c, c, (h, w), padding=padding, dilation=dilation, groups=c, bias=bias)


class CrossSpatial(nn.Module):
    """EMA, arXiv:2305.13563, figure 3: groups in the batch, two branches that weigh one another."""

    def __init__(self, c: int, groups: int = 8) -> None:
        super().__init__()
        self.groups, width = groups, c // groups
        self.gn = nn.GroupNorm(width, width)
        self.conv1x1, self.conv3x3 = nn.Conv2d(width, width, 1), nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        h = x.shape[2]
        t = x.unflatten(1, (self.groups, -1)).flatten(0, 1)
        strip = self.conv1x1(torch.cat([t.mean(3, keepdim=True), t.mean(2, keepdim=True).mT], 2)).sigmoid()
        a, b = self.gn(t * strip[:, :, :h] * strip[:, :, h:].mT), self.conv3x3(t)
        weights = mean(a).softmax(1) * b + mean(b).softmax(1) * a
        return (t * weights.sum(1, keepdim=True).sigmoid()).view_as(x)


class PyramidSqueeze(nn.Module):
    """EPSANet's module, arXiv:2105.14447, equations 3-9: four kernels, one SE for all, a softmax over them."""

    def __init__(self, c: int) -> None:
        super().__init__()
        width = c // 4
        for i, (k, groups) in enumerate(((3, 1), (5, 4), (7, 8), (9, 16)), 1):
            setattr(self, f"conv_{i}", nn.Conv2d(c, width, k, padding=k // 2, groups=groups, bias=False))
        self.se = nn.Module()
        self.se.fc1, self.se.fc2 = nn.Conv2d(width, width // 16, 1), nn.Conv2d(width // 16, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        maps = [getattr(self, f"conv_{i}")(x) for i in (1, 2, 3, 4)]
        gates = [self.se.fc2(self.se.fc1(mean(m)).relu()).sigmoid() for m in maps]
        shares = torch.stack(gates).softmax(0)
        return torch.cat([m * share for m, share in zip(maps, shares, strict=True)][::-1], 1)


class GlobalAttention(nn.Module):
    """GAM, arXiv:2112.05561, equations 1-2, in the form of the authors' code."""

    def __init__(self, c: int, r: int = 4) -> None:
        super().__init__()
        m = c // r
        self.channel_attention = nn.Sequential(nn.Linear(c, m), nn.ReLU(), nn.Linear(m, c))
        first, second = nn.Conv2d(c, m, 7, padding=3), nn.Conv2d(m, c, 7, padding=3)
        self.spatial_attention = nn.Sequential(first, nn.BatchNorm2d(m), nn.ReLU(), second, nn.BatchNorm2d(c))

    def forward(self, x: Tensor) -> Tensor:
        x = x * self.channel_attention(x.movedim(1, 3)).movedim(3, 1)
        return x * self.spatial_attention(x).sigmoid()


class MultiScale(nn.Module):
    """MSCA, arXiv:2209.08575, equations 1-2."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.conv0, self.conv3 = depthwise(c, 5), nn.Conv2d(c, c, 1)
        self.conv0_1, self.conv0_2 = depthwise(c, (1, 7)), depthwise(c, (7, 1))
        self.conv1_1, self.conv1_2 = depthwise(c, (1, 11)), depthwise(c, (11, 1))
        self.conv2_1, self.conv2_2 = depthwise(c, (1, 21)), depthwise(c, (21, 1))

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv0(x)
        strips = [self.conv0_2(self.conv0_1(y)), self.conv1_2(self.conv1_1(y)), self.conv2_2(self.conv2_1(y))]
        return x * self.conv3(y + sum(strips))


class ConvNormSiLU(nn.Module):
    """A 1 x 1 convolution, a batch norm of momentum 0.03 and eps 1e-3, SiLU."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(c, c, 1, bias=False), nn.BatchNorm2d(c, momentum=0.03, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(self.bn(self.conv(x)))


class ContextAnchor(nn.Module):
    """CAA, arXiv:2403.06258, equations 4-6."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = ConvNormSiLU(c), ConvNormSiLU(c)
        self.h_conv, self.v_conv = nn.Module(), nn.Module()
        self.h_conv.conv, self.v_conv.conv = depthwise(c, (1, 11)), depthwise(c, (11, 1))

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(F.avg_pool2d(x, 7, 1, 3))
        return x * self.conv2(self.v_conv.conv(self.h_conv.conv(y))).sigmoid()


class LargeSelective(nn.Module):
    """LSK, arXiv:2303.09030, equations 4-8."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.conv0, self.conv_spatial = depthwise(c, 5), depthwise(c, 7, dilation=3)
        self.conv1, self.conv2 = nn.Conv2d(c, c // 2, 1), nn.Conv2d(c, c // 2, 1)
        self.conv_squeeze, self.conv = nn.Conv2d(2, 2, 7, padding=3), nn.Conv2d(c // 2, c, 1)

    def forward(self, x: Tensor) -> Tensor:
        near = self.conv0(x)
        both = [self.conv1(near), self.conv2(self.conv_spatial(near))]
        maps = torch.cat(both, 1)
        gates = self.conv_squeeze(torch.stack([maps.mean(1), maps.amax(1)], 1)).sigmoid()
        return x * self.conv(both[0] * gates[:, :1] + both[1] * gates[:, 1:])


class LargeSeparable(nn.Module):
    """LSKA of size 23, arXiv:2309.01439, equations 6-9."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.conv0h, self.conv0v = depthwise(c, (1, 5)), depthwise(c, (5, 1))
        self.conv_spatial_h, self.conv_spatial_v = depthwise(c, (1, 7), dilation=3), depthwise(c, (7, 1), dilation=3)
        self.conv1 = nn.Conv2d(c, c, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.conv1(self.conv_spatial_v(self.conv_spatial_h(self.conv0v(self.conv0h(x)))))


class AxisGate(nn.Module):
    """MCA's gate along axis 1: a 1D convolution of (1/2 + sigmoid w) times mean and standard deviation, summed."""

    def __init__(self, k: int) -> None:
        super().__init__()
        self.conv, self.weight = nn.Conv2d(1, 1, (1, k), padding=(0, k // 2), bias=False), nn.Parameter(torch.zeros(2))

    def forward(self, x: Tensor) -> Tensor:
        share = self.weight.sigmoid() + 0.5
        z = share[0] * x.mean((2, 3)) + share[1] * x.std((2, 3))
        return x * self.conv(z[:, None, None]).sigmoid().flatten(1)[..., None, None]


class MultidimensionalCollaborative(nn.Module):
    """MCA, EAAI 2023, equations 3-8."""

    def __init__(self, c: int) -> None:
        super().__init__()
        k = round((math.log2(c) - 1) / 1.5)
        self.h_cw, self.w_hc, self.c_hw = AxisGate(3), AxisGate(3), AxisGate(k - 1 + k % 2)

    def forward(self, x: Tensor) -> Tensor:
        h, w = self.h_cw(x.transpose(1, 2)).transpose(1, 2), self.w_hc(x.transpose(1, 3)).transpose(1, 3)
        return (h + w + self.c_hw(x)) / 3


class StripPooling(nn.Module):
    """The strip pooling module, arXiv:2003.13328, equations 3-5."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(c, c, (3, 1), padding=(1, 0), bias=False), nn.BatchNorm2d(c)
        self.conv2, self.bn2 = nn.Conv2d(c, c, (1, 3), padding=(0, 1), bias=False), nn.BatchNorm2d(c)
        self.conv3 = nn.Conv2d(c, c, 1)

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = self.bn1(self.conv1(x.mean(3, keepdim=True))), self.bn2(self.conv2(x.mean(2, keepdim=True)))
        return x * self.conv3((rows + columns).relu()).sigmoid()


class SimplifiedChannel(nn.Module):
    """SCA, arXiv:2204.04676, equation 5."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.sca = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(c, c, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.sca(x)


class Pixel(nn.Module):
    """Pixel attention, arXiv:2010.01073, equation 3."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c, c, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.conv(x).sigmoid()


class GlobalResponse(nn.Module):
    """GRN, arXiv:2301.00808, equations 1-3; of maps B C H W, its parameters for B H W C as the authors have them."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.gamma, self.beta = nn.Parameter(torch.zeros(1, 1, 1, c)), nn.Parameter(torch.zeros(1, 1, 1, c))

    def forward(self, x: Tensor) -> Tensor:
        length = x.norm(dim=(2, 3), keepdim=True)
        share = length / (length.mean(1, keepdim=True) + 1e-6)
        return x + self.gamma.movedim(3, 1) * x * share + self.beta.movedim(3, 1)
