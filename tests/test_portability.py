"""The cheap form of portable.py; scripts/deployment.py runs the whole of it for the configs as shipped."""

import os
import shutil
from pathlib import Path

import portable
import pytest
from subjects import CONFIGS, SUBJECTS, operator_subject

from sefactory.axes import Named, Sizes

SEVEN = ["senet", "sknet", "cbam", "coordatt", "triplet", "danet", "seaformer"]
COMPILERS = [os.environ.get("CXX", "g++"), "clang++"]


@pytest.mark.parametrize("name", SUBJECTS)
def test_export_with_a_dynamic_grid(name: str) -> None:
    portable.exported(SUBJECTS[name])


def test_the_smallest_grid_that_is_exported() -> None:
    assert {name: least for name, make in CONFIGS.items() if (least := portable.least_grid(make())) > 1} == {
        "genet": 8,
        "genet_minus": 8,
        "genet_plus": 4,
    }
    sizes = Sizes((1, 8, Named("H"), Named("W")))
    assert portable.least_grid(operator_subject("window", sizes, {"extent": 3})) == 6


@pytest.mark.parametrize("name", SUBJECTS)
def test_compile_without_a_graph_break(name: str) -> None:
    portable.aot_eager(SUBJECTS[name])


@pytest.mark.skipif(not any(map(shutil.which, COMPILERS)), reason="inductor needs a C++ compiler, and there is none")
@pytest.mark.parametrize("name", SEVEN)
def test_compile_to_native_code(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    portable.inductor_in_training(SUBJECTS[name])


@pytest.mark.parametrize("name", SEVEN)
def test_onnxruntime_at_sizes_that_the_export_did_not_see(name: str) -> None:
    portable.in_onnxruntime(SUBJECTS[name])
