"""Norms that tools put in the place of those of a block: synchronised, split and frozen ones."""

import copy
import io
import pickle

import onnxruntime
import pytest
import torch
from timm import layers
from torch import nn

import sefactory as sf
from sefactory.operators.norm import BatchNorm
from tests.invariants.export_checks import third_party_warnings
from tests.operators.test_batch_norm_tools import BLOCKS, build, maps, norms


@pytest.mark.parametrize("name", [*BLOCKS, "danet"])
def test_the_converter_of_torch_makes_synchronised_norms(name: str) -> None:
    block = build(name).train()
    before, expected = list(block.state_dict()), build(name).train()(maps())
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(block)
    again = nn.SyncBatchNorm.convert_sync_batchnorm(converted)
    for found in (again, copy.deepcopy(again), pickle.loads(pickle.dumps(again))):
        assert norms(found) and all(norm.is_synchronized and type(norm) is not nn.SyncBatchNorm for norm in norms(found))
        assert list(found.state_dict()) == before
    torch.testing.assert_close(again(maps()), expected)  # one process: as before


def test_the_converters_of_torch_and_timm_act_on_inserted_blocks() -> None:
    for convert in (nn.SyncBatchNorm.convert_sync_batchnorm, layers.convert_sync_batchnorm):
        model = nn.Sequential(nn.Conv2d(3, 32, 1), nn.BatchNorm2d(32), nn.ReLU()).double()
        sf.insert(model, "coordatt", at="1", input_size=(3, 8, 8))
        before, x = model(maps()[:, :3]), maps()[:, :3]
        converted = convert(model)
        kinds = [type(norm).__name__ for norm in norms(converted)]
        assert kinds == ["SyncBatchNorm", "BatchNorm"] and norms(converted)[1].is_synchronized
        torch.testing.assert_close(converted(x), before)


@pytest.mark.parametrize("name", BLOCKS)
def test_the_norms_of_timm_get_the_layout_that_they_expect(name: str) -> None:
    block = build(name).train()
    block(maps())
    expected, in_training = copy.deepcopy(block).eval()(maps()), copy.deepcopy(block)(maps())
    frozen = layers.freeze_batch_norm_2d(copy.deepcopy(block))
    assert not norms(frozen)
    torch.testing.assert_close(frozen.train()(maps()), expected)
    torch.testing.assert_close(layers.unfreeze_batch_norm_2d(copy.deepcopy(frozen)).train().double()(maps()), in_training)
    split = layers.convert_splitbn_model(copy.deepcopy(block), num_splits=2).train().double()
    torch.testing.assert_close(split(torch.cat([maps(), maps()])), torch.cat([in_training, in_training]))


@pytest.mark.parametrize("each", ["C", "S"])
def test_a_synchronised_norm_of_its_own_is_taken_as_it_is(each: str) -> None:
    """Only torch's converter keeps the parameters."""
    block = sf.build([{"batch_norm": {"each": each}}], 32).eval()
    norm = nn.SyncBatchNorm(32 if each == "C" else 1, eps=0.5).eval()
    block.add_module("0", norm)
    assert block.get_submodule("0") is norm and not isinstance(norm, BatchNorm)
    x = maps().float()
    torch.testing.assert_close(block(x), x / 1.5**0.5)


def test_the_norms_of_timm_are_exported_for_other_sizes() -> None:
    block = layers.freeze_batch_norm_2d(sf.build("sknet", 32).eval())
    file, axes = io.BytesIO(), {"x": {0: "B", 2: "H", 3: "W"}}
    with third_party_warnings():
        torch.onnx.export(block, (maps().float(),), file, dynamo=False, input_names=["x"], dynamic_axes=axes)
    session, x = onnxruntime.InferenceSession(file.getvalue()), torch.randn(2, 32, 6, 9)
    torch.testing.assert_close(torch.from_numpy(session.run(None, {"x": x.numpy()})[0]), block(x), rtol=1e-4, atol=1e-5)


def test_a_norm_with_other_axes_is_not_replaced() -> None:
    block = sf.build([{"batch_norm": {"each": "CH"}}], 32, height=8, width=8)
    with pytest.raises(sf.ConfigError) as caught:
        block.add_module("0", nn.BatchNorm2d(32))
    assert str(caught.value) == (
        "batch_norm: BatchNorm2d normalises dimension 1 of (N, C, H, W), and not the axes CH of the block;"
        " convert the network before sf.insert"
    )
    nn.SyncBatchNorm.convert_sync_batchnorm(block)
    assert norms(block)[0].is_synchronized


def test_other_modules_are_added_as_they_are() -> None:
    shared = build("coordatt").get_submodule("excite.0.shared")
    for new in (nn.Identity(), nn.Sequential(), None):
        shared.add_module("1", new)
        assert shared._modules["1"] is new
