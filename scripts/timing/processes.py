"""The same rows from several processes: which memory the maps of a block lie in is drawn once for each of them.

One block's results take turns at four addresses and the other's have one, and with the same two calls of torch it takes 1.3
times as long: 0.75 in one process of six, 0.99 to 1.01 in the others. No number of rounds shows that.
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

Told = TypeVar("Told")


def several(count: int, measure: Callable[[Told, Path], object], told: Told) -> Iterator[Results]:
    """What each of some new processes has stored by `measure(told, path)`, also one that broke off; then SystemExit."""
    spawn = multiprocessing.get_context("spawn")  # a fork has the memory of this process
    with TemporaryDirectory() as folder:
        for n in range(count):
            path = Path(folder) / f"{n}.json"
            process = spawn.Process(target=measure, args=(told, path))
            process.start()
            try:
                process.join()
            finally:
                yield Results(path)
            if process.exitcode:
                raise SystemExit(f"process {n + 1} of {count} ended with exit code {process.exitcode}; its rows are kept")


def joined(rows: Sequence[Row]) -> Row:
    """One row of the same by several processes: of times, their spreads and ratios the medians, of rounds all."""
    return replace(
        rows[0],
        times={name: _time(found) for name, found in _by_name([row.times for row in rows]).items()},
        ratios={name: median(found) for name, found in _by_name([row.ratios for row in rows]).items()},
        failed={column: why for row in rows for column, why in row.failed.items()},
        rounds=sum(row.rounds for row in rows),
        processes=sum(row.processes for row in rows),
    )


Found = TypeVar("Found")


def _by_name(all_of_them: Sequence[Mapping[str, Found]]) -> dict[str, list[Found]]:
    names = dict.fromkeys(name for found in all_of_them for name in found)
    return {name: [found[name] for found in all_of_them if name in found] for name in names}


def _time(found: Sequence[Time]) -> Time:
    return Time(median(time.median for time in found), median(time.iqr for time in found))
