"""The squeeze and excitation of built networks, replaced: by other blocks, and by our own with the weights carried over."""

from typing import Any

import pytest
import timm
import torch
from torch import nn

import sefactory as sf
from tests.networks.attributes import attributes, changes
from tests.networks.models import (
    build_network,
    images,
    max_difference,
    outputs,
    params_without_gradient,
    set_alpha,
    with_batch_statistics,
)

TIMM = ("huggingface/pytorch-image-models SqueezeExcite", ["excite.0.mlp.activation=silu"])
VISION = ("pytorch/vision", ["gate=[hard_sigmoid]"])
NETWORKS: list[Any] = [
    pytest.param("timm efficientnet", "SqueezeExcite", TIMM, 16, id="timm"),
    pytest.param("torchvision mobilenet", "SqueezeExcitation", VISION, 9, id="torchvision"),
]
EACH = pytest.mark.parametrize(("name", "at", "official", "count"), NETWORKS)
Official = tuple[str, list[str]]


def classes(model: nn.Module) -> list[str]:
    return [type(module).__name__ for module in model.modules()]


@EACH
@pytest.mark.parametrize("block", ["ecanet", "coordatt"])
def test_a_replacement_starts_as_the_original(block: str, name: str, at: str, official: Official, count: int) -> None:
    x, model = images(), build_network(name)
    before, original = outputs(model, x), {key: value.clone() for key, value in model.state_dict().items()}
    torch.manual_seed(0)
    report = sf.insert(model, block, at, where="replace", input_size=(3, 64, 64))
    assert len(report.places) == count == classes(model).count(at)  # the former modules run until the mix is 1
    assert max_difference(outputs(model, x), before) <= 1e-6
    assert not params_without_gradient(model, report.new, x) and not report.missing
    assert max_difference(outputs(model, x), before) > 1e-4
    model.load_state_dict(original, strict=True)


@EACH
@pytest.mark.parametrize("block", ["ecanet", "coordatt"])
def test_replaced_modules_are_removed(block: str, name: str, at: str, official: Official, count: int) -> None:
    x, model = images(), build_network(name)
    before, original = outputs(model, x), {key: value.clone() for key, value in model.state_dict().items()}
    torch.manual_seed(0)
    report = sf.insert(model, block, at, where="replace", start="own", input_size=(3, 64, 64))
    assert len(report.places) == count and at not in classes(model) and classes(model).count("Block") == count
    assert len(report.missing) == 4 * count and set(report.kept) | set(report.missing) == set(original)
    assert max_difference(outputs(model, x), before) > 1e-3
    assert not params_without_gradient(model, report.new, x)

    learned = {key: model.state_dict()[key].clone() for key in report.new}
    model.load_state_dict(original, strict=True)  # what is missing has no place any more, and the blocks stay
    state = model.state_dict()
    assert all(torch.equal(state[key], original[key]) for key in report.kept)
    assert all(torch.equal(state[key], learned[key]) for key in report.new)


@EACH
def test_our_block_with_transferred_weights_computes_the_same(name: str, at: str, official: Official, count: int) -> None:
    source, overrides = official
    x, model = images(), build_network(name)
    widths = [next(m for m in module.children() if isinstance(m, nn.Conv2d)).out_channels for module in of(model, at)]
    before, size = outputs(model, x), sum(p.numel() for p in model.parameters())
    report = sf.insert(
        model, "senet", at, where="replace", start="own", carry=source, overrides=overrides, input_size=(3, 64, 64)
    )
    assert len(report.places) == count and at not in classes(model)
    assert max_difference(outputs(model, x), before) <= 1e-5
    assert [block.state_dict()["excite.0.0.weight"].shape[0] for block in of(model, "Block")] == widths
    assert len(set(widths)) > 3 and sum(p.numel() for p in model.parameters()) == size


def of(model: nn.Module, name: str) -> list[nn.Module]:
    return [module for module in model.modules() if type(module).__name__ == name]


@EACH
def test_another_activation_or_other_weights_differ(name: str, at: str, official: Official, count: int) -> None:
    source, overrides = official
    options: dict[str, Any] = {"where": "replace", "start": "own", "input_size": (3, 64, 64)}
    x, before = images(), outputs(build_network(name), images())
    wrong: list[dict[str, Any]] = [{"carry": source}, {"overrides": overrides}]
    for given in wrong:
        model = build_network(name)
        sf.insert(model, "senet", at, **options, **given)
        assert max_difference(outputs(model, x), before) > 1e-3


@EACH
def test_transferred_weights_compute_the_same_at_every_mix(name: str, at: str, official: Official, count: int) -> None:
    source, overrides = official
    x, model = images(), build_network(name)
    before = outputs(model, x)
    sf.insert(model, "senet", at, where="replace", carry=source, overrides=overrides, input_size=(3, 64, 64))
    for mix in (0.0, 0.3, 1.0):
        set_alpha(model, mix)
        assert max_difference(outputs(model, x), before) <= 1e-5


def test_an_explicit_width_is_kept() -> None:
    model = build_network("torchvision mobilenet")
    before = attributes(model)
    with pytest.raises(sf.ConfigError) as caught:
        sf.insert(
            model,
            "senet",
            "features.1.block.1",
            where="replace",
            carry="pytorch/vision",
            overrides=["let.r=4"],
            input_size=(3, 64, 64),
        )
    assert str(caught.value).splitlines() == [
        "senet.yaml excite.0.0.weight (for features.1.block.1): has shape (4, 16), the official tensor (8, 16, 1, 1)",
        "senet.yaml excite.0.0.bias (for features.1.block.1): has shape (4,), the official tensor (8,)",
        "senet.yaml excite.0.2.weight (for features.1.block.1): has shape (16, 4), the official tensor (16, 8, 1, 1)",
    ]
    assert changes(model, before) == []


CARRIED: list[Any] = [
    (
        "senet",
        "pytorch/visio",
        [
            "senet.yaml official (for features.1.block.1): no source 'pytorch/visio'; the config has key maps for "
            "moskomule/senet.pytorch, huggingface/pytorch-image-models, huggingface/pytorch-image-models SqueezeExcite, "
            "pytorch/vision; did you mean 'pytorch/vision'?"
        ],
    ),
    (
        "simam",
        "pytorch/vision",
        [
            "simam.yaml official (for features.1.block.1): no source 'pytorch/vision'; "
            "the config has key maps for ZjjConan/SimAM"
        ],
    ),
    (
        "senet",
        "moskomule/senet.pytorch",
        [
            *(
                f"senet.yaml excite.0.{n}.{kind} (for features.1.block.1): "
                f"the official state dict has no key 'fc.{n}.{kind}'; did you mean 'fc2.{kind}'?"
                for n in (0, 2)
                for kind in ("weight", "bias")
            ),
            "senet.yaml official (for features.1.block.1): unused keys of the official state dict: "
            "fc1.weight, fc1.bias, fc2.weight, fc2.bias; map them, or list them in unused",
        ],
    ),
]


@pytest.mark.parametrize(("block", "source", "lines"), CARRIED)
def test_weights_that_cannot_be_transferred(block: str, source: str, lines: list[str]) -> None:
    model = build_network("torchvision mobilenet")
    before = attributes(model)
    with pytest.raises(sf.ConfigError) as caught:
        sf.insert(model, block, "features.1.block.1", where="replace", carry=source, input_size=(3, 64, 64))
    assert str(caught.value).splitlines() == lines
    assert changes(model, before) == []


def test_layer_builds_a_replacement() -> None:
    with pytest.warns(UserWarning, match="senet"):  # it takes no activation from the builder, and says so once
        model = with_batch_statistics(timm.create_model("efficientnet_b0", se_layer=sf.layer("senet")))
    assert classes(model).count("Block") == 16 and "SqueezeExcite" not in classes(model)
    assert outputs(model, images())[0].shape == (4, 1000)
