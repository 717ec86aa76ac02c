"""Reads what the benchmark prints and writes: the table on the terminal, and the tags and texts of HTML and SVG."""

import io
from html.parser import HTMLParser

from rich.console import Console

from sefactory.bench.results import Results, Row
from sefactory.bench.table import print_table


def printed(rows: list[Row], width: int, interrupted: str = "", encoding: str = "utf-8") -> list[str]:
    """The lines of the table on a terminal of this width."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding)
    print_table(Results(rows, {}, interrupted=interrupted), Console(width=width, file=stream, color_system=None))
    stream.seek(0)
    return [line.rstrip() for line in stream.read().splitlines()]


class Reader(HTMLParser):
    """The tags, the text and the references of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.references: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.references += [value or "" for key, value in attrs if key in ("src", "href", "xlink:href")]

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())
