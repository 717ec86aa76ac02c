"""Every golden case of the core, through `build` and `load_official`, against the recordings of the authors' code."""

import pytest
import torch
from golden_cases import CASES
from references import Golden, load_golden
from torch import Tensor

import sefactory as sf

TOLERANCE = {"atol": 1e-4, "rtol": 1e-4}
VOCABULARY = {"a2_double_c24", "fca_c32_top4_14x7", "nonlocal_timm_c24", "simam_c24", "splat_c16_x2_g1", "srm_c24"}


def built(name: str, golden: Golden, extra: list[str] | None = None) -> sf.Block:
    """The block of a case with the authors' weights."""
    case = CASES[name]
    block = sf.build(case.config, golden.input.shape[1], overrides=[*case.overrides, *(extra or [])])
    sf.load_official(block, golden.state, source=case.source)
    return block


def gradient(block: sf.Block, golden: Golden) -> tuple[Tensor, Tensor]:
    """Eval output and input gradient."""
    x = golden.input.clone().requires_grad_()
    y = block.eval()(x)
    (grad,) = torch.autograd.grad((y * golden.cotangent).sum(), x)
    return y.detach(), grad


def test_every_recording_of_the_core_has_a_case() -> None:
    from references import GOLDEN

    recorded = {path.stem for path in GOLDEN.glob("*.safetensors")}
    assert len(recorded) == 48 and set(CASES) == recorded - VOCABULARY and len(CASES) == 42


@pytest.mark.parametrize("name", CASES)
def test_golden(name: str) -> None:
    golden = load_golden(name)
    block = built(name, golden)
    y, grad = gradient(block, golden)
    torch.testing.assert_close(y, golden.output, **TOLERANCE)
    torch.testing.assert_close(grad, golden.grad_input, **TOLERANCE)
    torch.testing.assert_close(block.train()(golden.input).detach(), golden.output_train, **TOLERANCE)
    buffers = {theirs: t for theirs, t in official_buffers(block, name).items()}
    for theirs, expected in golden.buffers_train.items():
        torch.testing.assert_close(buffers[theirs].reshape(expected.shape), expected, **TOLERANCE)


def official_buffers(block: sf.Block, name: str) -> dict[str, Tensor]:
    """Our running statistics under the authors' names, lists cut apart again."""
    mapping = block.config["official"][CASES[name].source]
    found: dict[str, Tensor] = {}
    golden = load_golden(name)
    for key, tensor in block.state_dict().items():
        if "running" not in key:
            continue
        entry = max((e for e in mapping if key.startswith(f"{e}.")), key=len)
        theirs = mapping[entry] if isinstance(mapping[entry], list) else [mapping[entry]]
        names = [t + key[len(entry) :] for t in theirs]
        parts = tensor.split([golden.state[n].numel() for n in names])
        found.update(zip(names, parts, strict=True))
    return found
