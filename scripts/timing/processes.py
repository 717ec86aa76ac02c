"""The same rows from several processes, because the memory addresses of feature maps differ from process to process.

Two modules that make the same torch calls can differ by a factor of 1.3 in one process of six, and by less than 1 % in the
others. The cause is that one module's outputs alternate between four addresses and the other's have one. More rounds in the
same process do not show this.
"""

import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TypeVar

from .clock import Time
from .results import Results, Row

Arguments = TypeVar("Arguments")
Value = TypeVar("Value")


def run_processes(count: int, measure: Callable[[Arguments, Path], object], arguments: Arguments) -> Iterator[Results]:
    """Runs `measure(arguments, path)` in new processes, one after the other, and yields the results at each path.

    Raises SystemExit after the results of a process that fails.
    """
    spawn = multiprocessing.get_context("spawn")  # a fork would have the memory of this process
    with TemporaryDirectory() as folder:
        for n in range(count):
            path = Path(folder) / f"{n}.json"
            process = spawn.Process(target=measure, args=(arguments, path))
            process.start()
            try:
                process.join()
            finally:
                yield Results(path)
            if process.exitcode:
                raise SystemExit(f"process {n + 1} of {count} ended with exit code {process.exitcode}; its rows are kept")


def merge_rows(rows: Sequence[Row]) -> Row:
    """One row from the same row of several processes: the medians of times, ranges and ratios, and the sum of rounds."""
    return replace(
        rows[0],
        times={name: _median_time(times) for name, times in _by_name([row.times for row in rows]).items()},
        ratios={name: median(ratios) for name, ratios in _by_name([row.ratios for row in rows]).items()},
        failed={column: why for row in rows for column, why in row.failed.items()},
        rounds=sum(row.rounds for row in rows),
        processes=sum(row.processes for row in rows),
    )


def _by_name(mappings: Sequence[Mapping[str, Value]]) -> dict[str, list[Value]]:
    names = dict.fromkeys(name for mapping in mappings for name in mapping)
    return {name: [mapping[name] for mapping in mappings if name in mapping] for name in names}


def _median_time(times: Sequence[Time]) -> Time:
    return Time(median(time.median for time in times), median(time.iqr for time in times))
