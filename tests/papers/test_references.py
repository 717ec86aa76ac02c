"""The reference implementations against the recordings; wrong hyper-parameters do not pass."""

from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from tests.papers.references import (
    CASES,
    RECORDINGS,
    Reference,
    cam,
    cbam,
    coordatt,
    copy_state,
    danet,
    load_recording,
    pam,
    random_input,
    random_state,
    run,
    seaformer,
    senet,
    sknet,
    triplet,
)

TOLERANCE = 1e-4  # absolute and relative
FILES = sorted(file.stem for file in RECORDINGS.glob("*.safetensors"))

# A bias that shifts all logits of a softmax alike cannot change its result.
INVARIANT = {"key_conv.bias", "sa.key_conv.bias", "conv_mask.bias", "conv_attn.bias", "convB.bias", "p.bias"}

# One hyper-parameter set wrong: the output must differ from the recording.
WRONG: list[tuple[str, dict[str, Any]]] = [
    ("cbam_c64_r16", {"order": ("mean", "max")}),
    ("cbam_c64_r16", {"pools": ("avg",)}),
    ("cbam_c64_r16", {"pools": ("avg", "max", "lse")}),
    ("cbam_c64_r16", {"pools": ("lp", "max")}),
    ("cbam_c64_r16", {"spatial": False}),
    ("gcnet_mul_add_c32_r4", {"fusions": ("add",)}),
    ("ge_theta_minus_e4_c32", {"extent": 2}),
    ("scse_max_c32_r2", {"merge": "sum"}),
    ("seaformer_d32_k16_h4", {"heads": 2}),
    ("seaformer_d32_k16_h4", {"act": torch.relu}),
    ("simam_c24", {"lam": 1e-1}),
    ("sknet_c64_g32_d32", {"dilations": (1, 1)}),
    ("triplet_c32_k7", {"spatial": False}),
]

# The wrong BN momentum is invisible in the output and visible in the running statistics.
MOMENTUM = [("cbam_c64_r16", 0.1), ("triplet_c32_k7", 0.1), ("sknet_c64_g32_d32", 0.05)]

FAMILIES: dict[str, Reference] = {
    "senet": senet,
    "sknet": sknet,
    "cbam": cbam,
    "coordatt": coordatt,
    "triplet": triplet,
    "pam": pam,
    "cam": cam,
    "danet": danet,
    "seaformer": seaformer,
}

# family, recording, hyper-parameters: a random state has the keys and shapes of the recorded one.
STATES: list[tuple[str, str, dict[str, Any]]] = [
    ("senet", "senet_se_bias_c64_r16", {}),
    ("senet", "senet_se_c32_r4", {"r": 4, "bias": False}),
    ("sknet", "sknet_c64_g32_d32", {}),
    ("sknet", "sknet_c32_true5x5_g8_d16", {"groups": 8, "kernels": (3, 5), "d": 16}),
    ("cbam", "cbam_c32_r8_k3", {"r": 8, "k": 3}),
    ("cbam", "cbam_c32_r4_nospatial", {"r": 4, "spatial": False}),
    ("coordatt", "coordatt_c64_r32", {}),
    ("coordatt", "coordatt_mbv2_c32_r2", {"r": 2, "last": ("conv2", "conv3")}),
    ("triplet", "triplet_c16_k3", {"k": 3}),
    ("triplet", "triplet_c24_nospatial", {"spatial": False}),
    ("pam", "danet_pam_c64", {}),
    ("cam", "danet_cam_c64", {}),
    ("danet_head", "danet_head_c64_n5", {"classes": 5}),
    ("seaformer", "seaformer_d32_k16_h4", {}),
    ("seaformer", "seaformer_seg_d40_k12_h2", {"heads": 2, "key": 12}),
]


def close(actual: Tensor, expected: Tensor) -> bool:
    return torch.allclose(actual, expected, atol=TOLERANCE, rtol=TOLERANCE)


def assert_close(actual: Tensor, expected: Tensor, what: str) -> None:
    torch.testing.assert_close(actual, expected, atol=TOLERANCE, rtol=TOLERANCE, msg=lambda text: f"{what}: {text}")


def width(name: str) -> int:
    return load_recording(name).input.shape[1]


def test_every_recording_has_a_case() -> None:
    assert len(FILES) == 48
    assert sorted(CASES) == FILES


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", CASES)
class TestRecording:
    def test_output_and_gradient(self, name: str, dtype: torch.dtype) -> None:
        recording = load_recording(name, dtype)
        state, x = copy_state(recording.state), recording.input.requires_grad_()
        output = run(name, state, x)
        (gradient,) = torch.autograd.grad(output, x, recording.cotangent)
        assert_close(output, recording.output, "output")
        assert_close(gradient, recording.grad_input, "grad_input")
        assert all(torch.equal(state[key], recording.state[key]) for key in state)

    def test_training(self, name: str, dtype: torch.dtype) -> None:
        recording = load_recording(name, dtype)
        state = copy_state(recording.state)
        output = run(name, state, recording.input, training=True)
        assert_close(output, recording.output_train, "output_train")
        moved = {key for key in state if not torch.equal(state[key], recording.state[key])}
        assert moved == set(recording.buffers_train)
        for key, expected in recording.buffers_train.items():
            assert_close(state[key], expected, key)


@pytest.mark.parametrize("name", ["danet_head_c32_n3", "danet_head_c64_n5"])
@pytest.mark.parametrize(("training", "key"), [(False, "feat_sum"), (True, "feat_sum_train")])
def test_danet_features(name: str, training: bool, key: str) -> None:
    recording = load_recording(name)
    expected = load_file(RECORDINGS / f"{name}.safetensors")[key]
    assert_close(danet(recording.state, recording.input, training), expected, key)


# ---- Negative controls ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_every_entry_of_the_state_is_used(name: str) -> None:
    recording = load_recording(name)
    keys = [key for key, entry in recording.state.items() if entry.is_floating_point()]
    for key in keys:
        state = recording.state | {key: recording.state[key] * 1.5 + 0.5}
        same = close(run(name, state, recording.input), recording.output)
        assert same == (key in INVARIANT), key


@pytest.mark.parametrize("name", [name for name in CASES if load_recording(name).buffers_train])
def test_training_differs_from_eval(name: str) -> None:
    recording = load_recording(name)
    assert not close(run(name, recording.state, recording.input), recording.output_train)
    assert not any(close(recording.state[key], recording.buffers_train[key]) for key in recording.buffers_train)


@pytest.mark.parametrize(("name", "changes"), WRONG)
def test_a_wrong_hyper_parameter_is_caught(name: str, changes: dict[str, Any]) -> None:
    recording = load_recording(name)
    assert not close(run(name, recording.state, recording.input, **changes), recording.output)


@pytest.mark.parametrize(("name", "momentum"), MOMENTUM)
def test_a_wrong_momentum_is_caught_in_the_statistics_alone(name: str, momentum: float) -> None:
    recording = load_recording(name)
    output = run(name, recording.state, recording.input, training=True, momentum=momentum)
    assert close(output, recording.output_train)
    assert not any(close(recording.state[key], recording.buffers_train[key]) for key in recording.buffers_train)


def test_the_wrong_sign_of_channel_attention_is_caught() -> None:
    recording = load_recording("danet_cam_c32")
    flat = recording.input.flatten(2)
    paper = (flat @ flat.mT).softmax(-1) @ flat
    output = recording.state["gamma"] * paper.view_as(recording.input) + recording.input
    assert not close(output, recording.output)


# ---- Random states --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("family", "name", "hyper"), STATES)
def test_a_random_state_fits_the_reference(family: str, name: str, hyper: dict[str, Any]) -> None:
    recording = load_recording(name)
    state = random_state(family, width(name), torch.Generator().manual_seed(0), **hyper)
    expected = {key: (entry.shape, entry.dtype) for key, entry in recording.state.items()}
    assert {key: (entry.shape, entry.dtype) for key, entry in state.items()} == expected
    assert run(name, state, recording.input).shape == recording.output.shape


@pytest.mark.parametrize("family", FAMILIES)
def test_a_random_state_runs_at_another_width(family: str) -> None:
    generator = torch.Generator().manual_seed(1)
    state = random_state(family, 96, generator, torch.float64)
    x = random_input((3, 96, 9, 7), generator, torch.float64, size=0.3)
    for training in (False, True):
        output = FAMILIES[family](state, x, training)
        assert output.isfinite().all()
        assert output.shape == (3, 24 if family == "danet" else 96, 9, 7)


def test_danet_is_its_head_without_the_classifiers() -> None:
    classifiers = ("conv6.", "conv7.", "conv8.")
    recording = load_recording("danet_head_c64_n5").state
    expected = {key: entry.shape for key, entry in recording.items() if not key.startswith(classifiers)}
    state = random_state("danet", 64, torch.Generator().manual_seed(0))
    assert {key: entry.shape for key, entry in state.items()} == expected


def test_a_random_state_is_the_same_in_every_dtype() -> None:
    single, double = (
        random_state("cbam", 48, torch.Generator().manual_seed(0), dtype) for dtype in (torch.float32, torch.float64)
    )
    assert all(torch.equal(single[key], double[key].to(single[key].dtype)) for key in single)
    inputs = [random_input((2, 3, 5, 7), torch.Generator().manual_seed(0), dtype) for dtype in (torch.float32, torch.float64)]
    assert torch.equal(inputs[0], inputs[1].float())
