"""Published blocks without recordings, against their formulas in plain torch."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import sefactory as sf

State = dict[str, Tensor]


def lka(s: State, x: Tensor) -> Tensor:
    """x * conv1(conv_spatial(conv0(x))), arXiv:2202.09741 equations 3-4."""
    c = x.shape[1]
    y = F.conv2d(x, s["excite.0.weight"], s["excite.0.bias"].flatten(), padding=2, groups=c)
    y = F.conv2d(y, s["excite.1.weight"], s["excite.1.bias"].flatten(), padding=9, dilation=3, groups=c)
    return x * F.conv2d(y, s["excite.2.weight"][..., None, None], s["excite.2.bias"])


def gated_channel(s: State, x: Tensor) -> Tensor:
    """1 + tanh(gamma s / rms(s) + beta), s = alpha ||x_c||, arXiv:1909.11519 equations 1-3."""
    view = (1, -1, 1, 1)
    energy = ((x**2).sum((2, 3), keepdim=True) + 1e-5).sqrt() * s["squeeze.4.weight"].view(view)
    norm = s["excite.1.weight"].view(view) / ((energy**2).mean(1, keepdim=True) + 1e-5).sqrt()
    return x * (1 + torch.tanh(energy * norm + s["excite.1.bias"].view(view)))


def gaussian_context(s: State, x: Tensor) -> Tensor:
    """exp(-z^2 / (2 c^2)), z the standardised context."""
    z = x.mean((2, 3), keepdim=True)
    z = (z - z.mean(1, keepdim=True)) / (z.var(1, keepdim=True, unbiased=False) + 1e-5).sqrt()
    return x * torch.exp(-(z**2) / 8)


def ela(s: State, x: Tensor) -> Tensor:
    """x * sigma(GN(conv1d(mean_W x))) * sigma(GN(conv1d(mean_H x))), arXiv:2403.01123 equations 6-8."""

    def strip(z: Tensor, name: str) -> Tensor:
        y = F.conv1d(z, s[f"excite.0.own.{name}.0.weight"], padding=3, groups=z.shape[1])
        return F.group_norm(y, 16, s[f"excite.0.own.{name}.1.weight"], s[f"excite.0.own.{name}.1.bias"]).sigmoid()

    return x * strip(x.mean(3), "h")[..., None] * strip(x.mean(2), "w")[:, :, None]


def sge(s: State, x: Tensor) -> Tensor:
    """Per group: t = sum_c x_c mean(x_c), standardised over the grid; x sigma(w t + b), arXiv:1905.09646 equations 1-4."""
    b, c, h, w = x.shape
    groups = x.reshape(b, 8, c // 8, h, w)
    t = (groups * groups.mean((3, 4), keepdim=True)).sum(2)
    t = (t - t.mean((2, 3), keepdim=True)) / (t.var((2, 3), keepdim=True) + 1e-5).sqrt()
    weight, bias = (s[f"series.enhance.excite.1.{name}"].view(1, 8, 1, 1) for name in ("weight", "bias"))
    return (groups * (weight * t + bias).sigmoid()[:, :, None]).reshape(x.shape)


def external(s: State, x: Tensor) -> Tensor:
    """M_v norm(M_k F), softmax over positions, then the sum over the memory to one, arXiv:2105.02358 equations 5-6."""
    query = torch.einsum("oc,bchw->bohw", s["series.query.0.weight"], x) + s["series.query.0.bias"].view(1, -1, 1, 1)
    weights = torch.einsum("kc,bcn->bkn", s["series.attend.0.weight"], query.flatten(2)).softmax(2)
    weights = weights / (weights.sum(1, keepdim=True) + 1e-9)
    return torch.einsum("ck,bkn->bcn", s["series.attend.3.weight"], weights).reshape(x.shape)


def efficient_attention(s: State, x: Tensor) -> Tensor:
    """x + W rho_q(Q) (rho_k(K)^T V), arXiv:1812.01243 equation 4."""
    c, n = x.shape[1], x.shape[1] // 2
    qkv = torch.einsum("oc,bcn->bon", s["excite.0.weight"], x.flatten(2)) + s["excite.0.bias"][:, None]
    q, k, v = qkv[:, :n].softmax(1), qkv[:, n : 2 * n].softmax(2), qkv[:, 2 * n :]
    y = torch.einsum("bkn,bkm,bcm->bcn", q, k, v)
    y = torch.einsum("oc,bcn->bon", s["excite.2.weight"], y) + s["excite.2.bias"][:, None]
    assert y.shape[1] == c
    return x + y.reshape(x.shape)


def lct(s: State, x: Tensor) -> Tensor:
    """x * sigma(w (z - mean_g) / std_g + b), arXiv:1909.03834 equations 2-4."""
    z = x.mean((2, 3)).reshape(x.shape[0], 16, -1)
    z = (z - z.mean(2, keepdim=True)) / (z.var(2, keepdim=True, unbiased=False) + 1e-5).sqrt()
    gate = (z.flatten(1) * s["excite.0.weight"] + s["excite.0.bias"]).sigmoid()
    return x * gate[..., None, None]


def polarized(s: State, x: Tensor) -> Tensor:
    """A_ch x + A_sp x, arXiv:2107.00782 equations 1-3."""

    def conv(name: str, z: Tensor) -> Tensor:
        return F.conv1d(z, s[f"{name}.weight"][..., None], s[f"{name}.bias"])

    flat, c = x.flatten(2), "parallel.channel.excite"
    z = conv(f"{c}.0.parallel.value.0", flat) @ conv(f"{c}.0.parallel.query.0", flat).softmax(2).mT
    z = F.layer_norm(conv(f"{c}.2", z).squeeze(2), x.shape[1:2], s[f"{c}.3.weight"], s[f"{c}.3.bias"]).sigmoid()
    p = "parallel.spatial.excite.0.parallel"
    query = conv(f"{p}.query.0", flat).mean(2, keepdim=True).softmax(1)
    gate = (query.mT @ conv(f"{p}.value.0", flat)).sigmoid()
    return x * z[..., None, None] + (flat * gate).reshape(x.shape)


def sanet(s: State, x: Tensor) -> Tensor:
    """Per group: [x_1 sigma(w GAP x_1 + b), x_2 sigma(w GN x_2 + b)], then a shuffle of two, arXiv:2102.00039."""
    b, c, h, w = x.shape
    first, second = x.reshape(b * 8, c // 8, h, w).chunk(2, 1)
    paths = {name: f"series.halves.parallel.{name}.1.excite" for name in ("channel", "spatial")}
    gain = {
        f"{name}.{i}.{k}": s[f"{path}.{i}.{k}"].view(1, -1, 1, 1)
        for name, path in paths.items()
        for i in (0, 1)
        for k in ("weight", "bias")
        if f"{path}.{i}.{k}" in s
    }
    first = first * (gain["channel.0.weight"] * first.mean((2, 3), keepdim=True) + gain["channel.0.bias"]).sigmoid()
    norm = (second - second.mean((2, 3), keepdim=True)) / (second.var((2, 3), keepdim=True, unbiased=False) + 1e-5).sqrt()
    norm = gain["spatial.0.weight"] * norm + gain["spatial.0.bias"]
    second = second * (gain["spatial.1.weight"] * norm + gain["spatial.1.bias"]).sigmoid()
    y = torch.cat([first, second], 1).reshape(b, 2, c // 2, h, w)
    return y.transpose(1, 2).reshape(x.shape)


STATEMENTS: dict[str, Callable[[State, Tensor], Tensor]] = {
    "lka": lka,
    "gated_channel": gated_channel,
    "gaussian_context": gaussian_context,
    "ela": ela,
    "sge": sge,
    "external": external,
    "efficient_attention": efficient_attention,
    "lct": lct,
    "polarized": polarized,
    "sanet": sanet,
}


def _random(block: sf.Block) -> sf.Block:
    """The block with every parameter random, in double precision."""
    block = block.double().eval()
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.normal_(0, 0.5)
    return block


@pytest.mark.parametrize("shape", [(2, 32, 9, 13), (1, 64, 12, 10), (3, 48, 7, 7)], ids=str)
@pytest.mark.parametrize("name", STATEMENTS)
def test_block_equals_its_formula(name: str, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    block = _random(sf.build(name, shape[1]))
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    state: dict[str, Any] = dict(block.state_dict())
    y, expected = block(x), STATEMENTS[name](state, x)
    torch.testing.assert_close(y, expected, rtol=1e-9, atol=1e-9)
    cotangent = torch.randn_like(y)
    ours, theirs = (torch.autograd.grad(out, x, cotangent)[0] for out in (y, expected))
    torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-8)


def test_gated_channel_starts_as_the_identity() -> None:
    x = torch.randn(2, 16, 5, 5)
    torch.testing.assert_close(sf.build("gated_channel", 16)(x), x)


def test_resnest_of_any_cardinality_is_grouped_alike() -> None:
    """Radix-major weights within each cardinal group, as the authors transpose them."""
    block = _random(sf.build("resnest", 32, overrides=["let.cardinality=2"]))
    x = torch.randn(2, 32, 5, 6, dtype=torch.float64)
    maps = block.series.split(x.unsqueeze(1))
    pooled = maps.sum(1).mean((2, 3), keepdim=True).unsqueeze(1)
    logits = pooled
    for step in list(block.series.attend.excite.children())[:4]:
        logits = step(logits)
    weights = logits.flatten(1).reshape(2, 2, 2, 16).softmax(2).transpose(1, 2).reshape(2, 2, 32)
    torch.testing.assert_close(block(x), (maps * weights[..., None, None]).sum(1))
