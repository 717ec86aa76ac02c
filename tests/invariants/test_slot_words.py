"""The design space of slot words: every combination runs, or is refused with a reason that names the axes."""

import itertools

import pytest
import torch

import sefactory as sf
from sefactory.config.repository import ConfigRepository

SHELF = ConfigRepository()
WORDS = {slot: SHELF.list_names(slot) for slot in ("squeeze", "excite", "gate")}
LEAST = {
    "squeeze": "mean max mean_max std conv linear cluster window rows columns channels",
    "excite": "mlp conv1d attention multiscale linear none",
    "gate": "sigmoid hard_sigmoid tanh softmax none",
}
REFUSED = {
    **{("cluster", "none", gate): "S is 4 and must be 1" for gate in WORDS["gate"]},
    **{("mean_max", "none", gate): "S is 2 and must be 1" for gate in WORDS["gate"]},
    **{("channels", "none", gate): "S is 2 and must be 1" for gate in WORDS["gate"]},
    **{("channels", "attention", gate): "tokens C have size 1" for gate in WORDS["gate"]},
    **{("channels", excite, "softmax"): "softmax: over C of size 1" for excite in WORDS["excite"] if excite != "attention"},
    ("none", "none", "none"): "all three are empty",
}


def _built(squeeze: str, excite: str, gate: str, **size: int) -> sf.Block:
    overrides = [f"squeeze={squeeze}", f"excite={excite}", f"gate={gate}"]
    return sf.build("unit", 32, overrides=overrides, **size)


def test_the_promised_words_are_there() -> None:
    for slot, promised in LEAST.items():
        assert set(promised.split()) <= set(WORDS[slot])


@pytest.mark.parametrize("squeeze", WORDS["squeeze"])
def test_every_combination_runs_or_is_rejected_with_a_reason(squeeze: str) -> None:
    x = torch.randn(2, 32, 9, 12)
    for excite, gate in itertools.product(WORDS["excite"], WORDS["gate"]):
        expected = REFUSED.get((squeeze, excite, gate))
        if expected:
            with pytest.raises(sf.ConfigError) as caught:
                _built(squeeze, excite, gate, height=9, width=12)
            assert expected in str(caught.value) and str(caught.value).startswith("unit.yaml")
            continue
        y = _built(squeeze, excite, gate, height=9, width=12).eval()(x)
        assert y.shape == x.shape and y.isfinite().all()


def test_only_the_projection_of_positions_needs_a_fixed_grid() -> None:
    for squeeze in WORDS["squeeze"]:
        if squeeze == "linear":
            with pytest.raises(sf.ConfigError, match="unit.yaml squeeze.0: linear: needs the size of H"):
                _built(squeeze, "mlp", "sigmoid")
        else:
            block = _built(squeeze, "mlp", "sigmoid").eval()
            assert block(torch.randn(1, 32, 5, 7)).shape == (1, 32, 5, 7)


def test_words_change_the_function() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 32, 8, 8)
    outputs = []
    for squeeze in ("mean", "max", "std", "window", "rows", "columns", "channels"):
        torch.manual_seed(1)
        outputs.append(_built(squeeze, "linear", "sigmoid").eval()(x))
    for a, b in itertools.combinations(outputs, 2):
        assert not torch.allclose(a, b, atol=1e-3)
