"""What the ratios of a table are to: one baseline for all rows, or one for each job of a sweep."""

from collections.abc import Sequence
from typing import NamedTuple

from ..columns import format_quantity
from ..results import Row


class Baseline(NamedTuple):
    """The time of a baseline in one mode."""

    block: str
    mode: str
    seconds: float


def baselines_of(rows: Sequence[Row]) -> list[Baseline]:
    """The baselines of these rows, each once."""
    found = [
        Baseline(row.baseline, mode, seconds)
        for row in rows
        if row.baseline is not None
        for mode, seconds in (("forward", row.baseline_forward_s), ("training", row.baseline_train_s))
        if seconds is not None
    ]
    return list(dict.fromkeys(found))


def baseline_sentence(baselines: Sequence[Baseline]) -> str:
    """What the ratios of a table are to; "" if it has none."""
    if not baselines:
        return ""
    names = ", ".join(dict.fromkeys(baseline.block for baseline in baselines))
    if _differ(baselines):
        return f"Baseline: {names}, timed again in every job. Below each ratio is the time of the baseline in the same rounds."
    times = " and ".join(f"{format_quantity(baseline.seconds, 's')} {baseline.mode}" for baseline in baselines)
    return f"Baseline: {names}, {times} in the same rounds."


def baseline_note(block: str, seconds: float, baselines: Sequence[Baseline]) -> str:
    """The baseline of one ratio, "of 2.66 ms", with its name where there are several; "" if all rows have the same."""
    if not _differ(baselines):
        return ""
    has_several_names = len({baseline.block for baseline in baselines}) > 1
    return f"of {block}, {format_quantity(seconds, 's')}" if has_several_names else f"of {format_quantity(seconds, 's')}"


def _differ(baselines: Sequence[Baseline]) -> bool:
    return len({baseline.mode for baseline in baselines}) < len(baselines)
