"""Every golden case of the core, through `build` and `load_official`, against the recordings of the authors' code."""

import pytest
import torch

from tests.papers.comparison import built, evidence, recorded
from tests.papers.recorded_cases import CASES
from tests.papers.references import GOLDEN, load_golden

TOLERANCE = {"atol": 1e-4, "rtol": 1e-4}


def test_every_recording_of_the_core_has_a_case() -> None:
    names = {path.stem for path in GOLDEN.glob("*.safetensors")}
    assert len(names) == 48 and set(CASES) == names


@pytest.mark.parametrize("name", CASES)
def test_golden(name: str) -> None:
    golden = load_golden(name)
    found, expected = evidence(built(name, golden), golden, CASES[name].source), recorded(golden)
    assert set(found) == set(expected)
    for what, tensor in expected.items():
        torch.testing.assert_close(found[what], tensor, **TOLERANCE, msg=lambda text, what=what: f"{what}: {text}")
