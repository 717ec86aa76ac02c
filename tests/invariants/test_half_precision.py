"""Half types at real sizes: nothing overflows on the way, where what comes out is within their range."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import sefactory as sf
from tests.compiler.comparison import tree_of

HALF = [torch.float16, torch.bfloat16]
CLOSE = {torch.float16: 2e-3, torch.bfloat16: 1.5e-2}  # of the mean, some roundings of the type


def strong_map(dtype: torch.dtype) -> Tensor:
    """(1, 32, 96, 96), of a standard deviation of 10: a sum of squares over its positions is 14 times what float16 holds."""
    return (10 * torch.randn(1, 32, 96, 96, generator=torch.Generator().manual_seed(0))).to(dtype)


def built(config: Any) -> nn.Module:
    block = sf.build(config, 32).eval()
    for parameter in block.parameters():
        nn.init.ones_(parameter)  # gates that start at 0 would hide the rest
    return block


def check(y: Tensor, exact: Tensor, dtype: torch.dtype) -> None:
    assert y.isfinite().all()
    assert float((y.float() - exact).abs().mean() / exact.abs().mean()) < CLOSE[dtype]


CONFIGS: list[Any] = ["cam", "simam", "sge", {"standardize": "CHW"}, *({"pool": {"by": by}} for by in ("mean", "std", "var"))]


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_strong_activations_in_a_half_type(config: Any, dtype: torch.dtype) -> None:
    block, x = built(config), strong_map(dtype)
    with torch.no_grad():
        exact = block(x.float())
        check(block.to(dtype)(x), exact, dtype)


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("given", ["float32", "half"])
def test_channel_attention_of_strong_activations_under_autocast(given: str, dtype: torch.dtype) -> None:
    block, x = built("cam"), strong_map(dtype)
    with torch.no_grad():
        exact = block(x.float())
        with torch.autocast("cpu", dtype=dtype):
            check(block(x.float() if given == "float32" else x), exact, dtype)


# ---- Values whose squares overflow in float16: above 256 ----------------------------------------------------------------

STATISTICS: list[Any] = [
    *({"pool": {"by": by, "over": over}} for by in ("std", "var") for over in ("grid", "C", "HC")),
    *({"standardize": over} for over in ("grid", "C", "CHW")),
    [{"pool": {"by": "std", "over": "grid"}}, {"pool": {"by": "std", "over": "grid"}}],
    "srmnet",
    "mcanet",
    "simam",
]


def with_gradient(block: nn.Module, x: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    given = x.clone().requires_grad_()
    y: Tensor = block(given)
    cotangent = 0.05 * torch.randn(y.shape, generator=torch.Generator().manual_seed(1))  # sums over the map stay in range
    return y.detach(), torch.autograd.grad(y, given, cotangent.to(dtype).to(y.dtype))[0]


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("lower", [True, False])
@pytest.mark.parametrize("config", STATISTICS, ids=str)
def test_squares_do_not_overflow(config: Any, lower: bool, dtype: torch.dtype) -> None:
    """In eval mode outputs and gradients are those of float32 from the same values, within roundings of the half type."""
    scale = 150 if "var" in str(config) else 1000  # a variance of 1000^2 is beyond float16
    x = (scale * torch.randn(2, 32, 12, 12, generator=torch.Generator().manual_seed(0))).to(dtype)
    block = sf.build(config, 32, lower=lower)
    for parameter in block.parameters():
        nn.init.ones_(parameter)
    for tensor in with_gradient(copy.deepcopy(block).to(dtype), x, dtype):
        assert tensor.isfinite().all()
    exact, exact_gradient = with_gradient(block.eval(), x.float(), dtype)
    y, gradient = with_gradient(block.to(dtype), x, dtype)
    assert float((y.float() - exact).abs().mean() / exact.abs().mean()) < 10 * torch.finfo(dtype).eps
    error = (gradient.float() - exact_gradient).abs().mean() / exact_gradient.abs().mean().clamp_min(1e-20)
    assert float(error) < 30 * torch.finfo(dtype).eps


@pytest.mark.parametrize("by", ["std", "var"])
def test_the_range_is_that_of_torch(by: str) -> None:
    x = (1000 * torch.randn(2, 4, 6, 6, generator=torch.Generator().manual_seed(0))).half()
    found, wanted = sf.build({"pool": {"by": by, "eps": 1e-30}}, 4)(x), getattr(torch, by)(x, (2, 3), keepdim=True)
    torch.testing.assert_close(found, wanted, rtol=2e-3, atol=0)  # the variance is infinite in both


CONV3, CONV5 = ({"conv": {"kernel": kernel, "bias": True}} for kernel in (3, 5))
SUM: list[Any] = [{"parallel": {"a": CONV3, "b": CONV5}, "fuse": "sum"}, "batch_norm"]


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("config", ["sknet", SUM, [{"linear": {"out": 16}}, "batch_norm"]], ids=["sknet", "sum", "linear"])
@pytest.mark.parametrize("side", [8, 96])  # norms are folded into the weights where maps are large
def test_norms_that_stay_in_float32(config: Any, side: int, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    block, x = sf.build(config, 32).eval(), torch.randn(1, 32, side, side)
    with torch.no_grad():
        exact = block(x)
        block.to(dtype)
        for module in block.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.float()
        for form in (block, tree_of(block), sf.freeze(block), tree_of(sf.freeze(block))):
            y = form(x.to(dtype))
            assert y.dtype == dtype
            check(y, exact, dtype)
