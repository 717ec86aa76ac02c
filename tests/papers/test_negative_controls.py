"""Negative controls: a block with one error differs from the recording, in the quantities that the error changes."""

from typing import Any

import pytest
import torch
from torch import Tensor

import sefactory as sf
from tests.papers.comparison import Values, case_values, measured_values, official_block, recorded_values
from tests.papers.recorded_cases import CASES
from tests.papers.references import Recording, load_recording

TOLERANCE = 1e-4
CLEARLY = 5  # times the tolerance
ALL = {"output", "gradient", "train", "statistics"}
EVAL_AND_TRAIN = {"output", "gradient", "train"}  # what precedes the norms is right
ROW = "series.attend.parallel.axial.0.parallel.row"

# The error, the recording, the overrides that make it, the quantities that differ.
CONTROLS: list[tuple[str, str, list[str], set[str]]] = [
    ("mean before max", "cbam_c64_r16", ["series.spatial.squeeze.0.pool.by=[mean,max]"], ALL),
    ("mean alone", "cbam_c64_r16", ["series.channel.squeeze.0.pool.by=mean"], ALL),
    ("maximum of the two logits", "cbam_c32_r4_nospatial", ["series.channel.excite.1.pool.by=max"], EVAL_AND_TRAIN),
    ("momentum 0.1", "cbam_c64_r16", ["series.spatial.excite.1.batch_norm.momentum=0.1"], {"statistics"}),
    ("momentum 0.1", "triplet_c32_k7", ["let.m=0.1"], {"statistics"}),
    ("momentum 0.05", "sknet_c64_g32_d32", ["let.m=0.05"], {"statistics"}),
    (  # the trunk sees the same strips in the other order: its statistics are right
        "the other axis pooled",
        "coordatt_c64_r32",
        ["excite.0.parallel.h.0.pool.over=H", "excite.0.parallel.w.0.pool.over=W"],
        EVAL_AND_TRAIN,
    ),
    ("a rotation missed", "triplet_c32_k7", ["parallel.cw.squeeze.0.pool.over=W", "parallel.cw.excite.0.conv.along=HC"], ALL),
    ("a kernel transposed", "triplet_c32_k7", ["parallel.cw.excite.0.conv.along=WC"], ALL),
    ("sum for mean", "triplet_c32_k7", ["fuse=sum"], EVAL_AND_TRAIN),
    ("sign of the energy", "danet_cam_c32", ["excite.0.attention.scale=1"], EVAL_AND_TRAIN),
    ("scaled energy", "danet_pam_c32", ["~excite.1.attention.scale"], EVAL_AND_TRAIN),
    ("tokens along one axis", "danet_pam_c32", ["excite.1.attention.tokens=H"], EVAL_AND_TRAIN),
    ("multiplied for added", "danet_pam_c32", ["apply=multiply"], EVAL_AND_TRAIN),
    ("scale missing", "seaformer_d32_k16_h4", [f"+{ROW}.1.attention.scale=1"], ALL),
    ("half the heads", "seaformer_d32_k16_h4", ["let.heads=2", "let.key=32"], ALL),
    (  # normed by its own batch, nothing is above 6
        "relu for relu6",
        "seaformer_d32_k16_h4",
        ["series.attend.parallel.detail.2=relu"],
        {"output", "gradient"},
    ),
    ("sigmoid for hard_sigmoid", "seaformer_d32_k16_h4", ["series.attend.parallel.axial.4=sigmoid"], EVAL_AND_TRAIN),
    ("hard_sigmoid for sigmoid", "senet_se_c64_r16", ["gate=[hard_sigmoid]"], EVAL_AND_TRAIN),
    ("std for mean", "senet_se_c64_r16", ["squeeze.0.pool.by=std"], EVAL_AND_TRAIN),
    ("softmax over channels", "sknet_c64_g32_d32", ["series.select.gate=[{softmax:C}]"], EVAL_AND_TRAIN),
    ("channels in turn", "sknet_c64_g32_d32", ["series.select.excite.4={stack:{parts:M,groups:2}}"], EVAL_AND_TRAIN),
    ("no dilation", "sknet_c64_g32_d32", ["series.split.parallel.k5.0.conv.dilation=1"], ALL),
    ("no dilation", "bam_c64_12x12", ["let.d=1"], ALL),
    ("no one added", "bam_c64_12x12", ["gate=[sigmoid]"], EVAL_AND_TRAIN),
    ("eps 1e-2", "coordatt_c64_r32", ["excite.0.shared.1={batch_norm:{eps:0.01}}"], EVAL_AND_TRAIN),
    ("hard_swish missed", "coordatt_c64_r32", ["excite.0.shared.2=relu"], EVAL_AND_TRAIN),
    ("half the extent", "ge_theta_minus_e4_c32", ["let.e=2"], EVAL_AND_TRAIN),
    ("sum for maximum", "scse_max_c32_r2", ["fuse=sum"], EVAL_AND_TRAIN),
]


def distance(found: Tensor, expected: Tensor) -> float:
    """The largest error, in tolerances."""
    return float(((found - expected).abs() / (TOLERANCE + TOLERANCE * expected.abs())).max())


def wrong_quantities(found: Values, recording: Recording) -> set[str]:
    """The quantities that are clearly wrong; every other one is right."""
    worst: dict[str, float] = {}
    for what, expected in recorded_values(recording).items():
        quantity = what.split()[0]
        worst[quantity] = max(worst.get(quantity, 0), distance(found[what], expected))
    assert not {what: far for what, far in worst.items() if 1 < far < CLEARLY}
    return {what for what, far in worst.items() if far >= CLEARLY}


@pytest.mark.parametrize(("wrong", "name", "overrides", "where"), CONTROLS)
def test_an_error_is_caught(wrong: str, name: str, overrides: list[str], where: set[str]) -> None:
    recording = load_recording(name)
    assert wrong_quantities(case_values(name, recording, overrides), recording) == where


@pytest.mark.parametrize("name", sorted({name for _, name, _, _ in CONTROLS}))
def test_the_right_block_passes(name: str) -> None:
    recording = load_recording(name)
    assert wrong_quantities(case_values(name, recording), recording) == set()


def from_config(config: Any, recording: Recording, keys: dict[str, Any]) -> Values:
    """The values of a block whose tree differs from the shipped one, loaded by a key map of its own."""
    block = sf.build({**config, "official": {"here": keys}}, recording.input.shape[1])
    sf.load_official(block, recording.state)
    return measured_values(block, recording, "here")


def test_a_shared_trunk_applied_branch_by_branch_is_caught_in_training() -> None:
    recording, config = load_recording("coordatt_c64_r32"), sf.load("coordatt")
    fork, let = config["excite"][0], {"let": {"r": 32}}
    keys = {"excite.0.parallel.h.1": "conv1", "excite.0.parallel.h.2": "bn1", "excite.0.parallel.h.4": "conv_h"}
    keys |= {"excite.0.parallel.w.1": "conv1", "excite.0.parallel.w.2": "bn1", "excite.0.parallel.w.4": "conv_w"}
    branches = {name: [*fork["parallel"][name], *fork["shared"], *fork["own"][name]] for name in "hw"}
    strips = {**let, "excite": [{"parallel": branches, "fuse": "product"}]}
    assert wrong_quantities(from_config(strips, recording, keys), recording) == {"train", "statistics"}


def test_a_missing_position_is_caught() -> None:
    recording, config = load_recording("seaformer_d32_k16_h4"), sf.load("seaformer", [f"~{ROW}.1.attention.position"])
    keys = {key: name for key, name in config["official"]["fudan-zvg/SeaFormer"].items() if key != f"{ROW}.1.position"}
    keys["unused"] = ["pos_emb_rowq", "pos_emb_rowk"]
    assert wrong_quantities(from_config(config, recording, keys), recording) == ALL


def test_swapped_scale_and_shift_are_caught() -> None:
    recording, config = load_recording("gcnet_mul_add_c32_r4"), sf.load("gcnet_mul_add", ["let.r=4"])
    fork = config["excite"][0]
    swapped = {**config, "excite": [{**fork, "parallel": dict(reversed(fork["parallel"].items()))}]}
    keys = config["official"]["xvjiarui/GCNet"]
    assert wrong_quantities(from_config(config, recording, keys), recording) == set()
    assert wrong_quantities(from_config(swapped, recording, keys), recording) == EVAL_AND_TRAIN


def test_a_wrong_weight_is_caught() -> None:
    recording = load_recording("senet_se_c64_r16")
    block = official_block("senet_se_c64_r16", recording)
    with torch.no_grad():
        block.get_parameter("excite.0.0.weight").neg_()
    assert wrong_quantities(measured_values(block, recording, CASES["senet_se_c64_r16"].source), recording) == EVAL_AND_TRAIN
