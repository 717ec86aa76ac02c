"""Whole blocks of other papers as plain torch modules with the authors' parameter names."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .other_gates import GlobalResponse, depthwise, mean


def layer_norm(norm: nn.LayerNorm, x: Tensor) -> Tensor:
    """Of each position over its channels."""
    return norm(x.movedim(1, 3)).movedim(3, 1)


def of_channels(linear: nn.Module, x: Tensor) -> Tensor:
    """A linear map over C of B C H W."""
    return linear(x.movedim(1, 3)).movedim(3, 1)


class ConvNorm(nn.Module):
    """Conv and bn, a relu behind; without a norm the convolution has a bias."""

    def __init__(self, c: int, out: int, k: int, norm: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c, out, k, padding=k // 2, bias=not norm)
        if norm:
            self.bn = nn.BatchNorm2d(out)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x)).relu() if hasattr(self, "bn") else self.conv(x)


class Involution(nn.Module):
    """Involution of stride 1, arXiv:2103.06255, equations 4 and 6."""

    def __init__(self, c: int, k: int = 7) -> None:
        super().__init__()
        self.k, self.groups = k, c // 16
        self.conv1, self.conv2 = ConvNorm(c, c // 4, 1), ConvNorm(c // 4, k * k * self.groups, 1, norm=False)

    def forward(self, x: Tensor) -> Tensor:
        grid = x.shape[2:]
        kernel = self.conv2(self.conv1(x)).unflatten(1, (self.groups, 1, -1))
        around = F.unfold(x, self.k, padding=self.k // 2).unflatten(1, (self.groups, 16, -1)).unflatten(4, grid)
        return (kernel * around).sum(3).flatten(1, 2)


def between_channels(qkv: Tensor, temperature: Tensor) -> Tensor:
    """softmax(t cos(q, k)) v among the channels of a head, arXiv:2106.09681 equation 2."""
    q, k, v = (part.unflatten(1, (len(temperature), -1)).flatten(3) for part in qkv.chunk(3, 1))
    weights = (F.normalize(q, dim=3) @ F.normalize(k, dim=3).mT * temperature).softmax(3)
    return (weights @ v).flatten(1, 2).unflatten(2, qkv.shape[2:])


class Transposed(nn.Module):
    """MDTA, arXiv:2111.09881, equation 1."""

    def __init__(self, c: int, heads: int = 4, bias: bool = False) -> None:
        super().__init__()
        self.temperature, self.qkv = nn.Parameter(torch.ones(heads, 1, 1)), nn.Conv2d(c, 3 * c, 1, bias=bias)
        self.qkv_dwconv, self.project_out = depthwise(3 * c, 3, bias=bias), nn.Conv2d(c, c, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.project_out(between_channels(self.qkv_dwconv(self.qkv(x)), self.temperature))


class CrossCovariance(nn.Module):
    """XCA, arXiv:2106.09681, equation 2."""

    def __init__(self, c: int, heads: int = 8) -> None:
        super().__init__()
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.qkv, self.proj = nn.Linear(c, 3 * c), nn.Linear(c, c)

    def forward(self, x: Tensor) -> Tensor:
        return of_channels(self.proj, between_channels(of_channels(self.qkv, x), self.temperature))


class Simple(nn.Module):
    """A NAFNet block, arXiv:2204.04676, figure 3c."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.conv1, self.conv2, self.conv3 = nn.Conv2d(c, 2 * c, 1), depthwise(2 * c, 3), nn.Conv2d(c, c, 1)
        self.sca = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(c, c, 1))
        self.conv4, self.conv5 = nn.Conv2d(c, 2 * c, 1), nn.Conv2d(c, c, 1)
        self.norm1, self.norm2 = nn.LayerNorm(c, eps=1e-6), nn.LayerNorm(c, eps=1e-6)
        self.beta, self.gamma = nn.Parameter(torch.zeros(1, c, 1, 1)), nn.Parameter(torch.zeros(1, c, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.conv2(self.conv1(layer_norm(self.norm1, x))).chunk(2, 1)
        x = x + self.beta * self.conv3(a * b * self.sca(a * b))
        a, b = self.conv4(layer_norm(self.norm2, x)).chunk(2, 1)
        return x + self.gamma * self.conv5(a * b)


class SelfCalibrated(nn.Module):
    """A self-calibrated convolution, CVPR 2020, equations 4-6; sides that r divides."""

    def __init__(self, c: int, r: int = 4) -> None:
        super().__init__()
        parts = [(nn.Conv2d(c, c, 3, padding=1, bias=False), nn.BatchNorm2d(c)) for _ in range(3)]
        self.k2 = nn.Sequential(nn.AvgPool2d(r, r), *parts[0])
        self.k3, self.k4 = nn.Sequential(*parts[1]), nn.Sequential(*parts[2])

    def forward(self, x: Tensor) -> Tensor:
        gate = (x + F.interpolate(self.k2(x), x.shape[2:])).sigmoid()
        return self.k4(self.k3(x) * gate)


class SkipSqueeze(nn.Module):
    """The block of ParNet, arXiv:2110.07641, figure 2, in the form of its best-known port."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.sse = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(c, c, 1), nn.Sigmoid())
        self.conv1x1 = nn.Sequential(nn.Conv2d(c, c, 1), nn.BatchNorm2d(c))
        self.conv3x3 = nn.Sequential(nn.Conv2d(c, c, 3, padding=1), nn.BatchNorm2d(c))

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(self.conv1x1(x) + self.conv3x3(x) + x * self.sse(x))


class ResidualChannel(nn.Module):
    """RCAB, arXiv:1807.02758, equation 12."""

    def __init__(self, c: int, r: int = 16) -> None:
        super().__init__()
        gate = nn.Module()
        gate.conv_du = nn.Sequential(nn.Conv2d(c, c // r, 1), nn.ReLU(), nn.Conv2d(c // r, c, 1), nn.Sigmoid())
        self.body = nn.Sequential(nn.Conv2d(c, c, 3, padding=1), nn.ReLU(), nn.Conv2d(c, c, 3, padding=1), gate)

    def forward(self, x: Tensor) -> Tensor:
        y = self.body[:3](x)
        return x + y * self.body[3].conv_du(mean(y))


class FocalModulation(nn.Module):
    """Focal modulation with levels of 3, 5, ..., arXiv:2203.11926, equations 5-7."""

    def __init__(self, c: int, levels: int = 2) -> None:
        super().__init__()
        self.f, self.h, self.proj = nn.Linear(c, 2 * c + levels + 1), nn.Conv2d(c, c, 1), nn.Linear(c, c)
        windows = [depthwise(c, 3 + 2 * i, bias=False) for i in range(levels)]
        self.focal_layers = nn.ModuleList(nn.Sequential(window, nn.GELU()) for window in windows)

    def forward(self, x: Tensor) -> Tensor:
        c = x.shape[1]
        q, context, gates = of_channels(self.f, x).tensor_split([c, 2 * c], 1)
        contexts = []
        for layer in self.focal_layers:
            context = layer(context)
            contexts.append(context)
        contexts.append(F.gelu(mean(context)))
        total = sum(z * gate for z, gate in zip(contexts, gates.split(1, 1), strict=True))
        return of_channels(self.proj, q * self.h(total))


class RecursiveGated(nn.Module):
    """g^n Conv of order 3, arXiv:2207.14284, equations 3-4."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.widths = [c // 4, c // 2, c]
        self.proj_in, self.proj_out = nn.Conv2d(c, 2 * c, 1), nn.Conv2d(c, c, 1)
        self.dwconv = depthwise(sum(self.widths), 7)
        self.pws = nn.ModuleList(nn.Conv2d(a, 2 * a, 1) for a in self.widths[:2])

    def forward(self, x: Tensor) -> Tensor:
        x, rest = self.proj_in(x).tensor_split([self.widths[0]], 1)
        gates = (self.dwconv(rest) / 3).split(self.widths, 1)
        x = self.pws[1](self.pws[0](x * gates[0]) * gates[1]) * gates[2]
        return self.proj_out(x)


class SecondConvNeXt(nn.Module):
    """A ConvNeXt V2 block, arXiv:2301.00808, figure 5."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.dwconv, self.norm, self.grn = depthwise(c, 7), nn.LayerNorm(c, eps=1e-6), GlobalResponse(4 * c)
        self.pwconv1, self.pwconv2 = nn.Linear(c, 4 * c), nn.Linear(4 * c, c)

    def forward(self, x: Tensor) -> Tensor:
        y = F.gelu(of_channels(self.pwconv1, layer_norm(self.norm, self.dwconv(x))))
        return x + of_channels(self.pwconv2, self.grn(y))


class Dynamic(nn.Module):
    """A dynamic convolution, arXiv:1912.03458, equations 2-3: the kernels of each image are mixed."""

    def __init__(self, c: int, t: float = 34.0, kernels: int = 4) -> None:
        super().__init__()
        self.t, self.weight = t, nn.Parameter(torch.zeros(kernels, c, c, 3, 3))
        self.bias, self.attention = nn.Parameter(torch.zeros(kernels, c)), nn.Module()
        self.attention.fc1 = nn.Conv2d(c, c // 4 + 1, 1, bias=False)
        self.attention.fc2 = nn.Conv2d(c // 4 + 1, kernels, 1)

    def forward(self, x: Tensor) -> Tensor:
        logits = self.attention.fc2(self.attention.fc1(mean(x)).relu()).flatten(1)
        mixed = [torch.tensordot((logits / self.t).softmax(1), w, 1) for w in (self.weight, self.bias)]
        return torch.cat([F.conv2d(x[i : i + 1], w, b, padding=1) for i, (w, b) in enumerate(zip(*mixed, strict=True))])


class Refinement(nn.Module):
    """The attention refinement module of BiSeNet, arXiv:1808.00897, figure 2b."""

    def __init__(self, c: int) -> None:
        super().__init__()
        d = c // 2
        self.conv, self.conv_atten, self.bn_atten = ConvNorm(c, d, 3), nn.Conv2d(d, d, 1, bias=False), nn.BatchNorm2d(d)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return x * self.bn_atten(self.conv_atten(mean(x))).sigmoid()


class MixFeedForward(nn.Module):
    """A SegFormer block whose keys are not reduced, arXiv:2105.15203, equations 1 and 3."""

    def __init__(self, c: int, heads: int = 8) -> None:
        super().__init__()
        self.heads, self.attn, self.mlp = heads, nn.Module(), nn.Module()
        self.norm1, self.norm2 = nn.LayerNorm(c, eps=1e-6), nn.LayerNorm(c, eps=1e-6)
        self.attn.q, self.attn.kv, self.attn.proj = nn.Linear(c, c), nn.Linear(c, 2 * c), nn.Linear(c, c)
        self.mlp.fc1, self.mlp.fc2, self.mlp.dwconv = nn.Linear(c, 4 * c), nn.Linear(4 * c, c), nn.Module()
        self.mlp.dwconv.dwconv = depthwise(4 * c, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = layer_norm(self.norm1, x)
        qkv = torch.cat([of_channels(self.attn.q, y), of_channels(self.attn.kv, y)], 1)
        q, k, v = (part.unflatten(1, (self.heads, -1)).flatten(3).mT for part in qkv.chunk(3, 1))
        y = F.scaled_dot_product_attention(q, k, v).mT.flatten(1, 2).unflatten(2, x.shape[2:])
        x = x + of_channels(self.attn.proj, y)
        y = of_channels(self.mlp.fc1, layer_norm(self.norm2, x))
        return x + of_channels(self.mlp.fc2, F.gelu(self.mlp.dwconv.dwconv(y)))
