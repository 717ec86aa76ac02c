"""The table on the terminal, and numbers as text."""

from dataclasses import fields, replace

import pytest

from sefactory.bench.columns import COLUMNS, format_quantity
from sefactory.bench.layout import wrap_name
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
    line = next(line for line in printed([row("a")], 140) if line.startswith("a "))
    expected = "811,264 1.23 G 20.6 M 92.6 MB 204 MB 11.2 ±0.3 ms 1.00 ±0.04 11.2 378 ±9 ms 0.12 ±0.01 151"
    assert " ".join(line.split()[1:]) == expected


def dropped_line(rows: list[Row], width: int) -> str:
    """The line about columns that have no room; "" if there is none."""
    return next((line for line in printed(rows, width) if "No room" in line), "")


def test_a_narrow_table_says_what_it_leaves_out() -> None:
    assert dropped_line(seven(), 80) == "No room on this terminal for: MACs, elem-ops, saved, peak."
    assert dropped_line(seven(), 96) == "No room on this terminal for: elem-ops, peak."
    assert dropped_line(seven(), 76) == "No room on this terminal for: MACs, elem-ops, saved, peak, ×bound of train."
    assert dropped_line(seven(), 120) == ""
    assert max(map(len, printed([row("unit squeeze=mean,max excite=attention gate=hard_sigmoid" * 2)], 80))) <= 80


def test_a_terminal_of_40_columns_keeps_names_and_times() -> None:
    lines = printed([row("senet"), replace(row("unit mean/mlp/softmax", order=2), marks=["one round"])], 40)
    start = lines.index("8x256x56x56")
    assert max(map(len, lines)) <= 40
    assert lines[start + 1 : start + 6] == [
        "block               forward        train",
        "─" * 40,
        "senet          11.2 ±0.3 ms    378 ±9 ms",
        "unit mean/   22.4 ±0.3 ms !  756 ±9 ms !",
        "mlp/softmax",
    ]
    dropped = "No room on this terminal for: params, MACs, elem-ops, saved, peak, ×base, ×bound."
    assert dropped in " ".join(lines)


@pytest.mark.parametrize("width", [1, 20, 30])
def test_names_and_times_are_whole_on_any_terminal(width: int) -> None:
    assert any(line.startswith("senet ") and "11.2 ±0.3 ms" in line for line in printed([row("senet")], width))


def test_a_name_is_wrapped_at_its_separators() -> None:
    assert wrap_name("unit mean/mlp/softmax", 12).splitlines() == ["unit mean/", "mlp/softmax"]
    assert wrap_name("series.spatial.excite.0", 100) == "series.spatial.excite.0"
    assert wrap_name("x" * 25 + ".y", 10).splitlines() == ["x" * 10, "x" * 10, "x" * 5 + ".y"]
    assert wrap_name("日本語日本語", 7).splitlines() == ["日本語", "日本語"]


def test_without_a_limit_nothing_is_wrapped_or_dropped() -> None:
    long = replace(row("n" * 300), error="training: " + "reason " * 200)
    lines = printed([long], 10**6)
    assert any(line.startswith("n" * 300 + "  811,264") and line.endswith("  151") for line in lines)
    assert f"{long.block}  {long.problem}".rstrip() in lines and "No room" not in "".join(lines)


def test_ascii_keeps_the_columns_aligned() -> None:
    lines = printed([row("a"), row("b", order=20)], 120, encoding="ascii")
    table = lines[1 : lines.index("")]
    assert "xbase" in table[0] and set(table[1]) == {"-"} and "11.2 +-0.3 ms" in table[2]
    assert len({len(line) for line in table}) == 1
    assert any(line.startswith("+-: half the width") for line in lines)


def test_marked_rows_have_a_sign_and_their_reasons_below() -> None:
    busy = replace(row("busy", order=2), marks=["load 4.0 on 2 cores", "one round"], forward_interval_s=None)
    once = [replace(row(name, order=3), marks=["one round"]) for name in ("late", "later")]
    lines = printed([row("quiet"), busy, *once], 140)
    quiet, marked, late = (next(line for line in lines if line.startswith(name)) for name in ("quiet", "busy", "late "))
    assert "11.2 ±0.3 ms  " in quiet and "!" not in quiet
    assert "22.4 ms !" in marked and "756 ±9 ms !" in marked and "33.6 ±0.3 ms !" in late
    assert lines[lines.index(late) + 2 : lines.index(late) + 4] == [
        "! busy: load 4.0 on 2 cores; one round",
        "! late, later: one round",
    ]


def test_a_single_round_has_no_interval() -> None:
    single = replace(row("a"), forward_interval_s=None, train_interval_s=None)
    single = replace(single, forward_ratio_interval=None, train_ratio_interval=None)
    text = "\n".join(printed([single], 120))
    assert "11.2 ms" in text and "378 ms" in text and "±" not in text


def test_ratios_to_several_baselines_stand_beside_their_times() -> None:
    rows = [row("danet"), replace(row("senet", order=2), baseline_forward_s=0.00266, forward_ratio=1.55)]
    lines = printed([*rows, row("other", SHAPES[1])], 140)
    assert any(line.startswith("senet") and "1.55 ±0.04 of 2.66 ms" in line for line in lines)
    assert any(line.startswith("danet") and "1.00 of 11.2 ms" in line for line in lines)
    assert any(line.startswith("other") and " of " not in line for line in lines)


def test_headings_are_explained_where_they_are_shown() -> None:
    notes = [line.partition(":")[0] for line in printed(seven(), 120) if ": " in line]
    assert notes == ["elem-ops", "saved", "peak", "×base", "×bound", "±"]
    assert [line.partition(":")[0] for line in printed(seven(), 60) if ": " in line][-2:] == ["×base", "±"]


def test_the_baselines_are_named() -> None:
    assert "×base: time / time of danet in the same rounds" in printed(seven(), 140)
    several = [row("danet"), replace(row("senet"), baseline="senet"), replace(row("cbam"), baseline=None)]
    assert "×base: time / time of danet, senet in the same rounds" in printed(several, 140)


def test_a_ratio_has_its_interval_unless_it_is_exact() -> None:
    lines = printed([row("senet", order=2), row("danet")], 140)
    assert any(line.startswith("senet") and " 2.00 ±0.04 " in line and " 0.12 ±0.01 " in line for line in lines)
    assert any(line.startswith("danet") and " 1.00 " in line and "1.00 ±" not in line for line in lines)
    few = replace(row("senet"), forward_ratio_interval=None)
    assert any(line.startswith("senet") and " 1.00 " in line and "1.00 ±" not in line for line in printed([few], 140))


def test_an_interruption_is_one_line() -> None:
    line = "Interrupted: at 8x256x56x56. The rows have what was measured until then."
    assert line in printed([row("a")], 120, interrupted="at 8x256x56x56")
    assert not any("Interrupted" in line for line in printed([row("a")], 120))


def test_refusals_and_errors_are_rows_of_the_table() -> None:
    failed = replace(row("half"), train_s=None, train_iqr_s=None, error="training: one value [per] channel")
    lines = printed([refused_row("no[b]", SHAPES[0], "no fit"), failed, row("good", order=9)], 120)
    names = [line.split()[0] for line in lines[: lines.index("")]][3:]
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
