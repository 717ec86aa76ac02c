"""Shipped configs with the authors' weights equal the recordings of the authors' code."""

import pytest
import torch

from tests.papers.comparison import case_values, recorded_values
from tests.papers.recorded_cases import CASES
from tests.papers.references import RECORDINGS, load_recording

TOLERANCE = {"atol": 1e-4, "rtol": 1e-4}


def test_every_recording_has_a_case() -> None:
    names = {path.stem for path in RECORDINGS.glob("*.safetensors")}
    assert len(names) == 48 and set(CASES) == names


@pytest.mark.parametrize("name", CASES)
def test_a_block_equals_its_recording(name: str) -> None:
    recording = load_recording(name)
    found, expected = case_values(name, recording), recorded_values(recording)
    assert set(found) == set(expected)
    for what, tensor in expected.items():
        torch.testing.assert_close(found[what], tensor, **TOLERANCE, msg=lambda text, what=what: f"{what}: {text}")
