"""Forward time by operator: shares that add up to the whole, and what is left out."""

from dataclasses import replace

import pytest

from sefactory.bench.report import shares
from tests.bench.rows import SHAPES, row

FILLS = dict.fromkeys(("conv", "other operators", "outside the nodes"), "#000")


def test_shares_add_up_to_the_whole() -> None:
    split = shares.time_shares(replace(row("a"), forward_s=0.010, split={"conv": 0.004, "gain": 0.001}), FILLS)
    assert split == pytest.approx({"conv": 0.4, "other operators": 0.1, "outside the nodes": 0.5})


def test_bars_are_complete() -> None:
    rows = [replace(row(f"block{i}"), split={f"op{k}": 1e-3 * (k + 1) for k in range(10)}, forward_s=0.1 + i) for i in range(3)]
    (chart,) = shares.bar_charts(rows, shares.operator_fills(rows))
    for bar in chart.bars:
        assert sum(part.share for part in bar.segments) == pytest.approx(1.0)
        ends = [part.start + part.share for part in bar.segments]
        assert [part.start for part in bar.segments] == pytest.approx([0.0, *ends[:-1]])
    names = ["op9", "op8", "op7", "op6", "op5", "op4", "op3", "other operators", "outside the nodes"]
    assert [part.name for part in chart.bars[0].segments] == names
    assert chart.bars[0].segments[0].tooltip == "op9: 10.0%, 10.0 ms"


def test_a_name_stands_only_in_a_part_that_is_wide_enough() -> None:
    rows = [replace(row("a"), forward_s=0.01, split={"batch_norm": 0.0015, "conv": 0.0084})]
    (chart,) = shares.bar_charts(rows, shares.operator_fills(rows))
    assert {part.name: part.label for part in chart.bars[0].segments} == {
        "conv": "conv",
        "batch_norm": "",
        "outside the nodes": "",
    }


def test_many_blocks_are_drawn_as_the_fastest_of_them() -> None:
    rows = [row(f"block{i:02}", order=i + 1) for i in range(shares.MAX_BARS + 3)]
    (chart,) = shares.bar_charts(rows, shares.operator_fills(rows))
    assert chart.note == "The 24 fastest of 27 blocks."
    assert [bar.block for bar in chart.bars] == [f"block{i:02}" for i in range(24)]


def test_charts_are_made_of_what_was_measured() -> None:
    rows = [row("a", SHAPES[0]), replace(row("b", SHAPES[1]), split={}), replace(row("c", SHAPES[2]), forward_s=None)]
    assert [chart.shape for chart in shares.bar_charts(rows, shares.operator_fills(rows))] == [rows[0].shape]
    assert shares.operator_fills([replace(row("a"), split={})]) == {}
