"""Measures the cases of one job shape by shape, writes the results after every shape, and prints them."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ..bench.benchmark import Case, Comparison
from ..bench.machine import Options, environment, measure_machine
from ..bench.report import write_report
from ..bench.results import Results, Row, format_shape, read_results, refused_row, write_results
from ..bench.table import print_table
from ..errors import ConfigError
from ..shapes import Shape
from .arguments import is_sweep

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


class Job:
    """Measures cases and writes their rows to Hydra's output folder. A job of a sweep adds them to those of the sweep too.

    `builders` holds the function that builds each case, by name; `baseline` is the name of one of them.
    """

    def __init__(self, builders: Mapping[str, CaseBuilder], options: Options, baseline: str | None) -> None:
        self.builders, self.options, self.baseline = builders, options, baseline
        self.rates = measure_machine_once(options)
        self.environment = environment(options) | {
            "copy_GB_per_s": round(self.rates.bytes_per_second / 1e9, 2),
            "matmul_GFLOP_per_s": round(self.rates.flops_per_second / 1e9, 1),
        }
        self.rows: list[Row] = []
        self.folder, self.sweep_folder = Path(HydraConfig.get().runtime.output_dir), Path(HydraConfig.get().sweep.dir)
        has_earlier = is_sweep() and HydraConfig.get().job.num and _has_results(self.sweep_folder)
        self.earlier_rows = read_results(self.sweep_folder).rows if has_earlier else []

    def run(self, shapes: Sequence[Shape]) -> None:
        """Measures at all shapes, writes after each and prints at the end. After Ctrl-C the finished timings are written."""
        columns = (TextColumn("{task.description:>16}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        try:
            with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
                for shape in shapes:
                    comparison, refused = self.compare(shape)
                    task = progress.add_task(format_shape(shape), total=comparison.total)
                    try:
                        for done, _ in enumerate(comparison.run()):
                            progress.update(task, completed=done)
                    finally:
                        self.rows += [*comparison.rows(), *refused]
                    self.write()
        except KeyboardInterrupt:
            self.write()
            _print_line(f"interrupted; the finished measurements are in {self.folder}")
            raise
        self.print()

    def compare(self, shape: Shape) -> tuple[Comparison, list[Row]]:
        """The comparison of the cases that can be built at a shape, and a row with the reason for each of the others."""
        cases, refused = [], []
        for name, build_case in self.builders.items():
            try:
                cases.append(build_case(shape))
            except ConfigError as error:
                refused.append(refused_row(name, shape, str(error)))
        return Comparison(cases, shape, self.options, self.rates, self.baseline), refused

    def write(self) -> None:
        """Writes all files of a single job, or the data of this job and all files of the sweep so far."""
        if not is_sweep():
            write_report(Results(self.rows, self.environment), self.folder)
            return
        write_results(Results(self.rows, self.environment), self.folder)
        measured = {(row.block, row.shape) for row in self.earlier_rows}
        added = [row for row in self.rows if row.block != self.baseline or (row.block, row.shape) not in measured]
        write_report(Results([*self.earlier_rows, *added], self.environment), self.sweep_folder)

    def print(self) -> None:
        """Prints the table of a single job, or one line for each row of a job of a sweep."""
        if not is_sweep():
            _print_results(self.rows, self.folder)
            return
        for row in self.rows:
            if row.block != self.baseline:
                _print_line(_summarize_row(row))


def print_sweep(folder: Path) -> None:
    """Prints the combined table of a sweep, if a job has written any results."""
    if _has_results(folder):
        _print_results(read_results(folder).rows, folder)


def _has_results(folder: Path) -> bool:
    return (folder / "results.json").is_file()


def _print_results(rows: Sequence[Row], folder: Path) -> None:
    print_table(rows, Console())
    _print_line(f"\nresults.json, results.csv and report.html are in {folder}")


def _print_line(text: str) -> None:
    Console().print(text, highlight=False, soft_wrap=True, markup=False)


def _summarize_row(row: Row) -> str:
    if reason := row.problem:
        return f"{row.block}  {row.shape}  {reason}"
    ratio = "" if row.forward_ratio is None else f"  x{row.forward_ratio:.2f} of the baseline"
    return f"{row.block}  {row.shape}  {(row.forward_s or 0) * 1e6:,.0f} us{ratio}"
