"""Six networks take three blocks each, in at most six lines of YAML, and stay what they were until they are trained."""

import re
from itertools import product
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import sefactory as sf
from sefactory.networks.insertion import Report
from tests.networks.models import (
    FAMILIES,
    Family,
    build_network,
    images,
    max_difference,
    outputs,
    params_without_gradient,
    step,
)
from tests.sampling import sampled

BLOCKS = ["cbam", "coordatt", "triplet"]
YAML = """place:
  - at: "{at}"
    where: after
    block: {block}
    start: identity
"""
EACH = pytest.mark.parametrize("family", FAMILIES, ids=[family.name for family in FAMILIES])
NAMES = [family.name for family in FAMILIES]


def in_sample(name: str, block: str) -> bool:
    """True for one block of each family, and for two families of each block."""
    return NAMES.index(name) % len(BLOCKS) == BLOCKS.index(block)


def written(folder: Path, family: Family, block: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(YAML.format(at=family.at, block=block))
    return path


def placed(folder: Path, family: Family, block: str) -> tuple[torch.nn.Module, Report]:
    model = build_network(family.name)
    torch.manual_seed(3)
    return model, sf.place(model, written(folder, family, block), input_size=(3, 64, 64))


def lit(model: torch.nn.Module) -> None:
    """No relu of a bottleneck is off for all samples: one of a single unit is, by chance, at half of all places."""
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if key.endswith("excite.0.0.bias"):
                parameter += 2


@pytest.mark.parametrize(("name", "block"), sampled(product(NAMES, BLOCKS), in_sample))
def test_a_family_takes_a_block(name: str, block: str, tmp_path: Path) -> None:
    family = FAMILIES[NAMES.index(name)]
    text = written(tmp_path, family, block).read_text()
    assert len(text.splitlines()) <= 6 and not re.search(r"\d", text.replace(family.at, ""))
    x, former = images(), build_network(family.name)
    original, before = former.state_dict(), outputs(former, x)
    model, report = placed(tmp_path, family, block)

    sites = [module for module in former.modules() if type(module).__name__ in family.blocks]
    assert len(report.places) == len(sites) > 3
    assert max_difference(outputs(model, x), before) <= 1e-6
    assert report.kept == tuple(original) and not report.missing and set(report.kept + report.new) == set(model.state_dict())
    count = sum(p.numel() for p in model.parameters()) - sum(p.numel() for p in former.parameters())
    assert count == report.parameters

    lit(model)
    assert not params_without_gradient(model, report.new, x)
    assert max_difference(outputs(model, x), before) > 1e-4

    save_file(model.state_dict(), tmp_path / "weights.safetensors")
    again, _ = placed(tmp_path, family, block)
    assert max_difference(outputs(again, x), outputs(model, x)) > 1e-4
    again.load_state_dict(load_file(tmp_path / "weights.safetensors"), strict=True)
    assert max_difference(outputs(again, x), outputs(model, x)) == 0

    learned = {key: model.state_dict()[key].clone() for key in report.new}
    model.load_state_dict(original, strict=True)
    state = model.state_dict()
    assert all(torch.equal(state[key], original[key]) for key in original)
    assert all(torch.equal(state[key], learned[key]) for key in learned)


@EACH
def test_the_checkpoint_loads_before_as_well(family: Family, tmp_path: Path) -> None:
    x, other = images(), build_network(family.name)
    step(other, x)
    first, second = build_network(family.name), build_network(family.name)
    sf.place(first, written(tmp_path, family, "cbam"), input_size=(3, 64, 64))
    first.load_state_dict(other.state_dict(), strict=True)
    second.load_state_dict(other.state_dict(), strict=True)
    sf.place(second, written(tmp_path, family, "cbam"), input_size=(3, 64, 64))
    assert (
        max_difference(outputs(first, x), outputs(other, x)) <= 1e-6
        and max_difference(outputs(second, x), outputs(other, x)) <= 1e-6
    )
    assert max_difference(outputs(other, x), outputs(build_network(family.name), x)) > 1e-4


def test_start_own_changes_the_output(tmp_path: Path) -> None:
    x, model = images(), build_network("yolo")
    before = outputs(model, x)
    sf.place(model, {"place": [{"at": "SplitStack", "block": "cbam", "start": "own"}]}, input_size=(3, 64, 64))
    assert max_difference(outputs(model, x), before) > 1e-3


def test_a_block_without_gradients_is_reported() -> None:
    model = build_network("timm resnet")
    report = sf.insert(model, "senet", "layer4.1.bn2")
    with torch.no_grad():
        model.layer4[1].bn2.original.weight.zero_()
        model.layer4[1].bn2.original.bias.zero_()
    silent = params_without_gradient(model, report.new, images(), steps=1)
    assert "layer4.1.bn2.inserted.mix" in silent and len(silent) == 5
