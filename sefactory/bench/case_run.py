"""The measurements of one case: its timings, its memory, and the row that they make."""

from dataclasses import replace
from statistics import median, quantiles
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.benchmark import set_torch_threads

from ..errors import first_line
from .attribution import node_shares, sum_by_operator
from .case import Case, roofline_bound
from .intervals import median_interval
from .machine import MachineRates, Options
from .machine_state import runnable_processes
from .memory import peak_memory_bytes, saved_for_backward_bytes
from .results import MODES, Mode, Row, axis_sizes, format_shape
from .timing import Timing, calls_per_timing, on_device, time_calls, waiting_share
from .workload import Workload, clear_gradients, in_new_memory, prepare_workload


class _Times(NamedTuple):
    """The times of one mode as a row has them: all in seconds, but for the ratio to the roofline bound."""

    median: float | None = None
    iqr: float | None = None
    interval: float | None = None
    rounds: tuple[float, ...] = ()
    bound: float | None = None
    bound_ratio: float | None = None


class CaseRun:
    """The measurements of one case so far.

    The module is copied: weights, statistics and mode of the original do not change.
    """

    def __init__(self, case: Case, x: Tensor, options: Options) -> None:
        self.case = case
        self._timings: dict[Mode, list[Timing]] = {mode: [] for mode in MODES}
        self._calls: dict[Mode, int] = {}
        self._errors: dict[Mode, str] = {}
        self._shares: dict[str, float] = {}
        self._runnable: list[int] = []
        self._saved_bytes: int | None = None
        self._peak_bytes: int | None = None
        self._x, self._options = x, options
        self._workload: Workload | None = None

    def measure(self, mode: Mode) -> None:
        """Takes one timing. An error of the module is recorded, and nothing more is timed in that mode.

        After an error in forward there is no training either.
        """
        if mode in self._errors or "forward" in self._errors:
            return
        try:
            with (
                on_device(self._x.device),
                set_torch_threads(self._options.threads),
                torch.set_grad_enabled(mode == "training"),
            ):
                self._time_once(mode)
        except Exception as error:  # any error of the user's module: the other cases continue
            self._errors[mode] = first_line(error)
        finally:
            clear_gradients(self._workload.leaves if self._workload else [self._x])

    def row(self, rates: MachineRates) -> Row:
        """The results so far, without the ratios to a baseline and the marks."""
        row = Row(
            self.case.name,
            format_shape(self._x.shape),
            *axis_sizes(self._x.shape),
            parameters=self.case.parameters,
            macs=self.case.macs,
            elements=self.case.elementwise_ops,
            saved_bytes=self._saved_bytes,
            peak_bytes=self._peak_bytes,
            waiting=self._waiting(),
            runnable=sum(self._runnable) / len(self._runnable) if self._runnable else None,
            error="; ".join(f"{mode}: {message}" for mode, message in self._errors.items()) or None,
        )
        return self._with_nodes(self._with_times(row, rates))

    def _with_times(self, row: Row, rates: MachineRates) -> Row:
        """The row with the times of both modes and their ratios to the roofline bound."""
        forward, train = (self._times(mode, rates) for mode in MODES)
        return replace(
            row,
            forward_s=forward.median,
            forward_iqr_s=forward.iqr,
            forward_interval_s=forward.interval,
            forward_rounds_s=list(forward.rounds),
            train_s=train.median,
            train_iqr_s=train.iqr,
            train_interval_s=train.interval,
            train_rounds_s=list(train.rounds),
            rounds=len(forward.rounds),
            forward_floor_s=forward.bound,
            train_floor_s=train.bound,
            forward_over_floor=forward.bound_ratio,
            train_over_floor=train.bound_ratio,
        )

    def _with_nodes(self, row: Row) -> Row:
        """The row with its forward time divided among the nodes and operators."""
        nodes = {path: share * (row.forward_s or 0.0) for path, share in self._shares.items()}
        return replace(row, nodes=nodes, split=sum_by_operator(nodes, self.case.operators))

    def _times(self, mode: Mode, rates: MachineRates) -> _Times:
        rounds = tuple(timing.seconds for timing in self._timings[mode])
        if not rounds or self._workload is None:
            return _Times()
        middle = median(rounds)
        bound = roofline_bound(self.case, self._workload.x, self._workload.grad_output, rates, mode == "training")
        return _Times(middle, _iqr(rounds), median_interval(rounds), rounds, bound, middle / bound if bound else None)

    def _waiting(self) -> float | None:
        """The share of the time in which the process did not run; None on accelerators, for which it waits by design."""
        timings = [timing for mode in MODES for timing in self._timings[mode]]
        return waiting_share(timings) if self._x.device.type == "cpu" else None

    def _time_once(self, mode: Mode) -> None:
        """Takes one timing with tensors in new memory, since the time depends on where they are."""
        if self._workload is None:
            self._workload = prepare_workload(self.case.module, self._x, self._options)
        self._workload = in_new_memory(self._workload)
        self._workload.module.train(mode == "training")
        if mode not in self._calls:
            self._prepare(mode, self._workload)
        step = self._workload.training_step if mode == "training" else self._workload.forward
        self._timings[mode].append(time_calls(step, self._calls[mode]))
        if (runnable := runnable_processes()) is not None:
            self._runnable.append(runnable)

    def _prepare(self, mode: Mode, workload: Workload) -> None:
        """Chooses the calls per timing; also measures the memory and the shares of the nodes."""
        if mode == "training":
            self._calls[mode] = calls_per_timing(workload.training_step, self._options.seconds)
            self._measure_memory(workload)
        else:
            self._calls[mode] = calls_per_timing(workload.forward, self._options.seconds)
            self._shares = node_shares(workload.module, workload.x, self.case.operators)

    def _measure_memory(self, workload: Workload) -> None:
        excluded = [*workload.module.parameters(), *workload.module.buffers()]
        clear_gradients(workload.leaves)
        self._saved_bytes = saved_for_backward_bytes(workload.forward, excluded)
        # compiled code allocates without the dispatcher, which leaves only the allocator of CUDA to see it
        if workload.x.device.type == "cuda" or not self._options.compile:
            self._peak_bytes = peak_memory_bytes(workload.training_step, workload.x, [*excluded, workload.grad_output])


def _iqr(values: tuple[float, ...]) -> float:
    if len(values) < 2:
        return 0.0
    quarter, _, three_quarters = quantiles(values, method="inclusive")
    return three_quarters - quarter
