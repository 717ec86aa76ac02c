"""`sf.check` lists every inserted block, and finds those that were taken out or are not called."""

import copy
import pickle

import pytest
from torch import Tensor, nn

import sefactory as sf
from sefactory.networks.attachment import INSERTED_PATHS
from sefactory.networks.check import BlockStatus
from tests.networks.attributes import attributes, changes
from tests.networks.models import build_network
from tests.networks.small_net import SIZE, net

GONE = "is gone: a {} without a block stands here; run the tool before the insertion, or insert the block again"


def test_blocks_that_run() -> None:
    model = build_network("timm resnet")
    sf.insert(model, "cbam", "layer*.*.bn2")
    sf.insert(model, "senet", "layer4", start="own")
    sf.insert(model, "simam", "act1", where="replace", start="own")
    found = sf.check(model, input_size=(3, 64, 64))
    assert [(status.block, status.calls, status.fault) for status in found] == [
        *[("cbam", 1, "")] * 8,
        ("senet", 1, ""),
        ("simam", 1, ""),
    ]
    for again in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert sf.check(again, input_size=(3, 64, 64)) == found
    assert str(found[0]) == "layer1.0.bn2  cbam  1 calls"


def test_blocks_that_a_tool_took_out() -> None:
    model = build_network("timm resnet")
    sf.insert(model, "cbam", "layer1.*.bn2")
    sf.insert(model, "senet", "layer4")
    sf.insert(model, "simam", "act1", where="replace", start="own")
    model.layer1[0].bn2 = model.layer1[0].bn2.original
    del model.layer4._modules["inserted"]
    model.act1 = nn.ReLU()
    assert sf.check(model, input_size=(3, 64, 64)) == (
        BlockStatus("layer1.0.bn2", "cbam", 0, GONE.format("BatchNorm2d")),
        BlockStatus("layer1.1.bn2", "cbam", 1),
        BlockStatus("layer4", "senet", 0, GONE.format("Sequential")),
        BlockStatus("act1", "simam", 0, GONE.format("ReLU")),
    )


def test_a_module_that_is_gone() -> None:
    model = net()
    sf.insert(model, "senet", "0", input_size=SIZE)
    shorter = nn.Sequential(model[1])
    shorter.__dict__[INSERTED_PATHS] = {"2": "senet"}
    (status,) = sf.check(shorter, input_size=(32, 6, 6))
    assert status.fault == "is gone with its module; run the tool before the insertion, or insert the block again"


class Branch(nn.Module):
    """Calls its convolution, or skips it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.skip = nn.Conv2d(3, 32, 1), False

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x if self.skip else self.conv(x)
        return y


def test_a_block_that_is_not_called() -> None:
    model = Branch()
    sf.insert(model, "senet", "conv", input_size=SIZE)
    model.skip = True
    (status,) = sf.check(model, input_size=SIZE)
    assert status == BlockStatus(
        "conv", "senet", 0, "the forward pass does not call it; insert the block at a module that it calls"
    )


def test_a_network_inside_of_another() -> None:
    model = net().float()
    sf.insert(model, "senet", "0", input_size=SIZE)
    outer = nn.ModuleDict({"model": model})
    outer.forward = model.forward
    assert [(status.path, status.calls) for status in sf.check(outer, input_size=SIZE)] == [("model.0", 1)]


def test_removed_blocks_are_not_listed() -> None:
    model = net()
    sf.insert(model, "senet", "0", input_size=SIZE)
    sf.remove(model)
    assert sf.check(model, input_size=SIZE) == () and INSERTED_PATHS not in model.__dict__


def test_it_changes_nothing() -> None:
    model = build_network("timm resnet")
    sf.insert(model, "cbam", "layer*.*.bn2")
    before = attributes(model.train())
    sf.check(model, input_size=(3, 64, 64))
    assert changes(model, before) == []


def test_a_block_that_was_removed_through_another_network() -> None:
    outer = nn.Sequential(nn.Sequential(nn.Conv2d(3, 32, 1), nn.ReLU()))
    sf.insert(outer[0], "senet", "0", input_size=SIZE)
    sf.remove(outer)
    assert sf.check(outer, input_size=SIZE) == ()
    sf.insert(outer, "senet", "0.0", input_size=SIZE)
    sf.remove(outer[0])
    assert sf.check(outer, input_size=SIZE) == ()


def test_a_block_that_does_not_run() -> None:
    model = nn.Sequential(nn.Conv2d(3, 32, 1), nn.ReLU())
    sf.insert(model, {"gate": [{"gain": {"each": "HW"}}]}, "0", input_size=(3, 14, 14), start="own")
    message = r"^input_size: the network does not run on \(1, 3, 28, 28\): block: expected an input \(B, 32, 14, 14\)"
    with pytest.raises(sf.ConfigError, match=message):
        sf.check(model, input_size=(3, 28, 28))


def test_a_block_of_a_recipe_has_its_name() -> None:
    model, again = net().float(), net().float()
    sf.insert(model, "cbam", "0", input_size=SIZE)
    sf.place(again, sf.recipe(model), input_size=SIZE)
    assert [status.block for status in sf.check(again, input_size=SIZE)] == ["cbam"]
