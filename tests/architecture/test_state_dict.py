"""Saved blocks load: the state-dict keys and shapes of every shipped config at 64 channels are recorded and do not change."""

import json
from pathlib import Path

import pytest
import torch

import sefactory as sf

RECORDED = json.loads((Path(__file__).parent / "state_dict_keys.json").read_text(encoding="utf-8"))
"""Config -> key -> shape. A new config is added; an entry is never changed."""


def test_every_config_is_recorded() -> None:
    assert sorted(RECORDED) == sorted(sf.configs())


@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_state_dict_loads(name: str) -> None:
    block, generator = sf.build(name, 64), torch.Generator().manual_seed(0)
    shapes = {key: list(tensor.shape) for key, tensor in block.state_dict().items()}
    assert list(shapes.items()) == list(RECORDED[name].items())
    dtypes = {key: tensor.dtype for key, tensor in block.state_dict().items()}
    state = {key: torch.rand(shape, generator=generator).to(dtypes[key]) for key, shape in RECORDED[name].items()}
    block.load_state_dict(state)
    assert all(torch.equal(tensor, state[key]) for key, tensor in block.state_dict().items())
