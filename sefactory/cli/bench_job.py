"""Measures the cases of one job shape by shape, and writes the results after every shape."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

from omegaconf import DictConfig
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ..bench.benchmark import Case, Comparison
from ..bench.machine import MachineRates, Options, Shape, environment, measure_machine
from ..bench.results import Row, format_shape, refused_row
from ..errors import ConfigError
from .bench_results import JobResults

OPTIONS = ("device", "dtype", "threads", "compile", "channels_last", "rounds", "seconds")
CaseBuilder = Callable[[Shape], Case]
measure_machine_once = lru_cache(maxsize=4)(measure_machine)
"""The rates of the machine, measured once for all jobs of a sweep."""


def read_options(config: DictConfig) -> Options:
    """How to measure. Raises ConfigError for a value that Options rejects."""
    try:
        return Options(**{name: config[name] for name in OPTIONS})
    except (ValueError, TypeError) as error:
        raise ConfigError([("bench", str(error))]) from None


def run_job(builders: Mapping[str, CaseBuilder], shapes: Sequence[Shape], options: Options, baseline: str | None) -> None:
    """Measures the cases at all shapes, writes and prints the results. After Ctrl-C the finished timings are written too.

    `builders` holds the function that builds each case, by name; `baseline` is the name of one of them.
    """
    rates = measure_machine_once(options)
    facts = {
        "copy_GB_per_s": round(rates.bytes_per_second / 1e9, 2),
        "matmul_GFLOP_per_s": round(rates.flops_per_second / 1e9, 1),
    }
    results = JobResults(environment(options) | facts, baseline)
    try:
        with _progress() as progress:
            for shape in shapes:
                comparison, refused = _compare(builders, shape, options, rates, baseline)
                task = progress.add_task(format_shape(shape), total=comparison.total)
                try:
                    for _ in comparison.run():
                        progress.advance(task)
                finally:
                    results.rows += [*comparison.rows(), *refused]
                results.write()
    except KeyboardInterrupt:
        results.write()
        results.print_interruption()
        raise
    results.print()


def _compare(
    builders: Mapping[str, CaseBuilder], shape: Shape, options: Options, rates: MachineRates, baseline: str | None
) -> tuple[Comparison, list[Row]]:
    """The comparison of the cases that can be built at a shape, and a row with the reason for each of the others."""
    cases, refused = [], []
    for name, build_case in builders.items():
        try:
            cases.append(build_case(shape))
        except ConfigError as error:
            refused.append(refused_row(name, shape, str(error)))
    has_baseline = any(case.name == baseline for case in cases)
    return Comparison(cases, shape, options, rates, baseline if has_baseline else None), refused


def _progress() -> Progress:
    columns = (TextColumn("{task.description:>16}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True)
