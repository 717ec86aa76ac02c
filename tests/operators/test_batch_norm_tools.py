"""Tools and recipes that look for torch's batch norms act on those of a block, or say why they cannot."""

import copy
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import update_bn

import sefactory as sf
from tests.compiler.comparison import tree_of
from tests.invariants.export_checks import third_party_warnings

BLOCKS = ["coordatt", "triplet", "sknet"]


def norms(module: nn.Module) -> list[Any]:
    return [part for part in module.modules() if isinstance(part, _BatchNorm)]


def build(name: Any, lower: bool = True) -> sf.Block:
    torch.manual_seed(0)
    block = sf.build(name, 32).double()
    return block if lower else tree_of(block)


def maps(seed: int = 1, batch: int = 4) -> Tensor:
    return torch.randn(batch, 32, 8, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


EACH_FORM = pytest.mark.parametrize("lower", [True, False])


@EACH_FORM
@pytest.mark.parametrize("name", BLOCKS)
def test_update_bn_estimates_the_statistics_anew(name: str, lower: bool) -> None:
    block = build(name, lower)
    for norm in norms(block):
        norm.running_mean.fill_(7), norm.running_var.fill_(7)
    batches = [maps(seed) for seed in range(3)]
    seen: list[tuple[Tensor, Tensor]] = []
    probe = tree_of(block).train()
    first = norms(probe)[0]
    first.register_forward_pre_hook(lambda norm, args: seen.append(statistics(norm, args[0])))
    for x in batches:
        probe(x)
    update_bn(batches, block)
    norm = norms(block)[0]
    assert norm.momentum == first.momentum
    assert norm.num_batches_tracked == 3
    for i, found in enumerate((norm.running_mean, norm.running_var)):
        torch.testing.assert_close(found, torch.stack([pair[i] for pair in seen]).mean(0))


def statistics(norm: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    over = [dim for dim, axis in enumerate("BSCHW") if axis not in norm.each]
    return x.mean(over), x.var(over)


@EACH_FORM
@pytest.mark.parametrize("name", BLOCKS)
def test_frozen_norms_keep_their_statistics(name: str, lower: bool) -> None:
    block = build(name, lower).train()
    for module in block.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval().requires_grad_(False)
    before = copy.deepcopy(block.state_dict())
    block(maps()).sum().backward()
    assert all(torch.equal(tensor, before[key]) for key, tensor in block.state_dict().items())
    assert all(norm.weight.grad is None for norm in norms(block))


@EACH_FORM
@pytest.mark.parametrize(
    ("edit", "value"), [("momentum", 0.7), ("momentum", None), ("eps", 0.5), ("track_running_stats", False)]
)
def test_attributes_mean_what_they_mean_in_torch(edit: str, value: Any, lower: bool) -> None:
    block = build(["batch_norm"], lower)
    block(maps(0))  # compiled before the edit
    theirs = nn.BatchNorm2d(32).double()
    theirs.load_state_dict({key.removeprefix("0."): tensor for key, tensor in block.state_dict().items()})
    (norm,) = norms(block)
    assert (norm.num_features, norm.affine, norm.track_running_stats) == (32, True, True)
    setattr(norm, edit, value), setattr(theirs, edit, value)
    for seed in (1, 2):
        torch.testing.assert_close(block(maps(seed)), theirs(maps(seed)))
    for ours, expected in zip(block.state_dict().values(), theirs.state_dict().values(), strict=True):
        torch.testing.assert_close(ours, expected)
    torch.testing.assert_close(block.eval()(maps(3)), theirs.eval()(maps(3)))


@EACH_FORM
def test_a_norm_without_a_counter_or_a_bias(lower: bool) -> None:
    block, theirs = build(["batch_norm"], lower).train(), nn.BatchNorm2d(32).double()
    block(maps(0)), theirs(maps(0))
    for norm in (block.get_submodule("0"), theirs):
        norm.num_batches_tracked = None
    torch.testing.assert_close(block(maps(1)), theirs(maps(1)))
    theirs = nn.BatchNorm2d(32).double()
    block = build(["batch_norm"], lower)
    for norm in (block.get_submodule("0"), theirs):
        norm.bias = None
        norm.weight.data.fill_(3)
        norm.reset_parameters()
    torch.testing.assert_close(block(maps(1)), theirs(maps(1)))


@EACH_FORM
@pytest.mark.parametrize("momentum", [0.3, None])
def test_a_norm_that_is_used_twice(momentum: float | None, lower: bool) -> None:
    block, theirs = sf.build(["batch_norm", "tanh", "batch_norm"], 32).double(), nn.BatchNorm2d(32).double()
    setattr(block, "2", block.get_submodule("0"))
    block.get_submodule("0").momentum = theirs.momentum = momentum
    block.lower()
    block = block if lower else tree_of(block)
    torch.testing.assert_close(block(maps()), theirs(theirs(maps()).tanh()))
    assert block.get_submodule("0").num_batches_tracked == theirs.num_batches_tracked == 2
    torch.testing.assert_close(block.get_submodule("0").running_mean, theirs.running_mean)


@EACH_FORM
@pytest.mark.parametrize("name", BLOCKS)
def test_norms_without_running_statistics(name: str, lower: bool) -> None:
    """What torch.func needs for an ensemble: a norm without statistics uses those of the batch, in eval mode as well."""
    block = build(name, lower).eval()
    block(maps())
    torch.func.replace_all_batch_norm_modules_(block)
    assert all(norm.running_mean is None and not norm.track_running_stats for norm in norms(block))
    expected = build(name).train()(maps())
    torch.testing.assert_close(block(maps()), expected)
    stacked = {key: torch.stack([value, value + 0.1]) for key, value in block.named_parameters()}
    x = maps()
    both = vmap(lambda state: functional_call(block, state, (x,)))(stacked)
    torch.testing.assert_close(both[0], expected)


@pytest.mark.parametrize("name", BLOCKS)
def test_freezing_a_block_without_running_statistics(name: str) -> None:
    block = torch.func.replace_all_batch_norm_modules_(build(name).eval())
    torch.testing.assert_close(sf.freeze(block)(maps()), block(maps()))


@pytest.mark.parametrize("each", ["C", "S", "CH"])
def test_reset_parameters_gives_the_initial_state(each: str) -> None:
    block = sf.build([{"batch_norm": {"each": each, "start": 0.25}}], 32, height=8, width=8).double().train()
    before = copy.deepcopy(block.state_dict())
    block(maps()).sum().backward()
    with torch.no_grad():
        norms(block)[0].weight.fill_(3)
    norms(block)[0].reset_parameters()
    assert all(torch.equal(tensor, before[key]) for key, tensor in block.state_dict().items())


@EACH_FORM
def test_recipes_of_initial_values_act(lower: bool) -> None:
    block = build("triplet", lower).eval()
    before = block(maps())
    for module in block.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.constant_(module.weight, 0)
            nn.init.constant_(module.bias, 100)
    torch.testing.assert_close(block(maps()), maps())  # all gates are 1
    assert not torch.allclose(before, maps())


CURE = "use a batch of at least 2, block.eval(), or a config without batch_norm"
SINGLE_VALUE = f"batch_norm needs more than 1 value for each of its statistics in training; {CURE}"
EXCITED = {"squeeze": ["pool"], "excite": ["batch_norm"], "gate": ["sigmoid"]}


@EACH_FORM
@pytest.mark.parametrize(
    ("config", "place"),
    [("sknet", "sknet.yaml series.split.parallel.k3.1"), (EXCITED, "block excite.0"), ("batch_norm", "block")],
    ids=["named", "inline", "root"],
)
def test_one_value_in_training(config: Any, place: str, lower: bool) -> None:
    block, x = build(config, lower).train(), maps(batch=1)[..., :1, :1]
    with pytest.raises(sf.ConfigError) as caught:
        block(x)
    assert str(caught.value) == f"{place}: {SINGLE_VALUE}"
    assert block.eval()(x).isfinite().all()


@EACH_FORM
def test_another_error_of_torch_is_passed_on(lower: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as that of a training step with eps <= 0."""
    error = ValueError("batch_norm eps must be positive during training, but got 0.0")
    block = build(EXCITED, lower).train()
    monkeypatch.setattr(F, "batch_norm", Mock(side_effect=error))
    with pytest.raises(ValueError, match="eps") as caught:
        block(maps())
    assert caught.value is error


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning:torch.nn.functional")  # as of any norm in training
def test_one_value_in_training_under_jit_trace() -> None:
    with third_party_warnings(), pytest.raises(sf.ConfigError) as caught:
        torch.jit.trace(build(EXCITED), maps(batch=1))
    assert str(caught.value) == f"block excite.0: {SINGLE_VALUE}"
