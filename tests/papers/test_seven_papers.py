"""The seven papers against their references: random weights, three more shapes each, outputs, gradients, running statistics."""

from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor

import sefactory as sf
from tests.papers.comparison import gradient, official_buffers
from tests.papers.references import Reference, State, copy_state, random_input, random_state, seven_papers

Shape = tuple[int, int, int, int]
EXACT, FLOAT32_CONSTANTS = 1e-9, 2e-6  # ATen's hardsigmoid and hardswish take 1/6 in float32, in every dtype


@dataclass(frozen=True)
class Paper:
    """The reference and key map of a config, and the hyper-parameters in the words of each."""

    reference: Reference
    source: str
    shapes: tuple[Shape, Shape, Shape]
    overrides: tuple[str, ...] = ()
    state: dict[str, Any] = field(default_factory=dict)
    hyper: dict[str, Any] = field(default_factory=dict)
    size: float = 1.0
    tolerance: float = EXACT


ODD = (2, 48, 9, 13)
PAPERS = {
    "senet": Paper(seven_papers.senet, "huggingface/pytorch-image-models", (ODD, (3, 64, 7, 7), (2, 96, 12, 5))),
    "sknet": Paper(
        seven_papers.sknet,
        "huggingface/pytorch-image-models",
        (ODD, (3, 64, 7, 7), (2, 96, 12, 5)),
        overrides=("let.G=16", "let.r=3", "let.L=8"),
        state={"groups": 16, "r": 3, "least": 8},
        hyper={"groups": 16},
    ),
    "cbam": Paper(seven_papers.cbam, "Jongchan/attention-module", (ODD, (3, 64, 7, 7), (2, 96, 12, 5))),
    "coordatt": Paper(
        seven_papers.coordatt, "houqb/CoordAttention", (ODD, (3, 64, 7, 7), (2, 288, 5, 4)), tolerance=FLOAT32_CONSTANTS
    ),
    "triplet": Paper(seven_papers.triplet, "landskape-ai/triplet-attention", (ODD, (3, 7, 5, 6), (2, 33, 12, 5))),
    "danet": Paper(seven_papers.danet, "junfu1115/DANet", (ODD, (3, 64, 7, 7), (2, 96, 12, 5)), size=0.35),
    "seaformer": Paper(
        seven_papers.seaformer,
        "fudan-zvg/SeaFormer",
        (ODD, (3, 64, 16, 16), (2, 20, 33, 5)),
        overrides=("let.heads=3", "let.key=8"),
        state={"heads": 3, "key": 8},
        hyper={"heads": 3},
        tolerance=FLOAT32_CONSTANTS,
    ),
}
TRIALS = [(name, shape) for name, paper in PAPERS.items() for shape in paper.shapes]


def trial(name: str, shape: Shape) -> tuple[sf.Block, State, Tensor, Tensor]:
    """A block and the state it was loaded from, an input, a cotangent."""
    paper, generator = PAPERS[name], torch.Generator().manual_seed(sum(shape))
    state = random_state(name, shape[1], generator, torch.float64, **paper.state)
    block = sf.build(name, shape[1], overrides=list(paper.overrides)).double()
    sf.load_official(block, state, source=paper.source)
    x = random_input(shape, generator, torch.float64, paper.size)
    out = (shape[0], shape[1] // 4, *shape[2:]) if name == "danet" else shape
    return block, state, x, torch.randn(out, generator=generator, dtype=torch.float64)


def close(name: str, found: Tensor, expected: Tensor, what: str) -> None:
    tolerance = PAPERS[name].tolerance
    scale = float(expected.abs().max())
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance * scale, msg=lambda text: f"{what}: {text}")


@pytest.mark.parametrize(("name", "shape"), TRIALS)
def test_output_and_gradient(name: str, shape: Shape) -> None:
    block, state, x, cotangent = trial(name, shape)
    found, grad = gradient(block, x, cotangent)
    x = x.clone().requires_grad_()
    expected = PAPERS[name].reference(state, x, False, **PAPERS[name].hyper)
    close(name, found, expected.detach(), "output")
    close(name, grad, torch.autograd.grad(expected, x, cotangent)[0], "gradient")


@pytest.mark.parametrize(("name", "shape"), TRIALS)
def test_training_output_and_statistics(name: str, shape: Shape) -> None:
    block, state, x, _ = trial(name, shape)
    before, paper = copy_state(state), PAPERS[name]
    found = block.train()(x).detach()
    close(name, found, paper.reference(state, x, True, **paper.hyper), "train output")
    ours = official_buffers(block, paper.source, state)
    assert set(ours) == {key for key in state if "running" in key}
    for key, tensor in ours.items():
        close(name, tensor, state[key], key)
        assert not torch.equal(state[key], before[key]), key


def test_seven_papers_with_an_odd_shape_each() -> None:
    assert len(PAPERS) == 7 and len(TRIALS) == 21
    assert all(any(h % 2 and w % 2 and h != w for _, _, h, w in paper.shapes) for paper in PAPERS.values())


# ---- What recordings do not cover -----------------------------------------------------------------------------------


@pytest.mark.parametrize("act", [torch.relu, torch.nn.functional.relu6])
def test_relu_for_relu6_is_caught_at_large_inputs(act: Reference) -> None:
    block, state, x, _ = trial("seaformer", ODD)
    for key in ("proj_encode_row.1.bn", "proj_encode_column.1.bn", "dwconv.bn", "to_v.bn"):
        state[f"{key}.weight"] *= 20
    sf.load_official(block, state, source="fudan-zvg/SeaFormer")
    with torch.no_grad():
        found, expected = block.eval()(x), seven_papers.seaformer(state, x, False, heads=3, act=act)
    error = float((found - expected).abs().max() / expected.abs().max())
    assert (error < FLOAT32_CONSTANTS) if act is not torch.relu else (error > 0.01)


COUNTS = [
    ("senet", [], 8_464),
    ("sknet", [], 62_528),
    ("cbam", [], 8_564),
    ("coordatt", [], 6_680),
    ("triplet", [], 300),
    ("seaformer", ["let.heads=8", "let.key=24"], 811_264),
    ("pam", [], 82_241),
    ("cbam_channel", [], 8_464),
]


@pytest.mark.parametrize(("name", "overrides", "count"), COUNTS)
def test_parameters_at_256_channels(name: str, overrides: list[str], count: int) -> None:
    assert sum(p.numel() for p in sf.build(name, 256, overrides=overrides).parameters()) == count


def test_the_position_attention_of_danet_is_pam() -> None:
    attend = sf.build("danet", 1024).get_submodule("parallel.position.series.attend")
    assert sum(p.numel() for p in attend.parameters()) == 82_241


# ---- One override, one hyper-parameter ------------------------------------------------------------------------------

CHANGES: list[tuple[str, str, dict[str, tuple[int, ...]]]] = [
    ("senet", "let.r=8", {"excite.0.0.weight": (8, 64), "excite.0.0.bias": (8,), "excite.0.2.weight": (64, 8)}),
    (
        "sknet",
        "let.G=16",
        {"series.split.parallel.k3.0.weight": (64, 4, 3, 3), "series.split.parallel.k5.0.weight": (64, 4, 3, 3)},
    ),
    ("cbam", "let.k=3", {"series.spatial.excite.0.weight": (1, 2, 3, 3)}),
    (
        "coordatt",
        "let.r=4",
        {
            "excite.0.shared.0.weight": (16, 64),
            **dict.fromkeys(["excite.0.shared.0.bias", "excite.0.shared.1.weight", "excite.0.shared.1.bias"], (16,)),
            **dict.fromkeys(["excite.0.own.h.0.weight", "excite.0.own.w.0.weight"], (64, 16)),
        },
    ),
    ("triplet", "let.k=3", {f"parallel.{branch}.excite.0.weight": (1, 2, 3, 3) for branch in ("cw", "hc", "hw")}),
    ("danet", "parallel.position.series.leave.0.conv.kernel=1", {"parallel.position.series.leave.0.weight": (16, 16, 1, 1)}),
    (
        "seaformer",
        "let.P=8",
        {f"series.attend.parallel.axial.0.parallel.{b}.1.position": (2, 64, 8) for b in ("row", "column")},
    ),
]


@pytest.mark.parametrize(("name", "override", "changed"), CHANGES)
def test_one_override_changes_one_hyper_parameter(name: str, override: str, changed: dict[str, tuple[int, ...]]) -> None:
    before, after = (
        {key: tuple(p.shape) for key, p in sf.build(name, 64, overrides=given).named_parameters()} for given in ([], [override])
    )
    assert {key: shape for key, shape in after.items() if shape != before.get(key)} == changed
    assert before.keys() == after.keys()


def test_each_of_the_seven_is_overridden() -> None:
    assert [name for name, _, _ in CHANGES] == list(PAPERS)
