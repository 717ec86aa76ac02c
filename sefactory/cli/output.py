"""What a command prints: tables on a terminal as wide as it is, in a pipe unlimited, and lines for people on standard error."""

import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.text import Text

from ..bench.characters import encodable
from ..bench.formats import WRITERS
from ..bench.layout import TextColumn, fit_columns, print_rows, print_text
from ..bench.results import Results
from ..bench.table import print_table
from ..bench.text_tables import Cells, as_csv, as_json, as_markdown, as_tsv, one_line

UNLIMITED = 10**6


def stdout_console() -> Console:
    """A console on standard output. Text is wrapped on a terminal alone; NO_COLOR leaves out colours and bold letters."""
    is_terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if is_terminal else UNLIMITED
    colors: Literal["auto"] | None = None if os.environ.get("NO_COLOR") else "auto"
    return Console(file=sys.stdout, width=width, color_system=colors, highlight=False, markup=False, emoji=False)


def print_results(results: Results, layout: str, folder: Path | None = None) -> None:
    """Prints results in one of FORMATS, and on standard error where their files are."""
    if layout == "table":
        print_table(results, stdout_console())
    else:
        sys.stdout.write(WRITERS[layout](results))
    if folder:
        print_note(f"results.json, results.csv and report.html are in {folder}")


@dataclass(frozen=True)
class Listing:
    """A list for people and for programs.

    `title` and `facts` stand above the table, `notes` below. The last `totals` rows of `columns` are totals. CSV and TSV have
    the `fields` of the `records`, JSON has the `document`.
    """

    title: str
    facts: str
    columns: Sequence[TextColumn]
    totals: int
    notes: Sequence[str]
    fields: Sequence[str]
    records: Cells
    document: Any


def print_listing(listing: Listing, layout: str) -> None:
    """Prints a list in one of FORMATS."""
    if layout == "table":
        _print_table(listing, stdout_console())
    elif layout == "markdown":
        sys.stdout.write(_listing_as_markdown(listing))
    elif layout == "json":
        sys.stdout.write(as_json(listing.document))
    else:
        write = {"csv": as_csv, "tsv": as_tsv}[layout]
        sys.stdout.write(write(listing.fields, listing.records))


def _print_table(listing: Listing, console: Console) -> None:
    shape = fit_columns(listing.columns, console.width, console.encoding)
    count = len(listing.columns[0].cells)
    print_title(console, listing.title, listing.facts)
    print_rows(console, shape, range(count - listing.totals), range(count - listing.totals, count))
    for line in (*listing.notes, *filter(None, [shape.dropped_line])):
        print_text(console, line)


def print_title(console: Console, title: str, facts: str) -> None:
    """Prints a title in bold letters, and facts beside it."""
    text = Text(encodable(title, console.encoding), style="bold")
    console.print(text.append(encodable(f"  {facts}", console.encoding), style="not bold"))


def _listing_as_markdown(listing: Listing) -> str:
    numbers = sum(column.align == "right" for column in listing.columns)
    rows = list(zip(*(column.cells for column in listing.columns), strict=True))
    table = as_markdown([column.heading for column in listing.columns], rows, numbers)
    notes = "".join(f"- {one_line(note)}\n" for note in listing.notes)
    return f"**{listing.title}** {listing.facts}\n\n{table}" + (f"\n{notes}" if notes else "")


def print_note(text: str) -> None:
    """Prints a line for people: standard output holds data alone."""
    sys.stdout.flush()  # the order of both on a terminal
    print(text, file=sys.stderr)
