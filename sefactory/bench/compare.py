"""Compares two results: the times of the rows that both have, the ratios, and what the data can tell.

The interval of a ratio B / A has the relative half width sqrt(a^2 + b^2), where a and b are the relative half widths of the
intervals of the two times. The comparison is deterministic.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from ..errors import join_words
from .results import Mode, Results, Row

Verdict = Literal["faster", "slower", "no difference shown", "no interval"]
FIELDS: Mapping[Mode, str] = {"forward": "forward", "training": "train"}
"""How the fields of a row begin, by mode."""
COSTS = ("parameters", "macs")
"""Fields that are equal for equal blocks."""


@dataclass(frozen=True)
class PairedTime:
    """A time in A and in B. `verdict` is about B: whether 1 is outside of the interval of the ratio B / A.

    The intervals are half widths, None for too few rounds.
    """

    block: str
    shape: str
    mode: Mode
    a_s: float
    a_interval_s: float | None
    b_s: float
    b_interval_s: float | None
    ratio: float
    ratio_interval: float | None
    verdict: Verdict
    a_marks: list[str]
    b_marks: list[str]


def paired_times(a: Results, b: Results) -> list[PairedTime]:
    """The times that both have, in the order of A, forward before training."""
    return [
        _pair(row_a, row_b, mode)
        for row_a, row_b in _common_rows(a, b)
        for mode in FIELDS
        if _seconds(row_a, mode) and _seconds(row_b, mode)
    ]


def environment_differences(a: Results, b: Results) -> dict[str, tuple[str, str]]:
    """The entries of the environments that differ, as text; "" for one that is missing."""
    keys = dict.fromkeys((*a.environment, *b.environment))
    texts = {key: (str(a.environment.get(key, "")), str(b.environment.get(key, ""))) for key in keys}
    return {key: pair for key, pair in texts.items() if pair[0] != pair[1]}


def remarks(a: Results, b: Results) -> Iterator[str]:
    """Yields what the times do not show: interruptions, blocks that are not the same, and rows of A or of B alone."""
    for side, results in (("A", a), ("B", b)):
        if results.interrupted:
            yield f"{side} was interrupted: {results.interrupted}"
    yield from dict.fromkeys(_changed_blocks(a, b))
    yield from _rows_of_one_side("A", a, b)
    yield from _rows_of_one_side("B", b, a)
    for row_a, row_b in _common_rows(a, b):
        yield from _missing_times(row_a, row_b)


def _missing_times(row_a: Row, row_b: Row) -> Iterator[str]:
    modes: dict[str, list[str]] = {}
    for mode in FIELDS:
        sides = [side for side, row in (("A", row_a), ("B", row_b)) if not _seconds(row, mode)]
        if sides:
            modes.setdefault(" and ".join(sides), []).append(mode)
    reasons = "; ".join(dict.fromkeys(row.problem for row in (row_a, row_b) if row.problem))
    for sides_text, missing in modes.items():
        yield f"no {' and '.join(missing)} time in {sides_text}: {_name(row_a)}{f': {reasons}' if reasons else ''}"


def _rows_of_one_side(side: str, results: Results, other: Results) -> Iterator[str]:
    names = [_name(row) for key, row in _rows_by_key(results).items() if key not in _rows_by_key(other)]
    if names:
        yield f"only in {side}: {join_words(names)}"


def _name(row: Row) -> str:
    return f"{row.block} {row.shape}"


def _changed_blocks(a: Results, b: Results) -> Iterator[str]:
    """Yields which blocks of one name are not the same: by their costs, or by their configs."""
    for row_a, row_b in _common_rows(a, b):
        name = row_a.block
        costs = [(cost, getattr(row_a, cost), getattr(row_b, cost)) for cost in COSTS]
        changed = [
            f"{of_a:,} {cost} in A, {of_b:,} in B" for cost, of_a, of_b in costs if None not in (of_a, of_b) and of_a != of_b
        ]
        if changed:
            yield f"{name} is another block in B: {'; '.join(changed)} at {row_a.shape}"
        elif name in a.configs and name in b.configs and a.configs[name] != b.configs[name]:
            yield f"{name} has another config in B"


def _rows_by_key(results: Results) -> dict[tuple[str, str], Row]:
    return {(row.block, row.shape): row for row in results.rows}


def _common_rows(a: Results, b: Results) -> Iterator[tuple[Row, Row]]:
    others = _rows_by_key(b)
    for row in a.rows:
        if other := others.get((row.block, row.shape)):
            yield row, other


def _seconds(row: Row, mode: Mode) -> float | None:
    seconds: float | None = getattr(row, f"{FIELDS[mode]}_s")
    return seconds


def _pair(row_a: Row, row_b: Row, mode: Mode) -> PairedTime:
    """The times of a row in A and in B, with their ratio."""
    (a_s, a_interval_s), (b_s, b_interval_s) = (
        (getattr(row, f"{FIELDS[mode]}_s"), getattr(row, f"{FIELDS[mode]}_interval_s")) for row in (row_a, row_b)
    )
    ratio, interval = b_s / a_s, None
    if a_interval_s is not None and b_interval_s is not None:
        interval = ratio * math.hypot(a_interval_s / a_s, b_interval_s / b_s)
    sides = (a_s, a_interval_s, b_s, b_interval_s)
    verdict = _verdict(ratio, interval)
    return PairedTime(row_a.block, row_a.shape, mode, *sides, ratio, interval, verdict, list(row_a.marks), list(row_b.marks))


def _verdict(ratio: float, interval: float | None) -> Verdict:
    if interval is None:
        return "no interval"
    if abs(ratio - 1) <= interval:
        return "no difference shown"
    return "faster" if ratio < 1 else "slower"
