"""The columns of a benchmark's table, and the table on the terminal."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from .formatting import format_figures, format_quantity, format_time
from .results import Row, group_by_shape

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

MIN_NAME_WIDTH, MAX_NAME_WIDTH = 10, 40
MIN_ROOM_FOR_NAME = 14
"""Columns are dropped until the name has this width, or fits."""


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


COLUMNS = (
    Column("block", "block", lambda row: row.block),
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
    return [column for column in COLUMNS if column is COLUMNS[0] or any(map(column.text, rows))]


def is_measured(row: Row) -> bool:
    """True if a column besides the name holds a value."""
    return any(column.text(row) for column in COLUMNS[1:])


def print_table(rows: Sequence[Row], console: "Console") -> None:
    """Prints the rows of each shape, the fastest first, then why values are missing. Narrow terminals get fewer columns."""
    from rich.text import Text

    widths, gap, dropped = _layout(rows, console.width)
    for shape, group in group_by_shape(rows).items():
        console.print(Text(shape, style="bold"))
        console.print(_measurements(group, widths, gap))
        console.print(_problems(group, widths[COLUMNS[0]]))
        console.print()
    if dropped:
        headings = ", ".join(dict.fromkeys(column.heading for column in dropped))
        console.print(Text(f"No room on this terminal for: {headings}.", style="dim"))


def _layout(rows: Sequence[Row], terminal_width: int) -> tuple[dict[Column, int], int, list[Column]]:
    """The width of each column that fits, the gap between two, and the columns that are dropped."""
    columns = filled_columns(rows)
    widths = {column: max(len(text) for text in (column.heading, *map(column.text, rows))) for column in columns}
    droppable = sorted((c for c in columns if c.drop_order is not None), key=lambda c: c.drop_order or 0)
    layouts = [
        ([column for column in columns if column not in droppable[:count]], gap)
        for count in range(len(droppable) + 1)
        for gap in (2, 1)
    ]

    def name_room(kept: Sequence[Column], gap: int) -> int:
        return terminal_width - sum(widths[column] + gap for column in kept[1:])

    name = COLUMNS[0]
    wanted = min(widths[name], MIN_ROOM_FOR_NAME)
    kept, gap = next((layout for layout in layouts if name_room(*layout) >= wanted), layouts[-1])
    widths[name] = max(MIN_NAME_WIDTH, min(widths[name], name_room(kept, gap), MAX_NAME_WIDTH))
    return {column: widths[column] for column in kept}, gap, [column for column in columns if column not in kept]


def _measurements(group: Sequence[Row], widths: Mapping[Column, int], gap: int) -> "Table":
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, gap - 1, 0, 0), show_edge=False)
    for column, width in widths.items():
        justify: Literal["left", "right"] = "left" if column is COLUMNS[0] else "right"
        grid.add_column(column.heading, justify=justify, min_width=width, max_width=width, overflow="fold")
    for row in filter(is_measured, group):
        grid.add_row(*(Text(column.text(row)) for column in widths))
    return grid


def _problems(group: Sequence[Row], name_width: int) -> "Table":
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(min_width=name_width, max_width=name_width, overflow="fold")
    grid.add_column(overflow="fold")
    for row in group:
        if row.problem:
            grid.add_row(Text(row.block), Text(row.problem, style="yellow" if row.refused else "red"))
    return grid
