"""Attention in chunks and among channels against the plain formula."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.utils._python_dispatch import TorchDispatchMode

import sefactory as sf
from sefactory.kernels import attention
from sefactory.kernels.attention import MIN_TOKENS, attend, attend_channels
from tests.kernels.comparison import agree, random


def plain(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
    return v @ (scale * q.transpose(-2, -1) @ k).softmax(-1).transpose(-2, -1)


def plain_channels(x: Tensor, scale: float, identity: float) -> Tensor:
    return (scale * x @ x.transpose(1, 2)).softmax(-1) @ x + identity * x


def use_chunks(monkeypatch: pytest.MonkeyPatch, rows: int | None) -> None:
    """Few tokens are computed in chunks of so many rows, too."""
    if rows is not None:
        monkeypatch.setattr(attention, "MIN_TOKENS", 0)
        monkeypatch.setattr(attention, "_chunk_rows", lambda tokens: rows)


@pytest.mark.parametrize(("tokens", "chunk"), [(7, 3), (6, 3), (5, 9), (1, 1), (MIN_TOKENS - 1, None), (MIN_TOKENS + 3, None)])
@pytest.mark.parametrize("heads", [1, 3])
def test_attended(tokens: int, chunk: int | None, heads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    use_chunks(monkeypatch, chunk)
    q, k, v = random(2, heads, 4, tokens), random(2, heads, 4, tokens, dtype=torch.float64).flip(0), random(2, heads, 5, tokens)
    k = k.detach().requires_grad_()
    agree(attend(q, k, v, 0.7), plain(q, k, v, 0.7), (q, k, v))


@pytest.mark.parametrize("chunk", [2, None])
def test_attended_of_views_and_in_single_precision(chunk: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    use_chunks(monkeypatch, chunk)
    packed = random(2, 6, 12, 9, dtype=torch.float32)
    q, k, v = packed[:, ::2, :3], packed[:, ::2, 3:6], packed[:, ::2, 6:].transpose(2, 3)[:, :, :9].transpose(2, 3)
    y, expected = attend(q, k, v, -2.0), plain(q.double(), k.double(), v.double(), -2.0)
    torch.testing.assert_close(y.double(), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(*(torch.autograd.grad(t.square().sum(), packed)[0] for t in (y, expected)), rtol=1e-4, atol=1e-4)


def test_attended_differentiates_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    use_chunks(monkeypatch, 2)
    inputs = (random(1, 2, 2, 3), random(2, 1, 2, 3).view(1, 2, 2, 3), random(1, 2, 4, 3))
    inputs = tuple(t.detach().requires_grad_() for t in inputs)
    assert gradcheck(lambda *t: attend(*t, 0.8), inputs, fast_mode=True)
    assert gradgradcheck(lambda *t: attend(*t, 0.8), inputs, fast_mode=True)


def test_attended_of_no_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    use_chunks(monkeypatch, 2)
    q, v = random(0, 1, 2, 3), random(0, 1, 4, 3)
    y = attend(q, q, v, 1.0)
    y.sum().backward()
    assert y.shape == (0, 1, 4, 3) and q.grad is not None


class Largest(TorchDispatchMode):
    """The number of values of the largest tensor that any operation gave back."""

    values = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        for t in found if isinstance(found, tuple | list) else [found]:
            self.values = max(self.values, t.numel() if isinstance(t, Tensor) else 0)
        return found


@pytest.mark.parametrize("chunk", [64, None])
def test_attention_stores_no_full_weight_matrix(chunk: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "CHUNK_SCORES", 100 * 512)  # rows are a multiple of 32
    use_chunks(monkeypatch, chunk)
    q, k, v = (random(1, 1, width, 512, dtype=torch.float32) for width in (2, 3, 4))
    with Largest() as seen:
        attend(q, k[:, :, :2], v, 1.0).sum().backward()
    assert seen.values == 2 * 512 * (chunk or 96)  # the weights of one chunk, and their gradient
    with Largest() as seen:
        plain(q, k[:, :, :2], v, 1.0)
    assert seen.values == 512**2


@pytest.mark.parametrize("scale", [1.0, -0.5])
def test_channel_attended(scale: float) -> None:
    x = random(3, 4, 6)
    agree(attend_channels(x, scale, 2.0), plain_channels(x, scale, 2.0), (x,))
    at = x.transpose(1, 2)
    agree(attend_channels(at, scale, 0.0), plain_channels(at, scale, 0.0), (x,))


def test_channel_attended_differentiates_twice() -> None:
    def both(t: Tensor) -> Tensor:
        return attend_channels(t, -0.5, 1.5)

    x = random(2, 3, 4)
    assert gradcheck(both, x, fast_mode=True) and gradgradcheck(both, x, fast_mode=True)
    assert attend_channels(x[:0], 1.0, 1.0).shape == (0, 3, 4)


@pytest.mark.parametrize("of", ["tokens", "channels"])
def test_gradients_are_repeatable_and_leave_theirs_alone(of: str, monkeypatch: pytest.MonkeyPatch) -> None:
    use_chunks(monkeypatch, 2)
    x = random(2, 2, 4, 5)
    y = attend(x, x, x, 1.0) if of == "tokens" else attend_channels(x.flatten(1, 2), 1.0, 1.0)
    g = y.detach().clone()
    first, second = (torch.autograd.grad(y, x, g, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, second) and torch.equal(g, y)


class Operands(TorchDispatchMode):
    """How many numbers below the least normal one went into a matrix product."""

    found = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for t in args if "mm" in func.__name__ else ():
            if isinstance(t, Tensor) and t.dim() > 1:  # baddbmm with beta=0 takes an empty tensor without reading it
                self.found += subnormal(t)
        return func(*args, **(kwargs or {}))


def subnormal(t: Tensor) -> int:
    return int(((t != 0) & (t.abs() < torch.finfo(t.dtype).tiny)).sum())


@pytest.mark.parametrize("of", ["tokens", "channels", "channels with a gain"])
def test_matrix_products_have_no_subnormal_weights(of: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Energies lie 80 to 110 apart; the plain formula has such weights, and gives the same."""
    use_chunks(monkeypatch, 16)
    q, k, v = (random(1, 1, 2, 64, dtype=torch.float32) for _ in range(3))
    q, k, v = ((5 * t.detach().flip(i)).requires_grad_() for i, t in zip((0, 2, 3), (q, k, v), strict=True))
    x = (2.7 * random(1, 24, 16, dtype=torch.float32).detach()).requires_grad_()
    gain = torch.tensor(1e-3, requires_grad=True)
    with Operands() as seen:
        if of == "tokens":
            y, inputs = attend(q, k, v, 1.0), (q, k, v)
        else:
            y, inputs = attend_channels(x, -1.0, 0.0, gain if "gain" in of else None), (x,)
        found = torch.autograd.grad(y.square().sum(), inputs)
    assert not seen.found
    if of == "tokens":
        weights, wide = (q.transpose(-2, -1) @ k).softmax(-1), plain(*(t.double() for t in inputs), 1.0)
    else:
        weights, wide = (-x @ x.transpose(1, 2)).softmax(-1), plain_channels(x.double(), -1.0, 0.0)
        wide = wide * 1e-3 if "gain" in of else wide
    assert subnormal(weights)
    torch.testing.assert_close(y.double(), wide, rtol=1e-4, atol=1e-5)
    expected = torch.autograd.grad(wide.square().sum(), inputs)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4 * float(theirs.abs().max()))


@pytest.mark.parametrize(("scale", "far"), [(1.0, False), (1.9, False), (2.3, True), (-2.3, True), (float("nan"), True)])
def test_subnormal_weights_are_flushed_if_logits_are_far_apart(scale: float, far: bool) -> None:
    """2 |q| |k| is 10 times the scale here, and a quarter of the range of float32 21.8."""
    q, k = torch.zeros(1, 2, 2, 3), torch.zeros(1, 2, 2, 3)
    q[0, 1, :, 2], k[0, 0, :, 1] = torch.tensor([3.0, 4.0]), torch.tensor([0.6, -0.8])
    assert attention._may_be_subnormal(scale * q, k) is far
    assert attention._may_be_subnormal((scale * q).double(), k.double()) is (scale != scale)
    assert not attention._may_be_subnormal(q[:0], k[:0])


IN_HEADS = [{"linear": "3*C"}, {"attention": {"tokens": "C", "heads": 2, "key": "C/2"}}]
OF_MAPS = [{"stack": 2}, {"attention": {"tokens": "C", "scale": 0.17}}, "unstack"]


@pytest.mark.parametrize("config", ["cam", "pam", IN_HEADS, OF_MAPS], ids=str)
@pytest.mark.parametrize("training", [False, True])
def test_products_have_no_subnormal_weights(config: Any, training: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """But for those of few weights, which are all here."""
    torch.manual_seed(0)
    lowered, plain = (sf.build(config, 16, lower=lower).train(training) for lower in (True, False))
    plain.load_state_dict({key: t.fill_(1) if t.dim() < 2 else t.mul_(2) for key, t in lowered.state_dict().items()})
    x = 4 * torch.randn(2, 16, 6, 6)
    for smallest, kept in ((0, False), (attention.MIN_WEIGHTS, True)):
        monkeypatch.setattr(attention, "MIN_WEIGHTS", smallest)
        with torch.set_grad_enabled(training), Operands() as seen:
            y = lowered(x)
        assert bool(seen.found) == kept
        torch.testing.assert_close(y, plain(x), rtol=1e-4, atol=1e-4)


OF_VALUES = {"squeeze": [{"pool": "HW"}], "excite": [{"attention": {"tokens": "C", "scale": -0.8}}], "gate": ["sigmoid"]}
OF_PAIRS = {
    "squeeze": [{"pool": {"over": "HW", "by": ["mean", "max"]}}],
    "excite": [{"attention": {"tokens": "C"}}, {"pool": {"over": "S", "by": "sum"}}],
}
WITH_GAIN = [{"pool": "HW"}, {"excite": [{"attention": {"tokens": "C"}}], "gate": ["gain"], "apply": "add"}]


@pytest.mark.parametrize("config", [OF_VALUES, OF_PAIRS, WITH_GAIN], ids=str)
@pytest.mark.parametrize("largest", [1.0, 9.0])
def test_channels_of_one_feature(config: Any, largest: float) -> None:
    lowered, plain = (sf.build(config, 160, lower=lower).eval().double() for lower in (True, False))
    for block in (lowered, plain):
        for parameter in block.parameters():
            torch.nn.init.constant_(parameter, 0.3)
    x = torch.rand(2, 160, 3, 4, dtype=torch.float64) * 2 - 1
    x[0, 0] = x[:, 1] = largest
    for trained in (False, True):
        with torch.set_grad_enabled(trained):
            torch.testing.assert_close(lowered(x), plain(x), rtol=1e-12, atol=1e-12)
