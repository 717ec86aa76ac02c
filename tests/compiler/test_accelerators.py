"""The programs of devices other than a CPU, run on the CPU: they equal the module tree in float64."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import sefactory as sf
from sefactory.compiler import runtime
from sefactory.compiler.codegen import gated_reduction, linear, stacks
from sefactory.kernels.broadcast_mean import broadcast_mean
from sefactory.operators.norm import BatchNorm
from tests.compiler.comparison import FIXED_GRID, compare, pair
from tests.sampling import SEVEN_PAPERS


@pytest.fixture(autouse=True)
def _accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime.CompiledBlock, "__call__", runtime.CompiledBlock._run_on_accelerator)
    monkeypatch.setattr(stacks, "can_write", lambda x: not torch.is_grad_enabled())


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("name", sf.configs())
def test_a_shipped_config_is_equal(name: str, train: bool) -> None:
    fixed = {"height": 7, "width": 9} if name in FIXED_GRID else {}
    compiled, tree = pair(name, 64, **fixed)
    x = torch.randn(3, 64, 7, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    compiled.train(train), tree.train(train)
    with torch.no_grad():
        torch.testing.assert_close(compiled(x), tree(x), rtol=1e-10, atol=1e-10)
    assert compare(compiled, tree, x)


@pytest.mark.parametrize("name", ["senet", "sknet", "cbam", "coordatt", "triplet", "seaformer"])
def test_a_mean_whose_gradient_is_broadcast_is_equal(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gated_reduction, "broadcasts_gradient", lambda x: torch.is_grad_enabled())
    compiled, tree = pair(name, 64)
    assert compare(compiled, tree, torch.randn(3, 64, 7, 9, dtype=torch.float64))


def test_the_gradient_of_a_mean_is_broadcast() -> None:
    x = torch.randn(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    (g,) = torch.autograd.grad(broadcast_mean(x, (1, 3)).square().sum(), x)
    assert g.stride()[1] == g.stride()[3] == 0
    mean: Callable[[Tensor], Tensor] = lambda t: broadcast_mean(t, (1, 3)).square()  # noqa: E731
    assert torch.autograd.gradcheck(mean, x) and torch.autograd.gradgradcheck(mean, x)


def test_norms_in_different_modes_choose_the_program() -> None:
    """Constants only where all norms are in eval mode."""
    compiled, tree = pair("sknet", 64)
    x = torch.randn(2, 64, 5, 5, dtype=torch.float64)
    for block in (compiled.eval(), tree.eval()):
        next(m for m in block.modules() if isinstance(m, BatchNorm)).train()
    with torch.no_grad():
        torch.testing.assert_close(compiled(x), tree(x))
    for key, value in tree.state_dict().items():
        torch.testing.assert_close(compiled.state_dict()[key], value)


def test_weights_written_in_place_are_seen() -> None:
    """Folded weights are not cached."""
    compiled, tree = pair("sknet", 64)
    x = torch.randn(2, 64, 5, 5, dtype=torch.float64)
    for block in (compiled.eval(), tree.eval()):
        block(x)
        for parameter in block.parameters():
            parameter.data.mul_(2)
    with torch.no_grad():
        torch.testing.assert_close(compiled(x), tree(x))


@pytest.mark.parametrize("name", SEVEN_PAPERS)
def test_a_frozen_block_is_equal(name: str) -> None:
    compiled, tree = pair({"parallel": {"p": "pam", "c": "cam"}, "fuse": "sum"} if name == "danet" else name, 64)
    frozen, x = sf.freeze(compiled.eval()), torch.randn(2, 64, 6, 5, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(frozen(x), tree.eval()(x))


def test_folded_norms_are_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "FOLD_MIN_ELEMENTS", 0)
    for name in ("sknet", "cbam", "triplet", "seaformer", "coordatt"):
        compiled, tree = pair(name, 64)
        x = torch.randn(2, 64, 6, 5, dtype=torch.float64)
        with torch.no_grad():
            torch.testing.assert_close(compiled.eval()(x), tree.eval()(x))
