"""The text of table cells."""

from collections.abc import Iterable, Sequence
from statistics import geometric_mean

from .results import Row

EMPTY = "-"


def format_ratio(value: float | None) -> str:
    """Two decimals; "-" for None."""
    return EMPTY if value is None else f"{value:.2f}"


def mean_ratio(values: Iterable[float | None]) -> float | None:
    """The geometric mean of the values that are known; None without any."""
    known = [value for value in values if value]
    return geometric_mean(known) if known else None


def format_ms(row: Row, column: str) -> str:
    """Median and interquartile range in ms, e.g. "2.77 (0.39)"."""
    if column not in row.times:
        return EMPTY
    time = row.times[column]
    return f"{1e3 * time.median:.3g} ({1e3 * time.iqr:.2g})"


def format_shape(shape: Sequence[int]) -> str:
    """An input shape, e.g. "8x128x56x56"."""
    return "x".join(map(str, shape))
