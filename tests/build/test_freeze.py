"""sf.freeze: the values of eval mode, no norm left where one could be folded, a block like any other."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.export import Dim, export

import sefactory as sf
from sefactory.compiler.codegen import attention
from sefactory.operators.elementwise import Gain
from sefactory.operators.norm import BatchNorm
from tests.compiler.comparison import built, pair, tree_of
from tests.sampling import SEVEN_PAPERS


def prepared(name: str) -> tuple[sf.Block, Tensor]:
    block, x = built(name)
    return block.eval(), x


@pytest.mark.parametrize("name", sf.configs())
def test_it_has_the_values_of_eval_mode(name: str) -> None:
    block, x = prepared(name)
    wanted, given, state = block(x).detach(), x.clone(), copy.deepcopy(block.state_dict())
    frozen = sf.freeze(block)
    for _ in range(2):  # what is kept is kept unspoilt
        torch.testing.assert_close(frozen(x), wanted, rtol=1e-10, atol=1e-10)
    assert torch.equal(x, given) and all(torch.equal(t, state[key]) for key, t in block.state_dict().items())
    handle = frozen.node.register_forward_hook(lambda *_: None)  # the tree that it was made of has been folded, too
    torch.testing.assert_close(frozen(x), wanted, rtol=1e-10, atol=1e-10)
    handle.remove()


@pytest.mark.parametrize("name", ["sknet", "cbam", "coordatt", "triplet", "danet", "seaformer", "bam", "resnest"])
def test_no_norm_is_left(name: str) -> None:
    frozen = sf.freeze(sf.build(name, 64))
    assert not [module for module in frozen.modules() if isinstance(module, BatchNorm)]
    assert not [key for key in frozen.state_dict() if "running" in key]


def test_the_gain_of_attention_goes_into_its_values() -> None:
    block, x = prepared("pam")
    frozen = sf.freeze(block)
    assert not [module for module in frozen.modules() if isinstance(module, Gain)]
    gain, start = block.get_submodule("gate.0").weight, 2 * 4
    weights = [b.get_submodule("excite.0").weight for b in (frozen, block)]
    torch.testing.assert_close(weights[0][start:], weights[1][start:] * gain)
    assert torch.equal(weights[0][:start], weights[1][:start])


def test_a_norm_that_stands_alone_stays() -> None:
    block, x = pair(["relu", "batch_norm"], 8)[0].eval(), torch.randn(2, 8, 4, 4, dtype=torch.float64)
    frozen = sf.freeze(block)
    torch.testing.assert_close(frozen(x), block(x))
    assert [module for module in frozen.modules() if isinstance(module, BatchNorm)]


@pytest.mark.parametrize("name", ["cbam", "seaformer", "danet"])
def test_it_is_a_block_like_any_other(name: str) -> None:
    block, x = prepared(name)
    frozen = sf.freeze(block).train()
    assert not frozen.training and not any(module.training for module in frozen.modules())
    y = frozen(x.clone().requires_grad_())
    assert not y.requires_grad and not any(parameter.requires_grad for parameter in frozen.parameters())
    for twin in (copy.deepcopy(frozen), pickle.loads(pickle.dumps(frozen))):
        assert torch.equal(twin(x), y)
    torch.testing.assert_close(sf.freeze(frozen)(x), y)
    torch.testing.assert_close(frozen.float()(x.float()), y.float(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", SEVEN_PAPERS)
def test_it_exports_with_a_dynamic_grid(name: str) -> None:
    block, x = prepared(name)
    frozen = sf.freeze(block)
    dynamic = ({0: Dim("B"), 2: Dim("H"), 3: Dim("W")},)
    program = export(frozen, (x,), dynamic_shapes=dynamic).module()
    other = torch.randn(2, 32, 9, 5, dtype=torch.float64)
    torch.testing.assert_close(program(other), frozen(other))
    assert "batch_norm" not in program.code


def test_positions_are_resized_once_for_each_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    block, x = prepared("seaformer")
    grids = (x, x, x[..., :5], x)
    wanted = [block(given) for given in grids]
    calls, resize = list[list[int]](), attention.resize_to
    monkeypatch.setattr(attention, "resize_to", lambda position, size: calls.append(size) or resize(position, size))
    frozen = sf.freeze(block)
    for given, y in zip(grids, wanted, strict=True):
        torch.testing.assert_close(frozen(given), y)
    assert calls == [[6], [8], [5]]


def scale_state(block: sf.Block) -> dict[str, Tensor]:
    return {key: 1.5 * tensor if tensor.is_floating_point() else tensor for key, tensor in block.state_dict().items()}


EDITS: dict[str, Callable[[sf.Block], object]] = {
    "load": lambda block: block.load_state_dict(scale_state(block)),
    "assign": lambda block: block.load_state_dict(scale_state(block), assign=True),
    "no_grad": lambda block: [p.mul_(1.5) for p in block.parameters()],
    "data": lambda block: [p.data.mul_(1.5) for p in block.parameters()],
    "storage": lambda block: [setattr(p, "data", 1.5 * p.data) for p in block.parameters()],
    "round": lambda block: block.to(torch.float16).to(torch.float64),
    "numpy": lambda block: [p.detach().numpy().fill(0.5) for p in block.parameters()],
}


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("name", ["seaformer", "danet", "cbam"])
def test_new_weights_of_a_frozen_block_are_used(name: str, edit: str) -> None:
    block, x = prepared(name)
    frozen = sf.freeze(block)
    before = [frozen(grid) for grid in (x, x[..., :5])]
    with torch.no_grad():
        EDITS[edit](frozen)
    for grid, y in zip((x, x[..., :5]), before, strict=True):
        torch.testing.assert_close(frozen(grid), tree_of(frozen)(grid), rtol=1e-10, atol=1e-10)
        assert not torch.allclose(frozen(grid), y, rtol=1e-10, atol=1e-10)


def test_positions_of_few_grids_are_kept() -> None:
    kept, position = attention.PositionCache(), torch.randn(2, 4, 6)
    for size in range(1, 40):
        assert kept(position, [size]).shape == (2, 4, size)
    assert len(kept._kept) == attention.MAX_GRIDS
    first = kept(position, [39])
    assert kept(position, [39]) is first


@pytest.mark.parametrize("roles", [{}, {"each": "C"}, {"groups": 2}])
@pytest.mark.parametrize("bias", [True, False])
def test_a_norm_is_folded_into_all_convolutions_of_a_sum(roles: dict[str, Any], bias: bool) -> None:
    branches = {f"k{k}": {"conv": {"kernel": k, "bias": bias, **roles}} for k in (1, 3, 5)}
    block, x = pair([{"parallel": branches, "fuse": "sum"}, "batch_norm"], 8)[0], torch.randn(2, 8, 5, 5, dtype=torch.float64)
    frozen = sf.freeze(block.eval())
    torch.testing.assert_close(frozen(x), block(x), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(tree_of(frozen)(x), block(x), rtol=1e-10, atol=1e-10)
    assert not [module for module in frozen.modules() if isinstance(module, BatchNorm)]


CONVOLUTION = {"conv": {"kernel": 3}}
SHARED: dict[str, tuple[Any, str, str]] = {
    "a layer": ([{"linear": 8}, "batch_norm", {"linear": 8}, "batch_norm"], "0", "2"),
    "a norm": ([{"linear": 8}, "batch_norm", "relu", "batch_norm"], "1", "3"),
    "a convolution": ([CONVOLUTION, "batch_norm", CONVOLUTION, "batch_norm"], "0", "2"),
    "a summand": (
        [{"parallel": {"a": CONVOLUTION, "b": {"conv": {"kernel": 5}}}, "fuse": "sum"}, "batch_norm", CONVOLUTION],
        "0.parallel.a",
        "2",
    ),
    "a gain": ([{"pam": {"key": 2}}, "gain"], "0.gate.0", "1"),
}


@pytest.mark.parametrize("what", SHARED)
def test_what_is_used_twice_is_not_folded(what: str) -> None:
    config, first, second = SHARED[what]
    block, x = pair(config, 8)[0].eval(), torch.randn(2, 8, 5, 5, dtype=torch.float64)
    setattr(block, second, block.get_submodule(first))
    block.lower()
    wanted, frozen = tree_of(block)(x), sf.freeze(block)
    torch.testing.assert_close(frozen(x), wanted, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(tree_of(frozen)(x), wanted, rtol=1e-10, atol=1e-10)


def test_a_plain_block_can_be_frozen() -> None:
    lowered, plain = pair("cbam", 16)
    x = torch.randn(2, 16, 5, 5, dtype=torch.float64)
    frozen = sf.freeze(plain)
    assert frozen.lowered is None
    torch.testing.assert_close(frozen(x), lowered.eval()(x))
