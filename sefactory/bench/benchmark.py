"""Measures modules side by side: time, memory, and the ratio to the roofline bound.

A `Comparison` holds several `Case`s at one input shape. Its caller decides how long it runs; `rows` has the results so far.
`rates` are those of its roofline bounds: faster ones than the given, if they were measured again.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from random import Random
from statistics import median
from typing import NamedTuple

from ..shapes import Shape
from .case import Case
from .case_run import CaseRun
from .intervals import median_interval
from .machine import MachineRates, Options, measure_machine
from .machine_state import clock_mhz, load_average
from .marks import find_marks
from .results import MODES, Mode, Row
from .workload import random_input


class Step(NamedTuple):
    """One timing of a comparison: the name of the case, the mode, and the round, counted from 1."""

    case: str
    mode: Mode
    round: int


class Comparison:
    """Times several cases in turn, in rounds (A B C, C A B, ...), so that a machine that slows down slows all of them.

    The modules are copied: weights, statistics and modes of the originals do not change. Raises ValueError if two cases
    have the same name, or if a module lacks the path of an operator.
    """

    def __init__(
        self, cases: Sequence[Case], shape: Shape, options: Options, rates: MachineRates, baseline: str | None
    ) -> None:
        _check(cases)
        self.total = options.rounds * len(MODES) * len(cases)
        self.rounds, self._baseline = options.rounds, baseline
        self.rates, self._options = rates, options
        x = random_input(shape, options)
        self._runs = [CaseRun(case, x, options) for case in cases]
        self._load_before, self._mhz_before = load_average(), clock_mhz()  # set again when the run begins

    def run(self) -> Iterator[Step]:
        """Yields what is timed next, `total` times in all, also if the case has failed. The timing follows the yield.

        A case is prepared within its first timing of a mode: compiled, its memory measured, its calls per timing chosen.
        """
        self._load_before, self._mhz_before = load_average(), clock_mhz()
        for number in range(1, self.rounds + 1):
            for mode, run in self._order(number):
                yield Step(run.case.name, mode, number)
                run.measure(mode)
        if any(_is_below_bound(run.row(self.rates)) for run in self._runs):  # other programs slowed the first measurement
            self.rates = self.rates.faster(measure_machine(self._options))

    def _order(self, number: int) -> list[tuple[Mode, CaseRun]]:
        """The timings of a round: the first in the order given, the others shuffled.

        What ran before changes the time of a block, by what it leaves in the caches and in memory. In a fixed order the same
        block would always gain or lose by it.
        """
        timings = [(mode, run) for mode in MODES for run in self._runs]
        return timings if number == 1 else Random(f"{self._options.seed} {number}").sample(timings, len(timings))

    def rows(self) -> list[Row]:
        """One row for each case, in the order given, from the timings so far."""
        load, mhz = load_average(), clock_mhz()
        rows = [self._with_machine_state(run.row(self.rates), load, mhz) for run in self._runs]
        baseline = next((row for row in rows if row.block == self._baseline), None)
        return [_with_ratios(row, baseline) for row in rows] if baseline else rows

    def _with_machine_state(self, row: Row, load: float | None, mhz: float | None) -> Row:
        """The row with the load and the clock rate before the run and now, and with its marks."""
        row = replace(row, load_before=self._load_before, load_after=load, mhz_before=self._mhz_before, mhz_after=mhz)
        return replace(row, marks=find_marks(row, self._options.threads))


def _is_below_bound(row: Row) -> bool:
    return any(ratio is not None and ratio < 1 for ratio in (row.forward_over_floor, row.train_over_floor))


class _Ratio(NamedTuple):
    """The median time of the baseline in the rounds of a row, the median ratio to it, and half its interval."""

    baseline_s: float | None = None
    median: float | None = None
    interval: float | None = None


def _with_ratios(row: Row, baseline: Row) -> Row:
    """The row with its ratios to a baseline, from the rounds that both have."""
    forward = _compare(row.forward_rounds_s, baseline.forward_rounds_s)
    train = _compare(row.train_rounds_s, baseline.train_rounds_s)
    return replace(
        row,
        baseline=baseline.block,
        baseline_forward_s=forward.baseline_s,
        baseline_train_s=train.baseline_s,
        forward_ratio=forward.median,
        forward_ratio_interval=forward.interval,
        train_ratio=train.median,
        train_ratio_interval=train.interval,
    )


def _compare(rounds_s: Sequence[float], baseline_rounds_s: Sequence[float]) -> _Ratio:
    """The ratios to the baseline, each of the two times of one round."""
    pairs = list(zip(rounds_s, baseline_rounds_s, strict=False))  # an interrupted round has a time of one of them only
    if not pairs:
        return _Ratio()
    ratios = [seconds / reference for seconds, reference in pairs]
    return _Ratio(median(reference for _, reference in pairs), median(ratios), median_interval(ratios))


def _check(cases: Sequence[Case]) -> None:
    names = [case.name for case in cases]
    if len(set(names)) < len(names):
        raise ValueError(f"two cases of one name: {', '.join(names)}")
    for case in cases:
        unknown = case.operators.keys() - dict(case.module.named_modules()).keys()
        if unknown:
            raise ValueError(f"{case.name} has no module at {', '.join(sorted(unknown))}")
