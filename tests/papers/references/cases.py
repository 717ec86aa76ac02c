"""The recordings, each with its reference implementation and hyper-parameters."""

from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor

from . import recorded_papers, seven_papers
from .layers import Reference, State

RECORDINGS = Path(__file__).parents[1] / "recordings"

CASES: dict[str, tuple[Reference, dict[str, Any]]] = {
    "a2_double_c24": (recorded_papers.a2, {}),
    "bam_c32_10x10": (recorded_papers.bam, {}),
    "bam_c64_12x12": (recorded_papers.bam, {}),
    "cbam_c32_r4_nospatial": (seven_papers.cbam, {"spatial": False}),
    "cbam_c32_r8_k3": (seven_papers.cbam, {}),
    "cbam_c64_r16": (seven_papers.cbam, {}),
    "cbam_timm_c32_k5": (seven_papers.cbam_timm, {}),
    "coordatt_c64_r32": (seven_papers.coordatt, {}),
    "coordatt_c64_r4": (seven_papers.coordatt, {}),
    "coordatt_mbv2_c32_r2": (seven_papers.coordatt, {}),
    "danet_cam_c32": (seven_papers.cam, {}),
    "danet_cam_c64": (seven_papers.cam, {}),
    "danet_head_c32_n3": (seven_papers.danet_head, {}),
    "danet_head_c64_n5": (seven_papers.danet_head, {}),
    "danet_pam_c32": (seven_papers.pam, {}),
    "danet_pam_c64": (seven_papers.pam, {}),
    "eca_c32_k5": (recorded_papers.eca, {}),
    "eca_c64_k3": (recorded_papers.eca, {}),
    "eca_timm_auto_c128": (recorded_papers.eca, {}),
    "ese_official_c24": (recorded_papers.ese, {}),
    "ese_timm_c32": (recorded_papers.ese, {}),
    "fca_c32_top4_14x7": (recorded_papers.fca, {}),
    "gcnet_add_c64_r16": (recorded_papers.gcnet, {}),
    "gcnet_mul_add_c32_r4": (recorded_papers.gcnet, {"fusions": ("add", "mul")}),
    "gcnet_timm_c32": (recorded_papers.gcnet_timm, {}),
    "ge_theta_e4_c32": (recorded_papers.gather_excite, {"extent": 4}),
    "ge_theta_minus_e4_c32": (recorded_papers.gather_excite, {"extent": 4}),
    "ge_theta_minus_global_c32": (recorded_papers.gather_excite, {}),
    "ge_theta_plus_e2_c32": (recorded_papers.gather_excite, {"extent": 2}),
    "nonlocal_timm_c24": (recorded_papers.nonlocal_timm, {}),
    "scse_add_smp_c32_r4": (recorded_papers.scse, {"merge": "sum"}),
    "scse_max_c32_r2": (recorded_papers.scse, {}),
    "seaformer_d24_k8_h2_16x20": (seven_papers.seaformer, {"heads": 2}),
    "seaformer_d32_k16_h4": (seven_papers.seaformer, {"heads": 4}),
    "seaformer_seg_d40_k12_h2": (seven_papers.seaformer, {"heads": 2}),
    "senet_se_bias_c64_r16": (seven_papers.senet, {}),
    "senet_se_c32_r4": (seven_papers.senet, {}),
    "senet_se_c64_r16": (seven_papers.senet, {}),
    "simam_c24": (recorded_papers.simam, {}),
    "sknet_c32_true5x5_g8_d16": (
        seven_papers.sknet,
        {"dilations": (1, 1), "groups": 8, "momentum": 0.1},
    ),
    "sknet_c64_g32_d32": (seven_papers.sknet, {"momentum": 0.1}),
    "sknet_skconv_linear_c32_g8_r4_l8": (seven_papers.sknet_linear, {"groups": 8}),
    "splat_c16_x2_g1": (recorded_papers.splat, {}),
    "srm_c24": (recorded_papers.srm, {}),
    "sse_only_c24": (recorded_papers.sse, {}),
    "triplet_c16_k3": (seven_papers.triplet, {}),
    "triplet_c24_nospatial": (seven_papers.triplet, {"spatial": False}),
    "triplet_c32_k7": (seven_papers.triplet, {}),
}


PREFIXES = ("state/", "buffers_train/")


class Recording(NamedTuple):
    """One recorded case; the three logit maps of a segmentation head lie end to end along C."""

    input: Tensor
    cotangent: Tensor  # zero on the maps that had none
    output: Tensor
    grad_input: Tensor
    output_train: Tensor
    state: State
    buffers_train: State  # running statistics, without the batch counters


def load_recording(name: str, dtype: torch.dtype = torch.float32) -> Recording:
    """Reads tests/papers/recordings/<name>.safetensors."""
    entries = load_file(RECORDINGS / f"{name}.safetensors")
    entries = {key: entry.to(dtype) if entry.is_floating_point() else entry for key, entry in entries.items()}
    part = {prefix: {k[len(prefix) :]: v for k, v in entries.items() if k.startswith(prefix)} for prefix in PREFIXES}
    output = torch.cat([entries[f"output{i}"] for i in ("", "_1", "_2") if f"output{i}" in entries], 1)
    train = torch.cat([entries[f"output_train{i}"] for i in ("", "_1", "_2") if f"output_train{i}" in entries], 1)
    cotangent = torch.zeros_like(output)
    cotangent[:, : entries["cotangent"].shape[1]] = entries["cotangent"]
    buffers = {key: entry for key, entry in part["buffers_train/"].items() if not key.endswith("num_batches_tracked")}
    return Recording(entries["input"], cotangent, output, entries["grad_input"], train, part["state/"], buffers)


def run(name: str, state: State, x: Tensor, training: bool = False, **changes: Any) -> Tensor:
    """Runs the reference of a recording on a state and an input; `changes` replace its hyper-parameters."""
    reference, hyper = CASES[name]
    return reference(state, x, training, **(hyper | changes))


def copy_state(state: State) -> State:
    """A deep copy of a state: training updates the running statistics in place."""
    return {key: entry.clone() for key, entry in state.items()}
