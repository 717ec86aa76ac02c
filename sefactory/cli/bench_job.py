"""One job of `sefactory bench`: measures its cases shape by shape, and takes what a store has already."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from omegaconf import DictConfig
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ..bench.allocator import keep_freed_memory
from ..bench.benchmark import Comparison, Step
from ..bench.case import Case
from ..bench.columns import format_quantity
from ..bench.machine import MachineRates, Options, environment, keep_rates, measure_machine_once
from ..bench.results import Environment, Results, Row, format_shape, refused_row
from ..bench.stored import measurement_key, store_results, stored_results
from ..errors import ConfigError
from ..shapes import Shape
from ..store.store import Store
from .interrupts import interrupts_deferred

OPTIONS = ("device", "dtype", "threads", "compile", "channels_last", "rounds", "seconds")
CaseBuilder = Callable[[Shape], Case]


def read_options(config: DictConfig) -> Options:
    """How to measure. Raises ConfigError for a value that Options rejects."""
    try:
        return Options(**{name: config[name] for name in OPTIONS})
    except (ValueError, TypeError) as error:
        raise ConfigError([("bench", str(error))]) from None


@dataclass(frozen=True)
class JobSpec:
    """What a job measures: the function that builds each case, by name, at each of the shapes.

    `asked` are the names of the cases that the user asked for; the others are measured for comparison. `baseline` is the name
    of the case that ratios are to.
    """

    builders: Mapping[str, CaseBuilder]
    shapes: Sequence[Shape]
    options: Options
    baseline: str | None
    asked: tuple[str, ...]


class Job:
    """Measures a JobSpec. `parts` has the results of each shape so far, also after an interruption.

    With a store, a comparison that it holds is not measured again, and each that is measured is written to it at once;
    `keys` are their digests. `faults` says why that failed. `is_fresh`: everything is measured; `is_strict`: also what was
    measured before with marks. `command` is the command line, for a reader of the results.
    """

    def __init__(self, spec: JobSpec, store: Store | None, is_fresh: bool, is_strict: bool, command: str) -> None:
        self.spec, self.store, self.is_fresh, self.is_strict, self.command = spec, store, is_fresh, is_strict, command
        self.parts: list[Results] = []
        self.refused: list[Row] = []
        self.keys: list[str] = []
        self.faults: list[tuple[str, str]] = []

    def run(self) -> None:
        """Measures at all shapes."""
        facts = environment(self.spec.options) | {"allocator": keep_freed_memory(), "command": self.command}
        for shape in self.spec.shapes:
            cases = self._build(shape)
            if not any(case.name in self.spec.asked for case in cases):
                continue
            key = measurement_key(cases, self.spec.baseline, shape, self.spec.options, facts)
            self.keys.append(key)
            if found := self._find(key):
                self.parts.append(found)
            else:
                self._measure(cases, shape, key, facts)

    def _find(self, key: str) -> Results | None:
        """The results of an earlier job, if they are good enough for this one."""
        if self.store is None or self.is_fresh:
            return None
        return stored_results(self.store, key, self.spec.options, allow_marked=not self.is_strict)

    def _build(self, shape: Shape) -> list[Case]:
        """The cases that can be built at a shape; the others become rows with the reason."""
        cases = []
        for name, build_case in self.spec.builders.items():
            try:
                cases.append(build_case(shape))
            except ConfigError as error:
                self.refused.append(refused_row(name, shape, str(error)))
        return cases

    def _measure(self, cases: Sequence[Case], shape: Shape, key: str, facts: Environment) -> None:
        """Measures the cases at a shape. After Ctrl-C the timings so far are kept, and noted as cut off."""
        options = self.spec.options
        comparison = Comparison(cases, shape, options, measure_machine_once(options), self.spec.baseline)
        started, cut = 0, f"cut off at {format_shape(shape)} after "
        try:
            for _ in _with_progress(comparison, format_shape(shape)):
                started += 1  # a step is yielded before it is timed
            cut = ""
        finally:
            cut = cut and f"{cut}{max(0, started - 1)} of {comparison.total} timings"
            configs = {case.name: case.config for case in cases if case.config}
            keep_rates(options, comparison.rates)  # for the shapes that follow
            with interrupts_deferred():
                self.parts.append(Results(comparison.rows(), {**facts, **_rounded(comparison.rates)}, configs, cut))
                self._store(key)

    def _store(self, key: str) -> None:
        try:
            if self.store:
                store_results(self.store, key, self.parts[-1])
        except OSError as error:
            self.faults.append(write_fault(error, str(self.store.folder if self.store else "")))


def _rounded(rates: MachineRates) -> Environment:
    """The rates of the machine for a reader; those of small copies by the bytes that they read and write."""
    cached = (f"{format_quantity(size, 'B')}: {rate / 1e9:.3g}" for size, rate in rates.cached_bytes_per_second.items())
    return {
        "copy_GB_per_s": round(rates.bytes_per_second / 1e9, 2),
        "cached_copy_GB_per_s": ", ".join(cached),
        "matmul_GFLOP_per_s": round(rates.flops_per_second / 1e9, 1),
    }


def _with_progress(comparison: Comparison, shape: str) -> Iterator[Step]:
    """The steps of a comparison, each before it is timed, with a progress bar on a terminal that names it."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(shape, total=comparison.total)
        for done, step in enumerate(comparison.run()):
            text = f"{shape}  {step.case}  {step.mode}, round {step.round} of {comparison.rounds}"
            progress.update(task, completed=done, description=text)
            yield step


def write_fault(error: OSError, folder: str) -> tuple[str, str]:
    """The fault for results that cannot be written."""
    return folder, f"cannot be written: {error.strerror or error}; what was measured is in the table"
