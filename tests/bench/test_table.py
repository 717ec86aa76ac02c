"""The table on the terminal, and numbers as text."""

from dataclasses import fields, replace

import pytest

from sefactory.bench.columns import COLUMNS, format_quantity
from sefactory.bench.results import Row, refused_row
from tests.bench.output import printed
from tests.bench.rows import NAMES, SHAPES, row, seven


@pytest.mark.parametrize("width", [120, 80])
def test_the_table_fits(width: int) -> None:
    lines = printed(seven(), width)
    assert max(map(len, lines)) <= width
    assert "…" not in "".join(lines)
    for shape in SHAPES:
        start = lines.index("x".join(map(str, shape)))
        assert [line.split()[0] for line in lines[start + 3 : start + 10]] == list(reversed(NAMES))
    assert sum("11.2 ±0.3 ms" in line for line in lines) == 4


def test_the_table_at_its_widest_shows_everything() -> None:
    line = next(line for line in printed([row("a")], 120) if line.startswith("a "))
    expected = "811,264 1.23 G 20.6 M 92.6 MB 204 MB 11.2 ±0.3 ms 1.00 11.2 378 ±9 ms 0.12 151"
    assert " ".join(line.split()[1:]) == expected


def test_a_narrow_table_says_what_it_leaves_out() -> None:
    lines = printed(seven(), 80)
    assert lines[-1] == "No room on this terminal for: MACs, elem-ops, peak."
    assert printed(seven(), 96)[-1] == "No room on this terminal for: elem-ops."
    assert "No room" not in printed(seven(), 120)[-1]
    assert max(map(len, printed([row("unit squeeze=mean,max excite=attention gate=hard_sigmoid" * 2)], 80))) <= 80


def test_refusals_and_errors_are_rows_of_the_table() -> None:
    failed = replace(row("half"), train_s=None, train_iqr_s=None, error="training: one value [per] channel")
    lines = printed([refused_row("no[b]", SHAPES[0], "no fit"), failed, row("good", order=9)], 120)
    names = [line.split()[0] for line in lines if line][3:]
    assert names == ["half", "good", "half", "no[b]"]
    assert any(line.startswith("no[b]") and line.endswith("refused: no fit") for line in lines)
    assert any(line.startswith("half") and line.endswith("training: one value [per] channel") for line in lines)


def test_an_empty_table() -> None:
    assert printed([], 80) == []


@pytest.mark.parametrize(
    "value, unit, text",
    [
        (8464, "", "8,464"),
        (999_999, "", "999,999"),
        (1_000_000, "", "1.00 M"),
        (9.996e-4, "s", "1.00 ms"),
        (3e-10, "s", "0.30 ns"),
    ],
)
def test_numbers_as_people_read_them(value: float, unit: str, text: str) -> None:
    assert format_quantity(value, unit) == text


def test_every_column_names_a_field_of_a_row() -> None:
    names = [column.key for column in COLUMNS]
    assert set(names) <= {field.name for field in fields(Row)} and len(set(names)) == len(names)
