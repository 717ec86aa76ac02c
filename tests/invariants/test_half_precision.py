"""Half types at real sizes: nothing overflows on the way, where what comes out is within their range."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import sefactory as sf

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
