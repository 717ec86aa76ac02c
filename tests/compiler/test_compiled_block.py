"""What a lowered block is beside its speed: hooks and exchanged modules are seen, copies are its own, modes are per module."""

import copy
import pickle
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

import sefactory as sf
from sefactory.operators.norm import BatchNorm
from tests.sampling import SEVEN_PAPERS


def x_of(block: sf.Block, batch: int = 2) -> Tensor:
    return torch.randn(batch, block.sizes[0].number("C"), 6, 7, generator=torch.Generator().manual_seed(0))


def test_a_hook_inside_is_called() -> None:
    block = sf.build("cbam", 32).eval()
    x, seen = x_of(block), list[str]()
    before = block(x)
    handle = block.get_submodule("series.spatial.excite.0").register_forward_hook(lambda *_: seen.append("called"))
    torch.testing.assert_close(block(x), before)
    assert seen == ["called"]
    handle.remove()
    assert torch.equal(block(x), before) and seen == ["called"]


@pytest.mark.parametrize("kind", ["forward", "forward_pre", "full_backward", "full_backward_pre"])
def test_every_kind_of_hook_is_called(kind: str) -> None:
    block, seen = sf.build("senet", 32), list[str]()
    module = block.get_submodule("excite.0.0")
    getattr(module, f"register_{kind}_hook")(lambda *_: seen.append(kind))
    block(x_of(block).requires_grad_()).sum().backward()
    assert seen == [kind]


def test_an_exchanged_module_runs() -> None:
    block = sf.build("senet", 32).eval()
    x = x_of(block)
    before = block(x)
    setattr(block.get_submodule("gate"), "0", nn.Tanh())
    assert not torch.allclose(block(x), before)
    block.get_submodule("gate").add_module("1", nn.Sigmoid())
    torch.testing.assert_close(block(x), block.node(x.unsqueeze(1)).squeeze(1))


def test_a_parametrized_weight_is_used() -> None:
    class Doubled(nn.Module):
        def forward(self, weight: Tensor) -> Tensor:
            return 2 * weight

    block = sf.build("senet", 32).eval()
    x = x_of(block)
    parametrize.register_parametrization(block.get_submodule("excite.0.0"), "weight", Doubled())
    torch.testing.assert_close(block(x), block.node(x.unsqueeze(1)).squeeze(1))


@pytest.mark.parametrize("name", SEVEN_PAPERS)
def test_new_weights_are_seen(name: str) -> None:
    """Nothing of a block that is not frozen is kept: not in eval mode either, and not behind the back of autograd."""
    block = sf.build(name, 32).eval()
    x = x_of(block)
    with torch.no_grad():
        block(x)
        for tensor in (*block.parameters(), *block.buffers()):
            if tensor.is_floating_point():
                tensor.data.mul_(1.5)
        torch.testing.assert_close(block(x), block.node(x.unsqueeze(1)).squeeze(1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["sknet", "cbam", "seaformer"])
def test_a_norm_keeps_its_own_mode(name: str) -> None:
    """Training with the norms in eval mode, and the other way round, as in fine-tuning."""
    lowered, plain = (sf.build(name, 32, lower=lower) for lower in (True, False))
    plain.load_state_dict(lowered.state_dict())
    for train in (False, True):
        for block in (lowered, plain):
            block.train(train)
            for i, module in enumerate(m for m in block.modules() if isinstance(m, BatchNorm)):
                module.train(i % 2 == 0)
        torch.testing.assert_close(lowered(x_of(lowered)), plain(x_of(plain)), rtol=1e-4, atol=1e-5)
        for found, wanted in zip(lowered.buffers(), plain.buffers(), strict=True):
            torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("how", [copy.deepcopy, lambda block: pickle.loads(pickle.dumps(block))])
def test_a_copy_runs_its_own_weights(how: object) -> None:
    block = sf.build("cbam", 32).eval()
    twin = how(block)  # type: ignore[operator]
    assert twin.lowered is not None and twin.lowered.guards_hold()
    for parameter in twin.parameters():
        parameter.data.zero_()
    x = x_of(block)
    torch.testing.assert_close(twin(x), x * 0.25)
    assert not torch.allclose(block(x), x * 0.25)


def test_the_module_tree_runs_with_lower_false() -> None:
    block = sf.build("cbam", 32, lower=False)
    assert block.lowered is None and copy.deepcopy(block).lowered is None
    assert list(block.state_dict()) == list(sf.build("cbam", 32).state_dict())


@pytest.mark.parametrize("name", SEVEN_PAPERS)
def test_the_input_is_never_changed(name: str) -> None:
    block = sf.build(name, 32)
    for train in (True, False):
        x = x_of(block)
        before = x.clone()
        block.train(train)(x)
        with torch.no_grad():
            block(x)
        assert torch.equal(x, before)


def total(block: sf.Block, x: Tensor) -> Tensor:
    y: Tensor = block(x)
    return y.square().mean()


@pytest.mark.parametrize("name", SEVEN_PAPERS[:-1])
def test_double_backward(name: str) -> None:
    block, x = sf.build(name, 32).double().eval(), x_of(sf.build(name, 32), 1).double()
    found = []
    for run in (block, sf.build(name, 32, lower=False).double().eval()):
        run.load_state_dict(block.state_dict())
        given = x.clone().requires_grad_()
        (first,) = torch.autograd.grad(total(run, given), given, create_graph=True)
        found.append(torch.autograd.grad(first.square().sum(), given)[0])
    torch.testing.assert_close(*found, rtol=1e-9, atol=1e-12)


def test_unsupported_double_backward_fails_in_both_forms() -> None:
    for lower in (True, False):
        block = sf.build("seaformer", 32, lower=lower).eval()
        x = x_of(block).requires_grad_()
        with pytest.raises(RuntimeError, match="derivative for aten::hardsigmoid_backward is not implemented"):
            torch.autograd.grad(torch.autograd.grad(total(block, x), x, create_graph=True)[0].sum(), x)


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # torch's own, in forward mode
@pytest.mark.parametrize("name", SEVEN_PAPERS)
def test_functional_transforms(name: str) -> None:
    block, x = sf.build(name, 32).double().eval(), x_of(sf.build(name, 32), 1).double()
    given = x.clone().requires_grad_()
    (wanted,) = torch.autograd.grad(total(block, given), given)
    gradient = torch.func.grad(partial(total, block))
    torch.testing.assert_close(gradient(x), wanted)
    torch.testing.assert_close(torch.func.vmap(gradient)(x[None])[0], wanted)
    tangent = torch.randn(x.shape, dtype=x.dtype, generator=torch.Generator().manual_seed(1))
    _, along = torch.func.jvp(partial(total, block), (x,), (tangent,))
    torch.testing.assert_close(along, (wanted * tangent).sum())
