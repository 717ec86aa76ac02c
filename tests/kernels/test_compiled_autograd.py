"""Backward under compiled autograd, on maps so large that the kernels run, gives the gradients of the module tree."""

import pytest
import torch
from torch import Tensor

import sefactory as sf
from sefactory.kernels.dispatch import LARGE
from tests.sampling import sampled

BATCH, CHANNELS, SIDE = 3, 64, 40
SIDES = {"seaformer": 16}
"""Other sides of maps: seaformer has 16 positions. torch cannot record the backward of their interpolation (2.13)."""


def gradients(block: sf.Block, x: Tensor) -> list[Tensor]:
    """The gradients of x and of all parameters."""
    y = block(x)
    g = torch.randn(y.shape, generator=torch.Generator().manual_seed(1)).to(y.dtype)
    inputs = [x, *block.parameters()]
    y.backward(g)
    return [torch.zeros_like(t) if t.grad is None else t.grad for t in inputs]


def assert_compiled_autograd_agrees(name: str, dtype: torch.dtype, tolerance: float) -> None:
    """Compares the gradients of a block under compiled autograd with those of its module tree in eager mode."""
    torch.manual_seed(0)
    side = SIDES.get(name, SIDE)
    block, tree = (sf.build(name, CHANNELS, height=side, width=side, lower=lower).to(dtype) for lower in (True, False))
    tree.load_state_dict(block.state_dict())
    x = torch.randn(BATCH * SIDE**2 // side**2, CHANNELS, side, side).to(dtype)
    assert x.numel() > LARGE
    expected = gradients(tree, x.clone().requires_grad_())
    torch._dynamo.reset()
    with torch._dynamo.compiled_autograd._enable(torch.compile(backend="eager")):
        found = gradients(block, x.clone().requires_grad_())
    norm = torch.cat([t.flatten() for t in expected]).norm()
    for a, b in zip(found, expected, strict=True):
        assert float((a - b).norm()) <= tolerance * float(max(b.norm(), 1e-3 * norm))


IGNORED = "ignore:The .grad attribute of a Tensor that is not a leaf"  # warned by torch's own tracer


@pytest.mark.filterwarnings(IGNORED)
@pytest.mark.parametrize("name", sampled(sf.configs(), {"cbam", "sknet", "pam"}))
def test_gradients_are_those_of_the_module_tree(name: str) -> None:
    assert_compiled_autograd_agrees(name, torch.float64, 1e-6)


@pytest.mark.filterwarnings(IGNORED)
@pytest.mark.parametrize("name", ["triplet", "sknet"])
def test_gradients_of_the_kernels_of_float32(name: str) -> None:
    assert_compiled_autograd_agrees(name, torch.float32, 1e-3)  # rounding takes single values across the kink of a relu
