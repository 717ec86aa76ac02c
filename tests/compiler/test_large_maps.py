"""On maps so large that the kernels run, the lowered form equals the plain tree as well: every slot word, and the seven."""

from pathlib import Path

import pytest
import torch

from sefactory.kernels.dispatch import cpu_fast_path
from tests.compiler.comparison import compare, pair

CONFIGS = Path(__file__).parents[2] / "configs"
SHAPE = (2, 64, 48, 56)
OF_PARTS = ["mdta", "xca", "ema", "gnconv", "focalnet", "sanet"]
OF_STRIPS = ["caa", "msca", "lska", "lka"]
SEVEN = ["senet", "sknet", "cbam", "coordatt", "triplet", "seaformer"]


def agree(name: str, *overrides: str) -> None:
    lowered, plain = pair(name, SHAPE[1], height=SHAPE[2], width=SHAPE[3], overrides=list(overrides))
    x = torch.randn(SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    assert cpu_fast_path(x)
    for train in (False, True):
        assert compare(lowered.train(train), plain.train(train), x, 1e-11)  # a weight's gradient is a sum of 344,064 products
    with torch.no_grad():
        torch.testing.assert_close(lowered.eval()(x), plain.eval()(x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("squeeze", sorted(path.stem for path in (CONFIGS / "squeeze").glob("*.yaml")))
@pytest.mark.parametrize("excite", ["linear", "conv1d", "multiscale"])
def test_a_unit_of_slot_words(squeeze: str, excite: str) -> None:
    agree("unit", f"squeeze={squeeze}", f"excite={excite}", "gate=sigmoid")


@pytest.mark.parametrize("gate", sorted(path.stem for path in (CONFIGS / "gate").glob("*.yaml")))
def test_a_gate_of_full_resolution(gate: str) -> None:
    agree("unit", "squeeze=none", "excite=linear", f"gate={gate}")


@pytest.mark.parametrize("name", SEVEN)
def test_one_of_the_seven(name: str) -> None:
    agree(name)


@pytest.mark.parametrize("name", OF_PARTS)
def test_a_block_that_splits_channels(name: str) -> None:
    agree(name)


@pytest.mark.parametrize("name", OF_STRIPS)
def test_a_block_with_strip_or_dilated_convolutions(name: str) -> None:
    agree(name)
