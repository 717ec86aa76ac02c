"""The tables of a report: numbers with the values that they are sorted by, the baseline of each ratio, and marked rows."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ..columns import BASELINE_TIMES, NAME, TIMES, Column, is_measured
from ..results import Row
from .baselines import Baseline, baseline_note, baseline_sentence, baselines_of


class Cell(NamedTuple):
    """One number: as text, as the value to sort by, the baseline that it is a ratio to, and whether it is marked."""

    text: str
    value: float | None
    baseline: str
    is_marked: bool


class Line(NamedTuple):
    """One row of a table. `cells` are those after the name, empty if nothing was measured."""

    anchor: str
    block: str
    config: str
    cells: list[Cell]
    problem: str
    marks: list[str]


class Table(NamedTuple):
    """The table of one input shape, and what its ratios are to in words."""

    shape: str
    anchor: str
    lines: list[Line]
    baseline: str


def make_tables(groups: Mapping[str, Sequence[Row]], columns: Sequence[Column], anchors: Mapping[str, str]) -> list[Table]:
    """A table for each shape. `anchors` has the place of the config of each block that has one."""
    tables = []
    for i, (shape, group) in enumerate(groups.items()):
        baselines = baselines_of(group)
        lines = [
            Line(
                f"row-{i}-{j}",
                row.block,
                anchors.get(row.block, ""),
                [_cell(row, column, baselines) for column in columns if column is not NAME] if is_measured(row) else [],
                row.problem,
                list(row.marks),
            )
            for j, row in enumerate(group)
        ]
        tables.append(Table(shape, f"shape-{i}", lines, baseline_sentence(baselines)))
    return tables


def _cell(row: Row, column: Column, baselines: Sequence[Baseline]) -> Cell:
    text, baseline_s = column.text(row), getattr(row, BASELINE_TIMES.get(column.key, ""), None)
    note = baseline_note(row.baseline, baseline_s, baselines) if text and row.baseline and baseline_s else ""
    return Cell(text, getattr(row, column.key), note, bool(row.marks and text and column.key in TIMES))
