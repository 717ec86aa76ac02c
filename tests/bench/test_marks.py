"""Which rows are marked, and with which words; rows of a quiet machine are not."""

import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from torch import Tensor, nn

from sefactory.bench import benchmark, case_run, machine_state, timing
from sefactory.bench.benchmark import Comparison
from sefactory.bench.machine import MachineRates, Options
from sefactory.bench.marks import find_marks, strict_faults
from sefactory.bench.results import Row, refused_row
from tests.bench.modules import RATES, SHAPE, Gate, case, measured
from tests.bench.rows import SHAPES, row

TOO_LOW = "the measured rates of the machine are too low; measure again on a quiet machine"
QUIET = replace(row("senet"), waiting=0.01, runnable=1.2, mhz_before=2000.0, mhz_after=2010.0)


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)


def marks(threads: int = 1, **changes: Any) -> list[str]:
    return find_marks(replace(QUIET, **changes), threads)


def test_a_quiet_row_has_no_marks() -> None:
    assert marks() == []
    assert marks(runnable=2.4, load_before=9.0, load_after=9.0) == []  # of what ran before: nothing waited
    assert marks(waiting=0.05, forward_interval_s=0.05 * 0.0112, train_interval_s=0.05 * 0.378) == []  # on the limits
    assert marks(threads=2, runnable=2.4) == []
    assert marks(waiting=None, runnable=None, mhz_before=None, mhz_after=None) == []
    assert marks(mhz_before=2000.0, mhz_after=2199.0) == []


@pytest.mark.parametrize(
    "changes, mark",
    [
        ({"waiting": 0.58}, "this process waited 58 % of the time: other processes ran; close other programs"),
        ({"runnable": 5.04}, "5.0 processes wanted to run on 2 cores; close other programs"),
        (
            {"waiting": None, "runnable": None, "load_before": 4.2, "load_after": 5.0},
            "a load of 4.2 on 2 cores; close other programs",
        ),
        (
            {"forward_interval_s": 0.12 * 0.0112},
            "times vary: the interval is 12 % of forward; raise rounds=",
        ),
        (
            {"train_interval_s": 0.077 * 0.378},
            "times vary: the interval is 7.7 % of training; raise rounds=",
        ),
        (
            {"forward_interval_s": 0.051 * 0.0112, "train_interval_s": 0.3 * 0.378},
            "times vary: the interval is 5.1 % of forward and 30 % of training; raise rounds=",
        ),
        ({"mhz_after": 1500.0}, "the clock rate changed from 2000 to 1500 MHz; measure again on a quiet machine"),
        (
            {"forward_over_floor": 0.26},
            f"forward is faster than its roofline bound (x0.26): {TOO_LOW}",
        ),
        (
            {"train_over_floor": 0.99},
            f"training is faster than its roofline bound (x0.99): {TOO_LOW}",
        ),
        ({"rounds": 1, "forward_interval_s": None}, "1 round is too few for an interval; use rounds=8 or more"),
        ({"rounds": 7, "forward_interval_s": None}, "7 rounds are too few for an interval; use rounds=8 or more"),
        ({"threads": 3}, "3 threads on 2 cores; set threads=2"),
    ],
)
def test_the_words_of_each_mark(changes: dict[str, Any], mark: str) -> None:
    assert marks(**changes) == [mark]


def test_a_cure_of_several_reasons_is_named_once() -> None:
    assert marks(waiting=0.58, runnable=5.04, threads=3) == [
        "3 threads on 2 cores; set threads=2",
        "this process waited 58 % of the time: other processes ran",
        "5.0 processes wanted to run on 2 cores; close other programs",
    ]


def test_a_load_that_began_or_ended_is_left_to_what_is_seen_at_once() -> None:
    unseen = {"waiting": None, "runnable": None}
    assert marks(load_before=9.0, load_after=1.0, **unseen) == marks(load_before=1.0, load_after=9.0, **unseen) == []


def test_rows_without_times_have_no_marks() -> None:
    assert find_marks(refused_row("a", SHAPES[0], "because"), 1) == []
    assert find_marks(replace(QUIET, forward_s=None, waiting=0.9), 1) == []


def test_one_core_is_one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    assert marks(runnable=2.0) == ["2.0 processes wanted to run on 1 core; close other programs"]


def test_strict_names_every_marked_row() -> None:
    rows = [replace(QUIET, marks=["one", "two"]), QUIET, replace(QUIET, block="cbam", marks=["three"])]
    assert strict_faults([QUIET, refused_row("a", SHAPES[0], "because")]) == []
    assert strict_faults(rows) == [
        ("senet 8x256x56x56", "one; two"),
        ("cbam 8x256x56x56", "three"),
    ]


@dataclass
class Machine:
    """A simulated machine: a call takes `work` seconds of its thread; `stolen` of each second goes to other programs."""

    work: float = 1e-3
    stolen: float = 0.0
    runnable: int = 1
    wall_s: float = 0.0
    ran_s: float = 0.0
    jitter: Iterator[float] | None = None

    def call(self) -> None:
        ran = self.work * (next(self.jitter) if self.jitter else 1.0)
        self.ran_s += ran
        self.wall_s += ran / (1 - self.stolen)


class Slow(nn.Module):
    """Takes the time that a simulated machine says."""

    def __init__(self, call: Callable[[], None]) -> None:
        super().__init__()
        self.call = call

    def __deepcopy__(self, memo: object) -> "Slow":
        return Slow(self.call)

    def forward(self, x: Tensor) -> Tensor:
        self.call()
        return x * 2.0


@pytest.fixture
def simulated(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A quiet machine with a load average of 0.1, on which nothing is really timed."""
    simulated = Machine()
    monkeypatch.setattr(timing, "wall_clock", lambda: simulated.wall_s)
    monkeypatch.setattr(timing, "thread_clock", lambda: simulated.ran_s)
    monkeypatch.setattr(case_run, "runnable_processes", lambda: simulated.runnable)
    monkeypatch.setattr(benchmark, "load_average", lambda: 0.1)
    monkeypatch.setattr(benchmark, "clock_mhz", lambda: None)
    return simulated


def measure(machine: Machine, rounds: int = 15) -> Row:
    (measured_row,) = measured(case("a", Slow(machine.call)), options=Options(rounds=rounds, seconds=5 * machine.work))
    assert measured_row.error is None
    return measured_row


def test_a_quiet_machine_marks_nothing(simulated: Machine) -> None:
    quiet = measure(simulated)
    assert quiet.marks == [] and quiet.waiting == pytest.approx(0.0, abs=1e-9) and quiet.runnable == 1.0
    assert quiet.forward_s == pytest.approx(1e-3) and quiet.forward_interval_s == pytest.approx(0.0, abs=1e-9)
    assert len(quiet.forward_rounds_s) == len(quiet.train_rounds_s) == 15
    assert (quiet.load_before, quiet.load_after, quiet.mhz_before) == (0.1, 0.1, None)


def test_a_machine_that_is_shared_is_noticed_although_every_round_is_alike(simulated: Machine) -> None:
    simulated.stolen = 0.6
    busy = measure(simulated)
    assert busy.forward_s == pytest.approx(2.5e-3) and busy.forward_interval_s == pytest.approx(0.0, abs=1e-9)
    assert busy.marks == ["this process waited 60 % of the time: other processes ran; close other programs"]


def test_other_programs_are_noticed_where_they_take_no_time_of_this_one(simulated: Machine) -> None:
    simulated.runnable = 5
    assert measure(simulated).marks == ["5.0 processes wanted to run on 2 cores; close other programs"]


def test_times_that_vary_are_marked(simulated: Machine) -> None:
    generator = random.Random(0)
    simulated.jitter = iter(lambda: generator.uniform(1.0, 3.0), None)
    assert any(mark.startswith("times vary: the interval is ") for mark in measure(simulated).marks)


def test_few_rounds_have_no_interval(simulated: Machine) -> None:
    row = measure(simulated, rounds=2)
    assert row.forward_interval_s is row.train_interval_s is row.forward_ratio_interval is None
    assert row.marks == ["2 rounds are too few for an interval; use rounds=8 or more"]


def test_rates_are_measured_again_where_a_row_is_below_the_bound(simulated: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    again: list[Options] = []

    def remeasure(options: Options) -> MachineRates:
        again.append(options)
        return MachineRates(bytes_per_second=fast, flops_per_second=1.0)

    monkeypatch.setattr(benchmark, "measure_machine", remeasure)
    fast = 1e12
    assert measure(simulated).marks == [] and not again  # 1e9 bytes a second are 3 us, and a call takes 1 ms
    simulated.work = 1e-6
    comparison = Comparison([case("a", Slow(simulated.call))], SHAPE, Options(rounds=15, seconds=5e-6), RATES, None)
    list(comparison.run())
    (row,) = comparison.rows()
    assert len(again) == 1 and row.marks == [] and (row.forward_over_floor or 0) > 1
    assert comparison.rates == RATES.faster(MachineRates(1e12, 1.0))  # which the results record
    fast = 1e9
    row = measure(simulated)
    assert len(again) == 2 and (row.forward_over_floor or 1) < 1 and len(row.marks) == 2
    assert row.marks[0].startswith("forward is faster than its roofline bound (x0.")


def test_the_machine_is_read_once_for_all_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    loads, rates = iter(range(100)), iter(range(1000, 1100))
    monkeypatch.setattr(benchmark, "load_average", lambda: float(next(loads)))
    monkeypatch.setattr(benchmark, "clock_mhz", lambda: float(next(rates)))
    rows = measured(case("a", Gate()), case("b", Gate()), case("c", Gate()))
    assert {(row.load_before, row.load_after, row.mhz_before, row.mhz_after) for row in rows} == {(1.0, 2.0, 1001.0, 1002.0)}


def test_the_row_of_a_real_block_is_complete() -> None:
    first, second = measured(case("a", Gate()), case("b", Gate()), options=Options(rounds=8, seconds=1e-4), baseline="a")
    assert first.forward_interval_s is not None and first.train_interval_s is not None
    assert second.forward_ratio_interval is not None and second.train_ratio_interval is not None
    assert (first.forward_ratio, first.forward_ratio_interval) == (1.0, 0.0)
    assert first.waiting is not None and 0 <= first.waiting < 1
    assert (first.runnable is None) == (machine_state.runnable_processes() is None)
