"""Tables as text for programs and documents: CSV, TSV, JSON and Markdown."""

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

FORMATS = ("table", "csv", "tsv", "json", "markdown")
"""`format=` of every command that prints a list."""
Cells = Sequence[Sequence[Any]]


def as_csv(headings: Sequence[str], rows: Cells) -> str:
    """Comma-separated values with quotes where they are needed; lists and mappings are JSON, None is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(headings)
    writer.writerows([_csv_value(value) for value in row] for row in rows)
    return text.getvalue()


def as_tsv(headings: Sequence[str], rows: Cells) -> str:
    """Tab-separated values without quotes, one line a row; lists have "; " between their entries, None is empty.

    >>> as_tsv(["a", "b"], [["1 \\t 2", None], [0.5, ["x", "y"]]])
    'a\\tb\\n1   2\\t\\n0.5\\tx; y\\n'
    """
    return "".join("\t".join(map(_tsv_value, row)) + "\n" for row in (headings, *rows))


def as_markdown(headings: Sequence[str], rows: Cells, numbers: int) -> str:
    """A table of Markdown. The last so many columns are numbers, aligned right.

    >>> print(as_markdown(["block", "MACs"], [["a|b", "1"]], numbers=1), end="")
    | block | MACs |
    | --- | ---: |
    | a\\|b | 1 |
    """
    rules = ["---"] * (len(headings) - numbers) + ["---:"] * numbers
    cells = ([one_line(value).strip().replace("|", "\\|") for value in row] for row in (headings, rules, *rows))
    return "".join(f"| {' | '.join(row)} |\n" for row in cells)


def as_json(document: Any) -> str:
    """Strict JSON with one entry a line."""
    return json.dumps(document, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def _csv_value(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value


def _tsv_value(value: Any) -> str:
    return "" if value is None else one_line("; ".join(map(str, value)) if isinstance(value, list) else value)


def one_line(value: Any) -> str:
    """The text of a value without tabs and line breaks."""
    return "".join(" " if c in "\t\r\n\v\f\x85\u2028\u2029" else c for c in str(value))
