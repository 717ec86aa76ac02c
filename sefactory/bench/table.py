"""The table of a benchmark on the terminal."""

from collections.abc import Iterator, Sequence
from typing import Literal

from rich.console import Console

from ..errors import join_words
from .columns import BASELINE_TIMES, NAME, TIMES, Column, filled_columns, format_quantity, is_measured
from .layout import Layout, TextColumn, fit_columns, print_rows, print_text
from .results import Results, Row, group_by_shape

MARK = "!"
BOUND = (
    "time / roofline bound: the larger of memory traffic / bandwidth at this size and operations / matrix-multiply throughput"
)
NOTES = {
    "elements": "elementwise operations of one forward: values that pooling, norms, activations and gates read",
    "saved_bytes": "memory that autograd keeps from the forward for the backward, the input included, parameters not",
    "peak_bytes": "the most memory at one moment of a forward and backward: tensors and gradients, parameters not",
    "forward_over_floor": BOUND,
    "train_over_floor": BOUND,
}
"""What a heading means, by the field of the column."""


def print_table(results: Results, console: Console) -> None:
    """Prints the rows of each shape, the fastest first, and what has to be said about them.

    Narrow terminals get fewer columns.
    """
    groups = group_by_shape(results.rows)
    rows = [row for group in groups.values() for row in group]
    columns = filled_columns(rows)
    layout = fit_columns(text_columns(groups, columns), console.width, console.encoding)
    start = 0
    for shape, group in groups.items():
        print_text(console, shape, "bold")
        numbers = [start + i for i, row in enumerate(group) if is_measured(row)]
        print_rows(console, layout, numbers)
        for line in mark_lines(group):
            print_text(console, line, "yellow")
        for row in group:
            if row.problem:
                print_text(console, f"{row.block}  {row.problem}", "yellow" if row.refused else "red")
        console.print()
        start += len(group)
    for line in _last_lines(results, columns, layout):
        print_text(console, line, "dim")


def text_columns(groups: dict[str, list[Row]], columns: Sequence[Column]) -> list[TextColumn]:
    """The cells of all rows, group by group: times with the sign of marked rows, ratios with the time of their baseline."""
    has_marks = any(row.marks for group in groups.values() for row in group)
    found = []
    for column in columns:
        texts = [text for group in groups.values() for text in _column_texts(group, column, has_marks)]
        align: Literal["left", "right"] = "left" if column is NAME else "right"
        is_repeated = [other.heading for other in columns].count(column.heading) > 1
        name = f"{column.heading} of {column.key.partition('_')[0]}" if is_repeated else column.heading
        found.append(TextColumn(column.heading, texts, column.drop_order, align, name))
    return found


def _column_texts(group: Sequence[Row], column: Column, has_marks: bool) -> Iterator[str]:
    """Yields the cells of a column in the rows of one shape."""
    baseline_field = BASELINE_TIMES.get(column.key, "")
    has_several_baselines = len({getattr(row, baseline_field, None) for row in group} - {None}) > 1
    for row in group:
        text = column.text(row)
        if text and has_several_baselines:
            text += f" of {format_quantity(getattr(row, baseline_field), 's')}"
        if has_marks and column.key in TIMES:
            text += f" {MARK if row.marks and text else ' '}"
        yield text


def mark_lines(group: Sequence[Row]) -> Iterator[str]:
    """Yields why rows are marked: a line for each row, or for several with the same reasons."""
    names: dict[str, list[str]] = {}
    for row in group:
        if row.marks:
            names.setdefault("; ".join(row.marks), []).append(row.block)
    for reasons, blocks in names.items():
        yield f"{MARK} {', '.join(blocks)}: {reasons}"


def _last_lines(results: Results, columns: Sequence[Column], layout: Layout) -> Iterator[str]:
    """Yields where the benchmark was interrupted, what is not shown, and what the headings mean."""
    if results.interrupted:
        yield interrupted_line(results)
    if layout.dropped:
        yield layout.dropped_line
    shown = {column.heading for column in layout.columns}
    baselines = join_words(dict.fromkeys(row.baseline for row in results.rows if row.baseline))
    for heading, note in dict.fromkeys((column.heading, _note(column, baselines)) for column in columns):
        if note and heading in shown:
            yield f"{heading}: {note}"
    if any(row.forward_interval_s is not None for row in results.rows):
        yield "±: half the width of the 99 % confidence interval of the median"


def _note(column: Column, baselines: str) -> str:
    """What the heading of a column means; "" if it needs no note."""
    is_ratio = column.key in BASELINE_TIMES
    return f"time / time of {baselines} in the same rounds" if is_ratio else NOTES.get(column.key, "")


def interrupted_line(results: Results) -> str:
    """Where the benchmark was cut off."""
    return f"Interrupted: {results.interrupted}. The rows have what was measured until then."
