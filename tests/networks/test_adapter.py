"""The residual adapter: while alpha is 0 the output is the original, whatever the block returns."""

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import sefactory as sf
from sefactory.networks.adapter import ResidualAdapter

VALUES = [math.inf, -math.inf, math.nan]
TRIPLED = {"affine": {"scale": 3.0}}


def adapter_of(values: list[float], config: Any = TRIPLED) -> ResidualAdapter:
    """Around a block that returns some values that are not finite."""
    block = sf.build(config, 4, lower=False)

    def overflow(module: nn.Module, args: tuple[Tensor, ...], y: Tensor) -> Tensor:
        y = y.clone()
        for i, value in enumerate(values):
            y[:, i, 0, i] = value
        return y

    block.register_forward_hook(overflow)
    return ResidualAdapter(block, False)


def maps(dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(2, 4, 5, 6, generator=torch.Generator().manual_seed(0)).to(dtype)


@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_the_start_is_the_original(dtype: torch.dtype, grad: bool) -> None:
    adapter, x = adapter_of(VALUES), maps(dtype)
    with torch.set_grad_enabled(grad):
        assert torch.equal(adapter(x), x)
        assert torch.equal(ResidualAdapter(adapter.block, True)(x, 2 * x), 2 * x)
        compiled = torch.compile(adapter, backend="aot_eager", fullgraph=True)
        torch._dynamo.reset()
        assert torch.equal(compiled(x), x)


def test_an_original_that_is_infinite_is_passed_on() -> None:
    x = maps()
    x[0, 0, 0, 0], x[0, 1, 0, 0] = math.inf, -math.inf
    assert torch.equal(adapter_of([])(x), x)


@pytest.mark.parametrize("name", ["gam", "pam", "sknet"])
def test_the_start_under_autocast(name: str) -> None:
    """Blocks that overflow in float16, with the gradients that autocast leaves."""
    block, x = sf.build(name, 32), 6e4 * torch.randn(2, 32, 5, 6, generator=torch.Generator().manual_seed(0)).clamp(-1, 1)
    with torch.autocast("cpu", dtype=torch.float16):
        for given in (x, x.half()):
            block.to(given.dtype)
            assert not block(given).isfinite().all()
            assert torch.equal(ResidualAdapter(block, False)(given), given)


def test_the_gradient_of_alpha_leaves_out_what_is_not_finite() -> None:
    x, cotangent = maps(), maps().flip(0)
    for compiled in (False, True):
        torch._dynamo.reset()
        adapter, given = adapter_of(VALUES), x.clone().requires_grad_()
        run = torch.compile(adapter, backend="aot_eager", fullgraph=True) if compiled else adapter
        run(given).backward(cotangent)
        finite = torch.ones_like(x)
        for i in range(len(VALUES)):
            finite[:, i, 0, i] = 0
        torch.testing.assert_close(adapter.mix.grad, (cotangent * 2 * x * finite).sum())
        assert torch.equal(given.grad, cotangent)


def test_gradients_are_those_of_the_formula() -> None:
    for alpha in (0.0, 0.3):
        adapter, x = adapter_of([]), maps().requires_grad_()
        adapter.mix.data.fill_(alpha)
        y = x + adapter.mix * (3 * x - x)
        wanted = torch.autograd.grad(y, [x, adapter.mix], maps().flip(0))
        found = torch.autograd.grad(adapter(x), [x, adapter.mix], maps().flip(0))
        torch.testing.assert_close(found, wanted)


def test_another_alpha_passes_an_overflow_on() -> None:
    """It is not hidden: from then on the network trains with the block."""
    adapter = adapter_of(VALUES)
    adapter.mix.data.fill_(0.5)
    y = adapter(maps())
    assert y[0, 0, 0, 0] == math.inf and y[0, 1, 0, 1] == -math.inf and y[0, 2, 0, 2].isnan()
    assert int((~y.isfinite()).sum()) == 2 * len(VALUES)


def test_a_training_step_moves_alpha_and_nothing_else() -> None:
    adapter, x = adapter_of(VALUES, {"linear": {"out": "C", "bias": True}}), maps()
    before = copy.deepcopy(adapter.state_dict())
    optimizer = torch.optim.SGD(adapter.parameters(), lr=1e-3)
    adapter(x).square().sum().backward()
    optimizer.step()
    moved = [key for key, tensor in adapter.state_dict().items() if not torch.equal(tensor, before[key])]
    assert len(before) == 3 and moved == ["mix"] and adapter.mix.isfinite()


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # torch's own, in forward mode
def test_transforms() -> None:
    adapter, x = adapter_of([]), maps()
    assert torch.equal(torch.func.vmap(adapter)(x[None])[0], x)
    assert torch.equal(torch.func.jvp(adapter, (x,), (x,))[1], x)
