"""The table of a benchmark on the terminal."""

from collections.abc import Mapping, Sequence
from typing import Literal

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .columns import NAME, Column, filled_columns, is_measured
from .results import Row, group_by_shape

MIN_NAME_WIDTH, MAX_NAME_WIDTH = 10, 40
MIN_ROOM_FOR_NAME = 14  # columns are dropped until a name has this width, or fits


def print_table(rows: Sequence[Row], console: Console) -> None:
    """Prints the rows of each shape, the fastest first, then why values are missing. Narrow terminals get fewer columns."""
    widths, gap, dropped = _layout(rows, console.width)
    for shape, group in group_by_shape(rows).items():
        console.print(Text(shape, style="bold"))
        console.print(_measurements(group, widths, gap))
        console.print(_problems(group, widths[NAME]))
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

    wanted = min(widths[NAME], MIN_ROOM_FOR_NAME)
    kept, gap = next((layout for layout in layouts if name_room(*layout) >= wanted), layouts[-1])
    widths[NAME] = max(MIN_NAME_WIDTH, min(widths[NAME], name_room(kept, gap), MAX_NAME_WIDTH))
    return {column: widths[column] for column in kept}, gap, [column for column in columns if column not in kept]


def _measurements(group: Sequence[Row], widths: Mapping[Column, int], gap: int) -> Table:
    grid = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, gap - 1, 0, 0), show_edge=False)
    for column, width in widths.items():
        justify: Literal["left", "right"] = "left" if column is NAME else "right"
        grid.add_column(column.heading, justify=justify, min_width=width, max_width=width, overflow="fold")
    for row in filter(is_measured, group):
        grid.add_row(*(Text(column.text(row)) for column in widths))
    return grid


def _problems(group: Sequence[Row], name_width: int) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(min_width=name_width, max_width=name_width, overflow="fold")
    grid.add_column(overflow="fold")
    for row in group:
        if row.problem:
            grid.add_row(Text(row.block), Text(row.problem, style="yellow" if row.refused else "red"))
    return grid
