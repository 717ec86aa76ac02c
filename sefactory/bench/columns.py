"""The columns of a benchmark's table, on the terminal and in report.html, and their numbers as text."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .results import Row

PREFIXES = (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3), ("", 1.0), ("m", 1e-3), ("µ", 1e-6))
TIMES = ("forward_s", "train_s")
BASELINE_TIMES = {"forward_ratio": "baseline_forward_s", "train_ratio": "baseline_train_s"}
"""The field with the time of the baseline, by that of the ratio."""


@dataclass(frozen=True)
class Column:
    """One column: `heading` on the terminal, `title` in report.html, `text` of a row ("" for what was not measured).

    `key` is the field of the row that the column shows. A narrow terminal drops columns in the order of `drop_order`;
    columns without one always stay.
    """

    heading: str
    title: str
    key: str
    text: Callable[[Row], str]
    drop_order: int | None = None


def format_quantity(value: float | None, unit: str = "") -> str:
    """Three significant figures and a decimal prefix; integers below a million without a unit are written in full; "" for None.

    >>> format_quantity(8464), format_quantity(1_234_000), format_quantity(12_845_056, "B"), format_quantity(0.00342, "s")
    ('8,464', '1.23 M', '12.8 MB', '3.42 ms')
    >>> format_quantity(0.0, "s")
    '0 s'
    """
    if value is None:
        return ""
    if value == 0 or (not unit and float(value).is_integer() and abs(value) < 1e6):
        return f"{value:,.0f} {unit}".rstrip()
    prefix, factor = _decimal_prefix(value)
    return f"{format_figures(value / factor)} {prefix}{unit}".rstrip()


def format_time(seconds: float | None, interval_s: float | None) -> str:
    """A time and half the width of its interval, in one unit; "" for no time. An interval is not rounded to 0.

    >>> format_time(0.00342, 0.0001), format_time(0.00342, 1e-9), format_time(0.00342, None)
    ('3.42 ±0.10 ms', '3.42 ±0.01 ms', '3.42 ms')
    """
    if seconds is None:
        return ""
    prefix, factor = _decimal_prefix(seconds)
    return f"{_format_interval(seconds / factor, None if interval_s is None else interval_s / factor)} {prefix}s"


def format_ratio(ratio: float | None, interval: float | None) -> str:
    """A ratio and half the width of its interval; "" for no ratio.

    >>> format_ratio(1.5512, 0.031), format_ratio(1.5512, None)
    ('1.55 ±0.03', '1.55')
    """
    return "" if ratio is None else _format_interval(ratio, interval)


def _ratio(row: Row, ratio: float | None, interval: float | None) -> str:
    """A ratio of a row to its baseline. That of the baseline to itself is exact and has no interval."""
    return format_ratio(ratio, None if row.block == row.baseline else interval)


def _format_interval(value: float, interval: float | None) -> str:
    text = format_figures(value)
    decimals = len(text.partition(".")[2])
    return text if interval is None else f"{text} ±{max(interval, 10.0**-decimals):.{decimals}f}"


def format_figures(value: float | None) -> str:
    """Three significant figures, without an exponent; "" for None."""
    if value is None:
        return ""
    decimals = 2 if abs(value) < 9.995 else 1 if abs(value) < 99.95 else 0
    return f"{value:,.{decimals}f}"


def _decimal_prefix(value: float) -> tuple[str, float]:
    """The decimal prefix for a value, and its factor."""
    return next(((prefix, factor) for prefix, factor in PREFIXES if abs(value) >= 0.9995 * factor), ("n", 1e-9))


NAME = Column("block", "block", "block", lambda row: row.block)
COLUMNS = (
    NAME,
    Column("params", "parameters", "parameters", lambda row: format_quantity(row.parameters), 5),
    Column("MACs", "MACs", "macs", lambda row: format_quantity(row.macs), 2),
    Column("elem-ops", "elementwise ops", "elements", lambda row: format_quantity(row.elements), 0),
    Column("saved", "saved for backward", "saved_bytes", lambda row: format_quantity(row.saved_bytes, "B"), 3),
    Column("peak", "peak memory", "peak_bytes", lambda row: format_quantity(row.peak_bytes, "B"), 1),
    Column("forward", "forward", "forward_s", lambda row: format_time(row.forward_s, row.forward_interval_s)),
    Column("×base", "× baseline", "forward_ratio", lambda row: _ratio(row, row.forward_ratio, row.forward_ratio_interval), 8),
    Column("×bound", "× roofline bound", "forward_over_floor", lambda row: format_figures(row.forward_over_floor), 6),
    Column("train", "training", "train_s", lambda row: format_time(row.train_s, row.train_interval_s), 9),
    Column("×base", "× baseline", "train_ratio", lambda row: _ratio(row, row.train_ratio, row.train_ratio_interval), 7),
    Column("×bound", "× roofline bound", "train_over_floor", lambda row: format_figures(row.train_over_floor), 4),
)


def filled_columns(rows: Sequence[Row]) -> list[Column]:
    """The name, and the columns that hold a value in one of the rows."""
    return [column for column in COLUMNS if column is NAME or any(map(column.text, rows))]


def is_measured(row: Row) -> bool:
    """True if a column besides the name holds a value."""
    return any(column.text(row) for column in COLUMNS[1:])
