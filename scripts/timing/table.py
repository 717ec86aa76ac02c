"""A table in Markdown, and what stands in its cells."""

from collections.abc import Iterable
from statistics import geometric_mean

from .results import Row

NONE = "-"


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """A table in Markdown, the first column to the left, and an empty line."""
    head, rows = list(head), list(rows)
    if not rows:
        return []
    rule = f"| --- |{' ---: |' * (len(head) - 1)}"
    return [f"| {' | '.join(head)} |", rule, *(f"| {' | '.join(cells)} |" for cells in rows), ""]


def ratio(value: float | None) -> str:
    return NONE if value is None else f"{value:.2f}"


def mean(values: Iterable[float | None]) -> float | None:
    """The geometric mean of those that are there."""
    known = [value for value in values if value]
    return geometric_mean(known) if known else None


def ms(row: Row, column: str) -> str:
    """Median and interquartile range."""
    if column not in row.times:
        return NONE
    time = row.times[column]
    return f"{1e3 * time.median:.3g} ({1e3 * time.iqr:.2g})"


def shape(row: Row) -> str:
    return "x".join(map(str, row.shape))
