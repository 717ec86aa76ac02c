"""Invariants of every operator and every shipped config; checks.py states them."""

from pathlib import Path
from typing import Any

import pytest
import torch

import sefactory as sf
from sefactory.config.registry import find_operator
from tests.invariants.cases import CASES, CONFIGS, ESTIMATED, EXAMPLES, GRID, WIDTH
from tests.invariants.checks import CHECKS
from tests.sampling import SEVEN_PAPERS, sampled

ON_ALL_CASES = pytest.mark.parametrize("name", sampled(CASES, 4))


def test_no_operator_and_no_config_is_missing() -> None:
    shipped = [name for name in sf.operators() if find_operator(name).make.__module__.startswith("sefactory.")]  # type: ignore[union-attr]
    assert sorted({name for name, _, _ in EXAMPLES}) == shipped
    assert list(CONFIGS) == sf.configs() and len(CONFIGS) >= 25


# A hard assignment has an estimated gradient; tests/operators/test_cluster.py holds it to its rule.
PAIRS = [(check, name) for check in CHECKS for name in CASES if not (check == "gradcheck" and name in ESTIMATED)]
ORDER = {name: position for position, name in enumerate([*CHECKS, *CASES])}


def in_sample(check: str, name: str) -> bool:
    """True for the seven papers, and for a quarter of the checks of any other case, each check on a quarter of the cases."""
    return name in SEVEN_PAPERS or (ORDER[check] + ORDER[name]) % 4 == 0


@pytest.mark.parametrize(("check", "name"), sampled(PAIRS, in_sample))
def test_invariant_holds(check: str, name: str) -> None:
    CHECKS[check](CASES[name])


def test_only_hard_assignments_have_another_gradient() -> None:
    examples = {f"{name}-{i}": (name, given) for i, (name, _, given) in enumerate(EXAMPLES)}
    assert ESTIMATED and all(examples[name][0] == "cluster" and examples[name][1]["hard"] for name in ESTIMATED)


@ON_ALL_CASES
def test_a_state_dict_is_loadable_with_weights_only(name: str, tmp_path: Path) -> None:
    state = CASES[name]().module.state_dict()
    torch.save(state, tmp_path / "state.pt")
    loaded = torch.load(tmp_path / "state.pt", weights_only=True)
    assert list(loaded) == list(state) and all(torch.equal(loaded[key], state[key]) for key in state)


@ON_ALL_CASES
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_it_computes_in_the_dtype_of_its_input(name: str, dtype: torch.dtype) -> None:
    case = CASES[name]()
    assert case.module.to(dtype)(case.input(2, GRID, dtype)).dtype == dtype


# ---- Building -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CONFIGS)
def test_building_is_reproducible(name: str) -> None:
    states = []
    for _ in range(2):
        torch.manual_seed(3)
        states.append(sf.build(name, 2 * WIDTH).state_dict())
    assert all(torch.equal(tensor, states[1][key]) for key, tensor in states[0].items())


@pytest.mark.parametrize("name", CONFIGS)
def test_building_on_meta_allocates_nothing(name: str) -> None:
    with torch.device("meta"):
        block = sf.build(name, 2 * WIDTH)
    assert all(tensor.is_meta for tensor in (*block.parameters(), *block.buffers()))
    out = block.eval()(torch.empty(2, 2 * WIDTH, 8, 9, device="meta"))
    assert out.is_meta and tuple(out.shape) == (2, *block.sizes[1].shape(2, {"H": 8, "W": 9})[2:])
    real = sf.build(name, 2 * WIDTH)
    assert {key: t.shape for key, t in block.state_dict().items()} == {key: t.shape for key, t in real.state_dict().items()}


def test_a_huge_block_is_refused_before_anything_is_allocated() -> None:
    with pytest.raises(sf.ConfigError, match="parameters"):
        sf.build([{"linear": {"out": 10**6}}, {"linear": {"out": 10**6}}], 4)
    with pytest.raises(sf.ConfigError, match="parameters"):
        sf.build([{"linear": {"out": 25_000}}, {"linear": {"out": 25_000}}, {"linear": {"out": 25_000}}], 4)


REFUSED = [
    ([{"linear": 0}], "out is 0"),
    ({"mlp": "C/64"}, "rounds down to 0"),
    ([{"mlp": 2}, "nothing"], "no operator or config named 'nothing'"),
    ([{"linear": 2}, {"softmax": "S"}], "over S of size 1"),
]


@pytest.mark.parametrize(("config", "message"), REFUSED)
def test_a_refusal_leaves_the_generator_and_the_defaults_alone(config: Any, message: str) -> None:
    before = torch.get_rng_state(), torch.get_default_dtype(), torch.get_default_device()
    with pytest.raises(sf.ConfigError, match=message):
        sf.build(config, 8)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (torch.get_default_dtype(), torch.get_default_device()) == before[1:]


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_block_is_built_in_the_default_dtype(dtype: torch.dtype) -> None:
    torch.set_default_dtype(dtype)
    try:
        block = sf.build("seaformer", 16)
    finally:
        torch.set_default_dtype(torch.float32)
    assert {tensor.dtype for tensor in block.parameters()} == {dtype}


def test_parts_are_the_nodes_from_the_root_down() -> None:
    parts = sf.build("senet", 32).parts
    assert [(part.path, part.operator) for part in parts] == [
        ("", "unit, multiply"),
        ("squeeze.0", "pool"),
        ("excite.0", "mlp"),
        ("gate.0", "sigmoid"),
    ]
