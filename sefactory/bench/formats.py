"""Results as text: CSV, TSV, JSON and Markdown."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields

from .columns import filled_columns, is_measured
from .results import Results, Row, as_document, group_by_shape, results_as_csv, results_as_json
from .table import interrupted_line, mark_lines, text_columns
from .text_tables import as_markdown, as_tsv, one_line


def results_as_tsv(results: Results) -> str:
    """The fields of the rows that hold one value, and the marks."""
    names = [field.name for field in fields(Row) if field.default_factory is MISSING or field.name == "marks"]
    return as_tsv(names, [[record[name] for name in names] for record in as_document(results)["rows"]])


def results_as_markdown(results: Results) -> str:
    """The columns of the table for each shape, and below them why rows are marked or values are missing."""
    columns, parts = filled_columns(results.rows), []
    for shape, group in group_by_shape(results.rows).items():
        texts = text_columns({shape: group}, columns)
        rows = [[column.cells[i] for column in texts] for i, row in enumerate(group) if is_measured(row)]
        table = as_markdown([column.full_heading for column in texts], rows, numbers=len(columns) - 1)
        notes = [*mark_lines(group), *(f"{row.block}: {row.problem}" for row in group if row.problem)]
        parts.append(f"**{shape}**\n" + (f"\n{table}" if rows else "") + _bullets(notes))
    parts += [f"{interrupted_line(results)}\n"] if results.interrupted else []
    return "\n".join(parts)


WRITERS: Mapping[str, Callable[[Results], str]] = {
    "csv": results_as_csv,
    "tsv": results_as_tsv,
    "json": results_as_json,
    "markdown": results_as_markdown,
}
"""The text of results in each format besides "table"."""


def _bullets(lines: Sequence[str]) -> str:
    return "\n" + "".join(f"- {one_line(line)}\n" for line in lines) if lines else ""
