"""Decides which rows of a benchmark cannot be trusted, and says why."""

import os
from collections.abc import Iterator, Sequence

from .intervals import fewest_values
from .results import Row

MAX_INTERVAL = 0.05  # of the time
MAX_WAITING = 0.05  # of the time of the timings
MAX_CLOCK_CHANGE = 0.1
SPARE_PROCESSES = 0.5  # runnable beside one a core: the services of a quiet system
CLOSE, AGAIN = "close other programs", "measure again on a quiet machine"
Fault = tuple[str, str]
"""A reason not to trust a time, and its cure."""


def find_marks(row: Row, threads: int) -> list[str]:
    """Why the times of a row cannot be trusted, each reason with its figure; empty if nothing was noticed.

    A cure stands after the last reason that it is for. A row without times has no marks. `threads` is the number of threads
    that the row was measured with.
    """
    if row.forward_s is None:
        return []
    bounds = (("forward", row.forward_over_floor), ("training", row.train_over_floor))
    faster = [
        (f"{mode} is faster than its roofline bound (x{ratio:.2f}): the measured rates of the machine are too low", AGAIN)
        for mode, ratio in bounds
        if ratio is not None and ratio < 1
    ]
    faults = [*_few_rounds(row), *_disturbances(row, threads), *_variation(row), *faster]
    last = {cure: i for i, (_, cure) in enumerate(faults)}
    return [f"{reason}; {cure}" if last[cure] == i else reason for i, (reason, cure) in enumerate(faults)]


def _variation(row: Row) -> Iterator[Fault]:
    """The modes whose interval is too wide."""
    modes = (("forward", row.forward_s, row.forward_interval_s), ("training", row.train_s, row.train_interval_s))
    shares = {mode: interval_s / seconds for mode, seconds, interval_s in modes if seconds and interval_s is not None}
    wide = [f"{_percent(share)} of {mode}" for mode, share in shares.items() if share > MAX_INTERVAL]
    if wide:
        yield f"times vary: the interval is {' and '.join(wide)}", "raise rounds="


def _few_rounds(row: Row) -> Iterator[Fault]:
    if row.forward_interval_s is None:
        count = "1 round is" if row.rounds == 1 else f"{row.rounds} rounds are"
        yield f"{count} too few for an interval", f"use rounds={fewest_values()} or more"


def _disturbances(row: Row, threads: int) -> Iterator[Fault]:
    """What else the machine did: other processes, a load that its cores cannot hold, a change of the clock rate."""
    cores = os.cpu_count() or 1
    if threads > cores:
        yield f"{threads} threads on {_count(cores)}", f"set threads={cores}"
    if row.waiting is not None and row.waiting > MAX_WAITING:
        yield f"this process waited {_percent(row.waiting)} of the time: other processes ran", CLOSE
    if row.runnable is not None and row.runnable > max(cores, threads) + SPARE_PROCESSES:
        yield f"{row.runnable:.1f} processes wanted to run on {_count(cores)}", CLOSE
    if row.runnable is None and row.waiting is None and (load := _steady_load(row)) > cores + SPARE_PROCESSES:
        yield f"a load of {load:.1f} on {_count(cores)}", CLOSE
    if row.mhz_before and row.mhz_after and abs(row.mhz_after / row.mhz_before - 1) > MAX_CLOCK_CHANGE:
        yield f"the clock rate changed from {row.mhz_before:.0f} to {row.mhz_after:.0f} MHz", AGAIN


def _steady_load(row: Row) -> float:
    """The load that lasted: it rises and falls slowly, so that one of the two values is often of what ran earlier."""
    return min(row.load_before or 0.0, row.load_after or 0.0)


def strict_faults(rows: Sequence[Row]) -> list[tuple[str, str]]:
    """The faults for `strict=true`: the block and shape of each marked row, with its marks."""
    return [(f"{row.block} {row.shape}", "; ".join(row.marks)) for row in rows if row.marks]


def _percent(share: float) -> str:
    return f"{100 * share:.{1 if share < 0.1 else 0}f} %"


def _count(cores: int) -> str:
    return "1 core" if cores == 1 else f"{cores} cores"
