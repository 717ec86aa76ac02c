"""Tables on the terminal."""

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

PIPE_WIDTH = 160


def stdout_console() -> Console:
    """A console as wide as the terminal, or PIPE_WIDTH columns wide if stdout is no terminal."""
    return Console(width=None if sys.stdout.isatty() else PIPE_WIDTH)


def new_table(text_headings: Sequence[str], number_headings: Sequence[str] = ()) -> Table:
    """An empty table: columns of text wrap, columns of numbers are aligned right and never wrap."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in text_headings:
        table.add_column(heading, overflow="fold")
    for heading in number_headings:
        table.add_column(heading, justify="right", no_wrap=True)
    return table
