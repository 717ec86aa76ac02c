"""Backward under compiled autograd, on maps so large that the kernels run, gives the gradients of the module tree."""

import pytest
import torch
from torch import Tensor

import sefactory as sf
from sefactory.kernels.dispatch import LARGE
from tests.sampling import sampled

# torch cannot record the backward of a linear interpolation under compiled autograd.
UNSUPPORTED = {"seaformer"}
SHAPE = (3, 64, 40, 40)


def gradients(block: sf.Block, x: Tensor) -> list[Tensor]:
    """The gradients of x and of all parameters."""
    y = block(x)
    g = torch.randn(y.shape, generator=torch.Generator().manual_seed(1))
    inputs = [x, *block.parameters()]
    y.backward(g)
    return [torch.zeros_like(t) if t.grad is None else t.grad for t in inputs]


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # by torch's own tracer
@pytest.mark.parametrize("name", sampled(sorted({*sf.configs()} - UNSUPPORTED), {"cbam", "sknet"}))
def test_gradients_are_those_of_the_module_tree(name: str) -> None:
    torch.manual_seed(0)
    block, tree = sf.build(name, SHAPE[1], height=40, width=40), sf.build(name, SHAPE[1], height=40, width=40, lower=False)
    tree.load_state_dict(block.state_dict())
    x = torch.randn(SHAPE)
    assert x.numel() > LARGE
    wanted = gradients(tree, x.clone().requires_grad_())
    torch._dynamo.reset()
    with torch._dynamo.compiled_autograd._enable(torch.compile(backend="eager")):
        found = gradients(block, x.clone().requires_grad_())
    norm = torch.cat([t.flatten() for t in wanted]).norm()
    for a, b in zip(found, wanted, strict=True):  # as a whole: rounding takes single values across the kink of a relu
        assert float((a - b).norm()) <= 1e-3 * float(max(b.norm(), 1e-3 * norm))
