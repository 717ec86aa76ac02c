"""The options, the rates of the machine and the environment of a result."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from sefactory.bench import machine
from sefactory.bench.machine import MachineRates, Options
from sefactory.bench.versions import package_version


def test_rates_count_both_directions_and_both_operations(monkeypatch: pytest.MonkeyPatch) -> None:
    works: list[Callable[[], Any]] = []

    def fastest(work: Callable[[], Any], threads: int) -> float:
        works.append(work)
        return 0.5

    monkeypatch.setattr(machine, "_fastest", fastest)
    monkeypatch.setattr(machine, "COPY_BYTES", 2**20)
    rates = machine.measure_machine(Options(dtype="float64"))
    assert rates == MachineRates(bytes_per_second=2 * 2**20 / 0.5, flops_per_second=2 * 1024**3 / 0.5)
    copied, product = (work() for work in works)
    assert copied.nbytes == 2**20 and copied.dtype == torch.float64 and product.shape == (1024, 1024)


def test_measured_rates_are_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "COPY_BYTES", 2**20)
    rates = machine.measure_machine(Options())
    assert 1e7 < rates.bytes_per_second < 1e14 and 1e7 < rates.flops_per_second < 1e15


def test_environment_names_what_results_depend_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "77")
    facts = machine.environment(Options(threads=2, dtype="float64"))
    assert facts["torch"] == torch.__version__ and facts["threads"] == 2 and facts["dtype"] == "float64"
    assert facts["device"] == "cpu" and facts["cores"] >= 1 and str(facts["date"]).endswith("+00:00")  # type: ignore[operator]
    assert "MALLOC_TRIM_THRESHOLD_=77" in str(facts["allocator"]) and facts["cpu"]
    assert package_version("no-such-distribution") == "unknown"


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Options(dtype="float"), "dtype: 'float' is none of float32, float64, bfloat16, float16"),
        (lambda: Options(rounds=0), "threads=1, rounds=0, seconds=0.02 must be positive"),
        (lambda: Options(device="cuda:99"), "device: 'cuda:99' cannot be used here"),
        (lambda: Options(device="nonsense"), "device: 'nonsense' cannot be used here"),
    ],
)
def test_options_that_cannot_be(make: Callable[[], Options], message: str) -> None:
    with pytest.raises(ValueError, match="^" + message):
        make()
