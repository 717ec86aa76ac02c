"""Where weights begin: torch's rule for maps, the authors' zeros, and what a block computes before it is trained."""

from typing import Any

import pytest
import torch

import sefactory as sf


@pytest.mark.parametrize("name", ["pam", "cam", "gcnet", "nonlocal", "gated_channel"])
def test_a_residual_block_starts_as_the_identity(name: str) -> None:
    x = torch.randn(2, 32, 5, 6)
    torch.testing.assert_close(sf.build(name, 32)(x), x, rtol=0, atol=0)


@pytest.mark.parametrize(("name", "gate"), [("gcnet_mul_add", 0.0), ("srmnet", 0.0), ("sge", 1.0), ("sanet", 1.0)])
def test_a_gate_starts_at_one_value_everywhere(name: str, gate: float) -> None:
    x = torch.randn(2, 32, 5, 6)
    y = sf.build(name, 32)(x)
    scaled = x * torch.tensor(gate).sigmoid()
    if name == "sanet":  # the channels of both halves are shuffled at its end
        scaled = scaled.unflatten(1, (2, -1)).transpose(1, 2).flatten(1, 2)
    torch.testing.assert_close(y, scaled)


def test_axial_attention_starts_as_half_of_its_detail() -> None:
    block, x = sf.build("seaformer", 32).eval(), torch.randn(2, 32, 5, 6)
    detail = block.get_submodule("series.attend.parallel.detail")(block.get_submodule("series.qkv")(x.unsqueeze(1)))
    assert detail.std() > 0
    torch.testing.assert_close(block(x), 0.5 * detail.squeeze(1))


ZERO_STARTS = {
    "series.attend.parallel.axial.0.parallel.row.4.weight",
    "series.attend.parallel.axial.0.parallel.column.4.weight",
    "series.attend.parallel.axial.3.weight",
}
ZEROS = [
    ("seaformer", ZERO_STARTS),
    ("gcnet", {"excite.3.weight"}),
    ("gcnet_timm", set()),
    ("nonlocal", {"excite.3.weight"}),
    ("gcnet_mul_add", {"excite.0.parallel.mul.3.weight", "excite.0.parallel.add.3.weight"}),
    ("pam", {"gate.0.weight"}),
    ("cam", {"gate.0.weight"}),
    ("genet", set()),
    ("senet", set()),
]


@pytest.mark.parametrize(("name", "zeros"), ZEROS)
def test_weights_that_start_at_zero(name: str, zeros: set[str]) -> None:
    weights = {key: p for key, p in sf.build(name, 32).named_parameters() if key.endswith("weight")}
    assert {key for key, p in weights.items() if not p.any()} == zeros


@pytest.mark.parametrize("name", sf.configs())
def test_a_norm_starts_as_the_identity(name: str) -> None:
    block = sf.build(name, 32)
    state = block.state_dict()
    for key in [key.removesuffix(".running_mean") for key in state if key.endswith("running_mean")]:
        start = 0 if f"{key}.weight" in dict(ZEROS).get(name, set()) else 1
        assert (state[f"{key}.weight"] == start).all() and not state[f"{key}.bias"].any()
        assert not state[f"{key}.running_mean"].any() and (state[f"{key}.running_var"] == 1).all()


@pytest.mark.parametrize(("key", "fan_in"), [("excite.0.0.weight", 256), ("excite.0.0.bias", 256), ("excite.0.2.weight", 16)])
def test_a_linear_map_starts_uniform_within_its_fan_in(key: str, fan_in: int) -> None:
    torch.manual_seed(0)
    weight, bound = sf.build("senet", 256).state_dict()[key], fan_in**-0.5
    assert 0.8 * bound < weight.abs().max() <= bound
    assert abs(float(weight.mean())) < 0.5 * bound


FANS = [
    ({"conv": {"kernel": 5, "out": 32, "bias": True}}, "weight", 64 * 25),
    ({"conv": {"kernel": 5, "out": 32, "bias": True}}, "bias", 64 * 25),
    ({"conv": {"groups": 8, "out": 32}}, "weight", 8 * 9),
    ({"conv": {"kernel": [3, 7], "each": "C"}}, "weight", 21),
    ({"conv": {"along": "C", "kernel": 9}}, "weight", 9),
    ({"linear": {"mix": "HW", "out": 5}}, "weight", 49),
    ({"linear": {"mix": "C", "groups": 4, "out": 64}}, "weight", 16),
    ({"cluster": 8}, "weight", 64),
]


@pytest.mark.parametrize(("node", "key", "fan_in"), FANS)
def test_a_convolution_is_initialised_as_in_torch(node: dict[str, Any], key: str, fan_in: int) -> None:
    torch.manual_seed(0)
    block = sf.build([node, *([{"pool": "S"}] if "cluster" in node else [])], 64, height=7, width=7)
    tensor, bound = block.state_dict()[f"0.{key}"], fan_in**-0.5
    assert 0.6 * bound < tensor.abs().max() <= bound


def test_positions_start_standard_normal() -> None:
    torch.manual_seed(0)
    position = sf.build("seaformer", 64).state_dict()["series.attend.parallel.axial.0.parallel.row.1.position"]
    assert abs(float(position.mean())) < 0.1 and abs(float(position.std()) - 1) < 0.1


@pytest.mark.parametrize("operator", ["linear", "conv"])
def test_start_is_the_initial_weight(operator: str) -> None:
    state = sf.build([{operator: {"bias": True, "start": 0.5}}], 8).state_dict()
    assert (state["0.weight"] == 0.5).all() and not state["0.bias"].any()
