"""Measures the cases of one job shape by shape, and writes the results after every shape."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

from omegaconf import DictConfig
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ..bench.benchmark import Case, Comparison
from ..bench.machine import MachineRates, Options, Shape, environment, measure_machine
from ..bench.results import Row, refused_row
from ..errors import ConfigError
from .bench_results import ResultWriter

OPTIONS = ("device", "dtype", "threads", "compile", "channels_last", "rounds", "seconds")


def read_options(config: DictConfig) -> Options:
    """How to measure. Raises ConfigError for a value that Options rejects."""
    try:
        return Options(**{name: config[name] for name in OPTIONS})
    except (ValueError, TypeError) as error:
        raise ConfigError([("bench", str(error))]) from None


class BenchJob:
    """One job: the function that builds each case by its name, the input shapes, and the name of the baseline."""

    def __init__(
        self, builders: Mapping[str, Callable[[Shape], Case]], shapes: Sequence[Shape], options: Options, baseline: str | None
    ) -> None:
        self.builders, self.shapes, self.options, self.baseline = builders, shapes, options, baseline
        self.rows: list[Row] = []

    def run(self) -> None:
        """Measures all shapes, writes and prints the results. After Ctrl-C the finished timings are written too."""
        machine = _measure_machine(self.options)
        rates = {
            "copy_GB_per_s": round(machine.bytes_per_second / 1e9, 2),
            "matmul_GFLOP_per_s": round(machine.flops_per_second / 1e9, 1),
        }
        writer = ResultWriter(environment(self.options) | rates, self.baseline)
        try:
            with _progress() as progress:
                for shape in self.shapes:
                    self._measure(shape, machine, progress)
                    writer.write(self.rows)
        except KeyboardInterrupt:
            writer.write(self.rows)
            writer.print_interruption()
            raise
        writer.print(self.rows)

    def _measure(self, shape: Shape, machine: MachineRates, progress: Progress) -> None:
        """Adds the rows of one shape, also if it is interrupted."""
        cases, refused = [], []
        for name, build_case in self.builders.items():
            try:
                cases.append(build_case(shape))
            except ConfigError as error:
                refused.append(refused_row(name, shape, str(error)))
        baseline = self.baseline if any(case.name == self.baseline for case in cases) else None
        comparison = Comparison(cases, shape, self.options, machine, baseline)
        task = progress.add_task("x".join(map(str, shape)), total=comparison.total)
        try:
            for _ in comparison.run():
                progress.advance(task)
        finally:
            self.rows += [*comparison.rows(), *refused]


@lru_cache(maxsize=4)
def _measure_machine(options: Options) -> MachineRates:
    """The rates of the machine, measured once for all jobs of a sweep."""
    return measure_machine(options)


def _progress() -> Progress:
    columns = (TextColumn("{task.description:>16}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True)
