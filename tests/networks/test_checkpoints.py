"""A checkpoint of the network loads strictly before and after; one saved with blocks loads where the same blocks are."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import sefactory as sf
from tests.networks.models import max_difference, outputs, step
from tests.networks.small_net import SIZE, images


class Residual(nn.Module):
    """x + norm(conv(x)), and a Sequential inside."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width)
        self.out = nn.Sequential(nn.ReLU(), nn.Conv2d(width, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.out(x + self.bn(self.conv(x)))
        return y


def net(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 32, 3), Residual(32), Residual(32), nn.Conv2d(32, 4, 1)).double().eval()


def state(model: nn.Module) -> dict[str, Tensor]:
    return {key: tensor.clone() for key, tensor in model.state_dict().items()}


# Where; what is selected; how it starts. A Sequential takes its block as a child, other modules by a hook.
WAYS: list[tuple[str, str, str]] = [
    ("after", "*.bn", "identity"),
    ("after", "*.out", "identity"),
    ("before", "*.conv", "identity"),
    ("before", "*.out", "identity"),
    ("after", "Residual", "own"),
    ("before", "*.out", "own"),
    ("replace", "*.bn", "identity"),
    ("replace", "*.bn", "own"),
    ("replace", "*.conv", "own"),
]
EACH = pytest.mark.parametrize(("where", "at", "start"), WAYS)


def inserted(seed: int, where: Any, at: str, start: Any, block: Any = "coordatt") -> tuple[nn.Sequential, Any]:
    model = net(seed)
    torch.manual_seed(seed + 10)
    return model, sf.insert(model, block, at, where=where, start=start, input_size=SIZE)


@EACH
def test_the_checkpoint_of_the_network_loads(where: str, at: str, start: str) -> None:
    original = state(net(1))
    (model, report), fresh = inserted(0, where, at, start), state(net(0))
    assert len(report.places) == 2
    assert set(report.kept) | set(report.missing) == set(original) and not set(report.kept) & set(report.missing)
    assert set(report.kept) | set(report.new) == set(model.state_dict()) and not set(report.kept) & set(report.new)
    assert bool(report.missing) == (where == "replace" and start == "own")
    assert all(torch.equal(model.state_dict()[key], fresh[key]) for key in report.kept)
    new = {key: model.state_dict()[key].clone() for key in report.new}
    given = dict(original)
    model.load_state_dict(given, strict=True)
    assert given.keys() == original.keys()  # what is given is not written to
    found = model.state_dict()
    assert all(torch.equal(found[key], original[key]) for key in report.kept)
    assert all(torch.equal(found[key], new[key]) for key in report.new)


@EACH
def test_a_checkpoint_with_blocks_loads_with_the_same_blocks(where: str, at: str, start: str) -> None:
    x = images()
    (model, _), (again, _) = inserted(0, where, at, start), inserted(1, where, at, start)
    for _ in range(2):
        step(model, x)
    model.eval()
    assert max_difference(outputs(again, x), outputs(model, x)) > 1e-3
    again.load_state_dict(state(model), strict=True)
    assert max_difference(outputs(again, x), outputs(model, x)) == 0


@EACH
def test_a_checkpoint_with_blocks_does_not_load_without_them(where: str, at: str, start: str) -> None:
    model, report = inserted(0, where, at, start)
    with pytest.raises(RuntimeError, match="Unexpected key"):
        net().load_state_dict(state(model), strict=True)


@EACH
def test_a_checkpoint_with_part_of_a_block_is_rejected(where: str, at: str, start: str) -> None:
    model, report = inserted(0, where, at, start)
    lacking = state(model)
    gone = next(key for key in report.new if key.startswith("2.") and key.endswith("weight"))
    del lacking[gone]
    with pytest.raises(RuntimeError, match=f'Missing key\\(s\\) in state_dict: "{gone}"'):
        model.load_state_dict(lacking, strict=True)


@EACH
def test_a_missing_key_of_the_network_is_reported(where: str, at: str, start: str) -> None:
    model, report = inserted(0, where, at, start)
    lacking = state(net(1))
    del lacking["3.weight"]
    with pytest.raises(RuntimeError, match=r'Missing key\(s\) in state_dict: "3.weight"'):
        model.load_state_dict(lacking, strict=True)


def test_later_blocks_keep_their_weights() -> None:
    """A checkpoint with the blocks of a first insertion, in a network that has those of a second as well."""
    first, _ = inserted(0, "after", "*.bn", "identity")
    model, _ = inserted(1, "after", "*.bn", "identity")
    report = sf.insert(model, "senet", "*.out", input_size=SIZE)
    assert all(".out.inserted." in key for key in report.new)
    kept = {key: model.state_dict()[key].clone() for key in report.new}
    model.load_state_dict(state(first), strict=True)
    assert max_difference(outputs(model, images()), outputs(first, images())) <= 1e-6
    assert all(torch.equal(model.state_dict()[key], kept[key]) for key in kept)


SAME_KEYS: list[tuple[str, Any]] = [
    ("*.bn", {"batch_norm": {}}),
    ("*.conv", {"linear": {"out": "C", "bias": True}}),
    ("*.conv", {"linear": {"out": "C"}}),
    ("*.conv", {"conv": {"kernel": 3, "bias": True}}),
]


@pytest.mark.parametrize(("at", "block"), SAME_KEYS)
def test_a_block_with_the_keys_of_the_replaced_module(at: str, block: Any) -> None:
    x = images()
    (model, report), (again, _) = (inserted(seed, "replace", at, "own", block) for seed in (0, 1))
    assert len(report.new) >= 2 and not set(report.kept) & set(report.missing)
    step(model, x)
    again.load_state_dict(state(model), strict=True)
    assert max_difference(outputs(again, x), outputs(model, x)) == 0
    own = state(net(5))
    model.load_state_dict(own, strict=True)  # of equal shapes, theirs are taken
    found = model.state_dict()
    for key in report.kept:
        assert torch.equal(found[key], own[key])


def test_a_module_without_keys_can_be_replaced() -> None:
    model, report = inserted(0, "replace", "*.bn", "own", "identity")
    assert len(report.missing) == 10 and not report.new
    model.load_state_dict(state(net(1)), strict=True)
    model.load_state_dict(state(model), strict=True)


def test_the_report_as_text() -> None:
    _, report = inserted(0, "after", "*.bn", "identity", "senet")
    assert str(report) == (
        "1.bn  after  senet  32x12x12  +163\n2.bn  after  senet  32x12x12  +163\n"
        "+326 parameters, +256 multiply-adds; 22 keys kept, 10 new, 0 missing"
    )


def test_a_module_without_tensors_is_replaced() -> None:
    original = state(net(1))
    model, report = inserted(0, "replace", "*.out.0", "own")
    new = {key: model.state_dict()[key].clone() for key in report.new}
    model.load_state_dict(original, strict=True)
    assert all(torch.equal(model.state_dict()[key], new[key]) for key in report.new) and new
    own = state(model)
    model.load_state_dict(own, strict=True)
    with pytest.raises(RuntimeError, match="Missing key"):
        model.load_state_dict({key: own[key] for key in own if "out.0.excite" not in key or "weight" in key}, strict=True)
