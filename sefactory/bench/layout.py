"""Columns of text on a terminal: which of them fit its width, and where names are wrapped."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from rich.box import Box
from rich.cells import cell_len, chop_cells
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .characters import encodable

MIN_NAME_WIDTH = 10
MAX_WORD_WIDTH = 14  # columns are dropped until the words of names have room, up to this width
WORD = re.compile(r"[^\s./,=_-]*[\s./,=_-]|[^\s./,=_-]+")
"""A part of a name, after which it can be wrapped."""


@dataclass(frozen=True)
class TextColumn:
    """A heading and the cells of all rows. Names are aligned left, numbers right.

    A narrow terminal drops columns in the order of `drop_order`; columns without one always stay. `full_heading` names a
    dropped column if another one has the same heading.
    """

    heading: str
    cells: Sequence[str]
    drop_order: int | None = None
    align: Literal["left", "right"] = "right"
    full_heading: str = ""


@dataclass(frozen=True)
class Layout:
    """The columns that fit, their widths, the gap between two, and the headings of the columns that are dropped."""

    columns: Sequence[TextColumn]
    widths: Sequence[int]
    gap: int
    dropped: Sequence[str]

    @property
    def dropped_line(self) -> str:
        """What a reader is told about dropped columns; "" if there are none."""
        return f"No room on this terminal for: {', '.join(self.dropped)}." if self.dropped else ""


def fit_columns(columns: Sequence[TextColumn], terminal_width: int, encoding: str = "utf-8") -> Layout:
    """The layout of columns, the first of which holds names: it is wrapped, others are dropped, in their order.

    Characters that the encoding lacks are substituted before widths are compared.
    """
    columns = [_encodable_column(column, encoding) for column in columns]
    widths = [max(cell_len(text) for text in (column.heading, *column.cells)) for column in columns]
    numbers = range(len(columns))
    droppable = sorted((i for i in numbers if columns[i].drop_order is not None), key=lambda i: columns[i].drop_order or 0)
    choices = [[i for i in numbers if i not in droppable[:count]] for count in range(len(droppable) + 1)]
    layouts = [(kept, gap) for kept in choices for gap in (2, 1)]

    def name_room(kept: Sequence[int], gap: int) -> int:
        return terminal_width - sum(widths[i] + gap for i in kept[1:])

    words = max(cell_len(word.rstrip()) for name in (columns[0].heading, *columns[0].cells) for word in WORD.findall(name))
    wanted = min(widths[0], max(MIN_NAME_WIDTH, min(words, MAX_WORD_WIDTH)))
    kept, gap = next((layout for layout in layouts if name_room(*layout) >= wanted), layouts[-1])
    widths[0] = min(widths[0], max(MIN_NAME_WIDTH, name_room(kept, gap)))
    shown = {columns[i].heading for i in kept}
    dropped = [columns[i].full_heading if columns[i].heading in shown else columns[i].heading for i in numbers if i not in kept]
    return Layout([columns[i] for i in kept], [widths[i] for i in kept], gap, list(dict.fromkeys(dropped)))


def print_rows(console: Console, layout: Layout, rows: Iterable[int], totals: Iterable[int] = ()) -> None:
    """Prints some of the rows, by number, and below a line the rows of totals."""
    table = Table(box=_rule(console.encoding), pad_edge=False, padding=(0, layout.gap - 1, 0, 0), show_edge=False)
    for column, width in zip(layout.columns, layout.widths, strict=True):
        table.add_column(column.heading, justify=column.align, min_width=width, max_width=width)
    for row in rows:
        table.add_row(*_cells(layout, row))
    table.add_section()
    for row in totals:
        table.add_row(*_cells(layout, row), style="bold")
    terminal_width = console.width
    console.width = max(terminal_width, sum(layout.widths) + layout.gap * len(layout.widths))  # nothing is cut off
    console.print(table, no_wrap=True)
    console.width = terminal_width


def print_text(console: Console, text: str, style: str = "") -> None:
    """Prints a text in the encoding of the console, wrapped between words."""
    console.print(Text(encodable(text, console.encoding), style=style))


def _cells(layout: Layout, row: int) -> list[Text]:
    name, *others = (column.cells[row] for column in layout.columns)
    return [Text(wrap_name(name, layout.widths[0])), *map(Text, others)]


def _rule(encoding: str) -> Box:
    """Lines below the heading and above totals."""
    line = encodable("─", encoding) * 2
    return Box(f"    \n    \n {line} \n    \n {line} \n    \n    \n    \n", ascii=True)


def wrap_name(name: str, width: int) -> str:
    """A name in lines of a width, which end after a space, ".", "/", ",", "=", "_" or "-" where there is one.

    >>> wrap_name("series.spatial.excite.0", 16).split()
    ['series.spatial.', 'excite.0']
    """
    lines = [""]
    for part in WORD.findall(name):
        if cell_len(lines[-1] + part.rstrip()) > width:
            lines.append("")
        *full, rest = chop_cells(lines.pop() + part, width) if cell_len(part.rstrip()) > width else [lines.pop() + part]
        lines += [*full, rest]
    return "\n".join(line.rstrip() for line in lines if line)


def _encodable_column(column: TextColumn, encoding: str) -> TextColumn:
    heading, *cells = (encodable(text, encoding) for text in (column.heading, *column.cells))
    return replace(column, heading=heading, cells=cells)
