"""Measures modules side by side: time, memory, and the ratio to the roofline bound.

A `Comparison` holds several `Case`s at one input shape. Its caller decides how long it runs; `rows` has the results so far.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.benchmark import Measurement, Timer, set_torch_threads

from ..errors import first_line
from ..shapes import Shape
from .attribution import node_shares, sum_by_operator
from .machine import MachineRates, Options
from .memory import peak_memory_bytes, saved_for_backward_bytes
from .results import Row, axis_sizes, format_shape
from .workload import Workload, clear_gradients, prepare_workload, random_input

Mode = Literal["forward", "training"]
MODES: tuple[Mode, Mode] = ("forward", "training")


class Step(NamedTuple):
    """One timing of a comparison: the name of the case, the mode, and the round, counted from 1."""

    case: str
    mode: Mode
    round: int


@dataclass(frozen=True)
class Case:
    """One module to measure, and what is known without running it.

    `macs` and `elementwise_ops` are the multiply-adds and the elementwise operations of one forward at the measured
    shape. `operators` maps the path of each node within the module ("" is the module) to the name of its operator. `tree` is
    what the module is built from as plain data, which tells equal modules from others, and `config` its YAML for a reader.
    """

    name: str
    module: nn.Module
    parameters: int
    macs: int
    elementwise_ops: int
    operators: Mapping[str, str]
    tree: Any = None
    config: str = ""


def roofline_bound(case: Case, x: Tensor, y: Tensor, rates: MachineRates, training: bool) -> float:
    """A lower bound in seconds for x -> y: max(memory traffic / bandwidth, operations / matrix-multiply throughput).

    A forward reads x and the parameters, writes y, and takes 2 operations for each multiply-add. Training has 2.5 times
    the traffic (it also reads the gradient and x, and writes the gradient) and 3 times the operations.
    """
    traffic = (2.5 if training else 1) * (x.nbytes + y.nbytes + case.parameters * x.element_size())
    operations = (3 if training else 1) * 2 * case.macs
    return max(traffic / rates.bytes_per_second, operations / rates.flops_per_second)


class Comparison:
    """Times several cases interleaved (A B C A B C ...), so that a machine that slows down slows all of them.

    The modules are copied: weights, statistics and modes of the originals do not change. Raises ValueError if two cases
    have the same name, or if a module lacks the path of an operator.
    """

    def __init__(
        self, cases: Sequence[Case], shape: Shape, options: Options, rates: MachineRates, baseline: str | None
    ) -> None:
        _check(cases)
        self.total = options.rounds * len(MODES) * len(cases)
        self.rounds, self._baseline = options.rounds, baseline
        x = random_input(shape, options)
        self._runs = [_CaseRun(case, x, options, rates) for case in cases]

    def run(self) -> Iterator[Step]:
        """Yields what is timed next, `total` times in all, also if the case has failed. The timing follows the yield.

        A case is prepared within its first timing of a mode: compiled, its memory measured, its calls per timing chosen.
        """
        for number in range(1, self.rounds + 1):
            for mode in MODES:
                for run in self._runs:
                    yield Step(run.case.name, mode, number)
                    run.measure(mode)

    def rows(self) -> list[Row]:
        """One row for each case, in the order given, from the timings so far."""
        rows = [run.row() for run in self._runs]
        baseline = next((row for row in rows if row.block == self._baseline), None)
        return [_with_ratios(row, baseline) for row in rows] if baseline else rows


def _with_ratios(row: Row, baseline: Row) -> Row:
    """The row with its ratios to a baseline, from the rounds that both have."""
    forward_s, forward_ratio = _compare(row.forward_rounds_s, baseline.forward_rounds_s)
    train_s, train_ratio = _compare(row.train_rounds_s, baseline.train_rounds_s)
    return replace(
        row,
        baseline=baseline.block,
        baseline_forward_s=forward_s,
        baseline_train_s=train_s,
        forward_ratio=forward_ratio,
        train_ratio=train_ratio,
    )


def _compare(rounds_s: Sequence[float], baseline_rounds_s: Sequence[float]) -> tuple[float | None, float | None]:
    """The median time of the baseline in the rounds of a row, and the median over the rounds of the ratio of the two times."""
    pairs = list(zip(rounds_s, baseline_rounds_s, strict=False))  # an interrupted round has a time of one of them only
    if not pairs:
        return None, None
    return median(reference for _, reference in pairs), median(seconds / reference for seconds, reference in pairs)


class _CaseRun:
    """The measurements of one case so far."""

    def __init__(self, case: Case, x: Tensor, options: Options, rates: MachineRates) -> None:
        self.case = case
        self._timings: dict[Mode, list[Measurement]] = {mode: [] for mode in MODES}
        self._bounds: dict[Mode, float] = {}
        self._errors: dict[Mode, str] = {}
        self._shares: dict[str, float] = {}
        self._saved_bytes: int | None = None
        self._peak_bytes: int | None = None
        self._x, self._options, self._rates = x, options, rates
        self._workload: Workload | None = None
        self._timers: dict[Mode, tuple[Timer, int]] = {}

    def measure(self, mode: Mode) -> None:
        """Takes one timing. An error of the module is recorded, and nothing more is timed in that mode.

        After an error in forward there is no training either.
        """
        if mode in self._errors or "forward" in self._errors:
            return
        try:
            with set_torch_threads(self._options.threads), torch.set_grad_enabled(mode == "training"):
                self._time_once(mode)
        except Exception as error:  # any error of the user's module: the other cases continue
            self._errors[mode] = first_line(error)
        finally:
            clear_gradients(self._workload.leaves if self._workload else [self._x])

    def row(self) -> Row:
        """The results so far, without the ratios to a baseline."""
        row = Row(
            self.case.name,
            format_shape(self._x.shape),
            *axis_sizes(self._x.shape),
            parameters=self.case.parameters,
            macs=self.case.macs,
            elements=self.case.elementwise_ops,
            saved_bytes=self._saved_bytes,
            peak_bytes=self._peak_bytes,
            error="; ".join(f"{mode}: {message}" for mode, message in self._errors.items()) or None,
        )
        return self._with_nodes(self._with_times(row))

    def _with_times(self, row: Row) -> Row:
        """The row with the times of both modes and their ratios to the roofline bound."""
        forward_s, forward_iqr_s = self._median_and_iqr("forward")
        train_s, train_iqr_s = self._median_and_iqr("training")
        forward_bound_s, train_bound_s = (self._bounds.get(mode) for mode in MODES)
        return replace(
            row,
            forward_s=forward_s,
            forward_iqr_s=forward_iqr_s,
            forward_rounds_s=[timing.median for timing in self._timings["forward"]],
            train_s=train_s,
            train_iqr_s=train_iqr_s,
            train_rounds_s=[timing.median for timing in self._timings["training"]],
            rounds=len(self._timings["forward"]),
            forward_floor_s=forward_bound_s,
            train_floor_s=train_bound_s,
            forward_over_floor=_ratio(forward_s, forward_bound_s),
            train_over_floor=_ratio(train_s, train_bound_s),
        )

    def _with_nodes(self, row: Row) -> Row:
        """The row with its forward time divided among the nodes and operators."""
        nodes = {path: share * (row.forward_s or 0.0) for path, share in self._shares.items()}
        return replace(row, nodes=nodes, split=sum_by_operator(nodes, self.case.operators))

    def _median_and_iqr(self, mode: Mode) -> tuple[float | None, float | None]:
        if not self._timings[mode]:
            return None, None
        merged = Measurement.merge(self._timings[mode])[0]
        return merged.median, merged.iqr

    def _time_once(self, mode: Mode) -> None:
        if self._workload is None:
            self._workload = prepare_workload(self.case.module, self._x, self._options)
        self._workload.module.train(mode == "training")
        if mode not in self._timers:
            self._timers[mode] = self._prepare(mode, self._workload)
        timer, calls = self._timers[mode]
        self._timings[mode].append(timer.timeit(calls))

    def _prepare(self, mode: Mode, workload: Workload) -> tuple[Timer, int]:
        """The timer of a mode and its calls per timing; also measures the memory and the shares of the nodes."""
        training = mode == "training"
        self._bounds[mode] = roofline_bound(self.case, workload.x, workload.grad_output, self._rates, training)
        step = workload.training_step if training else workload.forward
        timer = Timer("step()", globals={"step": step}, num_threads=self._options.threads)
        calls = _calls_per_timing(timer, self._options.seconds)
        if training:
            self._measure_memory(workload)
        else:
            self._shares = node_shares(workload.module, workload.x, self.case.operators)
        return timer, calls

    def _measure_memory(self, workload: Workload) -> None:
        excluded = [*workload.module.parameters(), *workload.module.buffers()]
        clear_gradients(workload.leaves)
        self._saved_bytes = saved_for_backward_bytes(workload.forward, excluded)
        # compiled code allocates without the dispatcher, which leaves only the allocator of CUDA to see it
        if workload.x.device.type == "cuda" or not self._options.compile:
            self._peak_bytes = peak_memory_bytes(workload.training_step, workload.x, [*excluded, workload.grad_output])


def _calls_per_timing(timer: Timer, seconds: float) -> int:
    """The number of calls that take about `seconds`; at least one."""
    calls = max(1, round(seconds / timer.timeit(1).median))
    # the time of a single short call is inaccurate: measure again with a tenth of the calls
    return calls if calls < 20 else max(1, round(seconds / timer.timeit(calls // 10).median))


def _check(cases: Sequence[Case]) -> None:
    names = [case.name for case in cases]
    if len(set(names)) < len(names):
        raise ValueError(f"two cases of one name: {', '.join(names)}")
    for case in cases:
        unknown = case.operators.keys() - dict(case.module.named_modules()).keys()
        if unknown:
            raise ValueError(f"{case.name} has no module at {', '.join(sorted(unknown))}")


def _ratio(seconds: float | None, reference: float | None) -> float | None:
    return seconds / reference if seconds is not None and reference else None
