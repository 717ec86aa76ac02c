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

    def fastest(work: Callable[[], Any], threads: int, seconds: float) -> float:
        works.append(work)
        return 0.5 if len(works) < 4 else 0.25

    monkeypatch.setattr(machine, "_fastest", fastest)
    monkeypatch.setattr(machine, "COPY_BYTES", 2**20)
    monkeypatch.setattr(machine, "CACHED_BYTES", (2**10,))
    rates = machine.measure_machine(Options(dtype="float64"))
    assert rates == MachineRates(2 * 2**20 / 0.5, 2 * 1024**3 / 0.5, {2**11: 2 * 2**10 / 0.25})
    product, copied, small, computed = (work() for work in works)
    assert copied.nbytes == 2**20 and copied.dtype == torch.float64 and product.shape == (1024, 1024)
    assert small.nbytes == computed.nbytes == 2**10 and small.dtype == computed.dtype == torch.float64


def test_measured_rates_are_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "COPY_BYTES", 2**20)
    monkeypatch.setattr(machine, "CACHED_BYTES", (2**12, 2**14))
    rates = machine.measure_machine(Options())
    assert set(rates.cached_bytes_per_second) == {2**13, 2**15}
    assert all(1e7 < rate < 1e15 for rate in rates.cached_bytes_per_second.values())
    assert 1e7 < rates.bytes_per_second < 1e14 and 1e7 < rates.flops_per_second < 1e15


@pytest.mark.parametrize(
    "tensors_bytes, rate",
    [
        (1, 9.0),  # smaller than all that were measured
        (100, 9.0),  # as fast as 400 bytes, although the small copy was slow
        (399, 9.0),
        (400, 9.0),
        (1599, 9.0),  # the next smaller size
        (1600, 4.0),
        (6399, 4.0),
        (6400, 3.0),  # as fast as the large copy
        (10**9, 3.0),
    ],
)
def test_small_tensors_have_the_rate_of_the_cache(tensors_bytes: int, rate: float) -> None:
    rates = MachineRates(3.0, 5.0, {100: 2.0, 400: 9.0, 1600: 4.0, 6400: 2.5})
    assert rates.bandwidth(tensors_bytes) == rate and MachineRates(3.0, 5.0).bandwidth(tensors_bytes) == 3.0


def test_the_faster_of_two_measurements() -> None:
    quiet, busy = MachineRates(3.0, 5.0, {100: 9.0, 400: 4.0}), MachineRates(2.0, 6.0, {100: 7.0, 400: 8.0})
    assert quiet.faster(busy) == busy.faster(quiet) == MachineRates(3.0, 6.0, {100: 9.0, 400: 8.0})


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
