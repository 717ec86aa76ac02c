"""`sf.macs`: multiply-adds of networks with blocks."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import sefactory as sf
from sefactory.bench.summary import summarize
from tests.networks.small_net import SIZE, net
from tests.sampling import SEVEN_PAPERS, sampled


@pytest.mark.parametrize("name", sampled(sf.configs(), {*SEVEN_PAPERS, "fcanet"}))
def test_a_block_alone_has_the_multiply_adds_of_its_summary(name: str) -> None:
    block = sf.build(name, 64)
    assert sf.macs(block, torch.empty(2, 64, 14, 14)) == summarize(block, 14, 14, batch=2).macs


@pytest.mark.parametrize("where", ["after", "before", "replace"])
@pytest.mark.parametrize("name", ["senet", "fcanet", "cbam"])
def test_a_network_has_those_of_its_layers_and_of_its_blocks(name: str, where: Any) -> None:
    model, x = net().insert(1, nn.BatchNorm2d(32)).float(), torch.empty(1, *SIZE)
    before = sf.macs(model, x)
    report = sf.insert(model, name, "1", where=where, input_size=SIZE)
    assert sf.macs(model, x) == before + report.macs


def test_layers_of_torch() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(128, 10)
    )
    assert sf.macs(model, torch.empty(2, 3, 8, 8)) == 2 * (16 * 8 * 27 + 1280)


def test_a_transformer_layer() -> None:
    layer, tokens, width = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), 5, 16
    assert sf.macs(layer, torch.zeros(1, tokens, width)) == tokens * width * (4 * width + 2 * 32) + 2 * tokens * tokens * width


class Branches(nn.Module):
    """Calls a block twice, takes its maps in a list, and reads a value, which fails on the meta device."""

    def __init__(self) -> None:
        super().__init__()
        self.block = sf.build("senet", 32)

    def forward(self, pair: list[Tensor], scale: float) -> Tensor:
        first, second = pair
        if float(first.sum()) > 0:
            return first
        return self.block(first) + scale * self.block(second)


def test_inputs_of_any_form_and_blocks_that_are_called_twice() -> None:
    model = Branches().train()
    x = torch.zeros(1, 32, 4, 4)
    state = {key: value.clone() for key, value in model.state_dict().items()}
    calls: list[object] = []
    model.block.register_forward_hook(lambda *_: calls.append(1))
    assert sf.macs(model, [x, x], 2.0) == 2 * summarize(model.block, 4, 4).macs
    assert model.training and model.block.training and not calls and len(model.block._forward_hooks) == 1
    assert not model.block._forward_pre_hooks
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())


def test_weights_on_the_meta_device() -> None:
    with torch.device("meta"):
        block = sf.build("cbam", 64)
    assert sf.macs(block, torch.empty(1, 64, 7, 7, device="meta")) == summarize(sf.build("cbam", 64), 7, 7).macs


def message(*arguments: Any) -> str:
    with pytest.raises(sf.ConfigError) as caught:
        sf.macs(*arguments)
    return str(caught.value)


def test_inputs_that_do_not_fit() -> None:
    cure = "pass what the network takes: sf.macs(model, torch.empty(1, 3, 224, 224))"
    assert message(nn.Linear(2, 2), (1, 3, 224, 224)) == f"inputs: no tensor is given; {cure}"
    found = message(sf.build("senet", 64), torch.empty(1, 32, 7, 7))
    text = "senet.yaml: expected an input (B, 64, H, W) of float32, got (1, 32, 7, 7)"
    assert found == f"inputs: the network does not run on them: {text}"


def test_recurrent_layers_count() -> None:
    count, steps, batch, inputs, width = sf.macs(nn.LSTM(8, 6), torch.empty(4, 5, 8)), 4, 5, 8, 6
    assert count == steps * batch * 4 * width * (inputs + width)
