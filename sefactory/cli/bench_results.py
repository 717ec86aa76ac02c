"""Writes and prints the results of a job, and the combined results of a sweep."""

from collections.abc import Sequence
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from rich.console import Console

from ..bench.report import write_report
from ..bench.results import Environment, Row, read_results, write_results
from ..bench.table import print_table
from .arguments import is_sweep


class JobResults:
    """The rows of a job, written to Hydra's output folder. A job of a sweep also adds them to the results of the sweep."""

    def __init__(self, environment: Environment, baseline: str | None) -> None:
        self.environment, self.baseline = environment, baseline
        self.rows: list[Row] = []
        self.folder, self.sweep_folder = Path(HydraConfig.get().runtime.output_dir), Path(HydraConfig.get().sweep.dir)
        has_earlier = is_sweep() and HydraConfig.get().job.num and _has_results(self.sweep_folder)
        self.earlier_rows = read_results(self.sweep_folder)[0] if has_earlier else []

    def write(self) -> None:
        """Writes all files of a single job, or the data of this job and all files of the sweep so far."""
        if not is_sweep():
            write_report(self.rows, self.environment, self.folder)
            return
        write_results(self.rows, self.environment, self.folder)
        measured = {(row.block, row.shape) for row in self.earlier_rows}
        added = [row for row in self.rows if row.block != self.baseline or (row.block, row.shape) not in measured]
        write_report([*self.earlier_rows, *added], self.environment, self.sweep_folder)

    def print(self) -> None:
        """Prints the table of a single job, or one line for each row of a job of a sweep."""
        if not is_sweep():
            _print_table(self.rows, self.folder)
            return
        for row in self.rows:
            if row.block != self.baseline:
                _print_line(_summarize_row(row))

    def print_interruption(self) -> None:
        """Prints where the results of an interrupted job are."""
        _print_line(f"interrupted; the finished measurements are in {self.folder}")


def print_sweep(folder: Path) -> None:
    """Prints the combined table of a sweep, if a job has written any results."""
    if _has_results(folder):
        _print_table(read_results(folder)[0], folder)


def _has_results(folder: Path) -> bool:
    return (folder / "results.json").is_file()


def _print_table(rows: Sequence[Row], folder: Path) -> None:
    print_table(rows, Console())
    _print_line(f"\nresults.json, results.csv and report.html are in {folder}")


def _print_line(text: str) -> None:
    Console().print(text, highlight=False, soft_wrap=True, markup=False)


def _summarize_row(row: Row) -> str:
    if reason := row.problem:
        return f"{row.block}  {row.shape}  {reason}"
    ratio = "" if row.forward_ratio is None else f"  x{row.forward_ratio:.2f} of the baseline"
    return f"{row.block}  {row.shape}  {(row.forward_s or 0) * 1e6:,.0f} us{ratio}"
