"""Exporters and compilers at few channels; scripts/deployment.py runs the same checks for configs as shipped."""

import os
import shutil

import pytest
import torch

from sefactory.shapes import Sizes, SymbolicDim
from tests.invariants import export_checks
from tests.invariants.cases import CASES, CONFIGS, EXAMPLES, OPERATORS, operator_case
from tests.sampling import SEVEN_PAPERS, sampled

TRAINING = (True,)  # the half with a backward pass of batch statistics
COMPILERS = [os.environ.get("CXX", "g++"), "clang++"]


@pytest.mark.parametrize("name", sampled(CASES, {*SEVEN_PAPERS, *list(CASES)[::5]}))
def test_export_with_a_dynamic_grid(name: str) -> None:
    export_checks.exported(CASES[name])


def test_the_smallest_grid_that_is_exported() -> None:
    assert {name: least for name, make in CONFIGS.items() if (least := export_checks.least_grid(make())) > 1} == {
        "genet": 8,
        "genet_minus": 8,
        "genet_plus": 4,
        "scnet": 8,
    }
    sizes = Sizes((1, 8, SymbolicDim("H"), SymbolicDim("W")))
    assert export_checks.least_grid(operator_case("window", sizes, {"extent": 3})) == 6


@pytest.mark.parametrize("name", sampled(CASES, {*SEVEN_PAPERS, *list(CASES)[::9]}))
def test_compile_without_a_graph_break(name: str) -> None:
    export_checks.compiled(CASES[name], "aot_eager", (False, True) if name in CONFIGS else TRAINING)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where inductor check its code: nothing of an earlier run, and the compiled headers once for all."""
    return str(tmp_path_factory.mktemp("inductor"))


@pytest.mark.skipif(not any(map(shutil.which, COMPILERS)), reason="inductor needs a C++ compiler, and there is none")
@pytest.mark.parametrize("name", sampled(SEVEN_PAPERS, {"cbam"}))
def test_compile_to_native_code(name: str, cache: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", cache)
    export_checks.compiled(CASES[name], "inductor", TRAINING)


@pytest.mark.parametrize("name", sampled(CASES, {*SEVEN_PAPERS, *list(CASES)[::9]}))
def test_jit_trace_with_its_check(name: str) -> None:
    export_checks.jit_traced(CASES[name])


# torch cannot export adaptive pooling of a dynamic grid, and says so.
REFUSED = {name for name, (_, _, given) in zip(OPERATORS, EXAMPLES, strict=True) if given.get("mode") == "area"}


@pytest.mark.parametrize("name", sampled(CASES, {*SEVEN_PAPERS, "fcanet", "gcnet", "epsanet", *REFUSED, *list(CASES)[::9]}))
def test_onnxruntime_from_a_trace(name: str) -> None:
    if name in REFUSED:
        with pytest.raises(torch.onnx.errors.SymbolicValueError, match="adaptive_avg_pool2d, input size not accessible"):
            export_checks.traced_in_onnxruntime(CASES[name])
    else:
        export_checks.traced_in_onnxruntime(CASES[name])


@pytest.mark.parametrize("name", sampled(SEVEN_PAPERS, {"coordatt", "seaformer"}))
def test_onnxruntime_at_sizes_that_the_export_did_not_see(name: str) -> None:
    export_checks.in_onnxruntime(CASES[name])
