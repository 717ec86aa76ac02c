"""The columns of a benchmark's table, on the terminal and in report.html."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .formatting import format_figures, format_quantity, format_time
from .results import Row


@dataclass(frozen=True)
class Column:
    """One column: `heading` on the terminal, `title` in report.html, `text` of a row ("" for what was not measured).

    A narrow terminal drops columns in the order of `drop_order`; columns without one always stay.
    """

    heading: str
    title: str
    text: Callable[[Row], str]
    drop_order: int | None = None


def _quantity(value: float | None, unit: str = "") -> str:
    return "" if value is None else format_quantity(value, unit)


def _figures(value: float | None) -> str:
    return "" if value is None else format_figures(value)


def _time(seconds: float | None, iqr: float | None) -> str:
    return "" if seconds is None else format_time(seconds, iqr or 0.0)


NAME = Column("block", "block", lambda row: row.block)
COLUMNS = (
    NAME,
    Column("params", "parameters", lambda row: _quantity(row.parameters), 5),
    Column("MACs", "MACs", lambda row: _quantity(row.macs), 2),
    Column("elem-ops", "elementwise ops", lambda row: _quantity(row.elements), 0),
    Column("saved", "saved for backward", lambda row: _quantity(row.saved_bytes, "B"), 3),
    Column("peak", "peak memory", lambda row: _quantity(row.peak_bytes, "B"), 1),
    Column("forward", "forward", lambda row: _time(row.forward_s, row.forward_iqr_s)),
    Column("×base", "× baseline", lambda row: _figures(row.forward_ratio), 8),
    Column("×bound", "× roofline bound", lambda row: _figures(row.forward_over_floor), 6),
    Column("train", "training", lambda row: _time(row.train_s, row.train_iqr_s)),
    Column("×base", "× baseline", lambda row: _figures(row.train_ratio), 7),
    Column("×bound", "× roofline bound", lambda row: _figures(row.train_over_floor), 4),
)


def filled_columns(rows: Sequence[Row]) -> list[Column]:
    """The name, and the columns that hold a value in one of the rows."""
    return [column for column in COLUMNS if column is NAME or any(map(column.text, rows))]


def is_measured(row: Row) -> bool:
    """True if a column besides the name holds a value."""
    return any(column.text(row) for column in COLUMNS[1:])
