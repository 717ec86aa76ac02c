"""The plots as SVG: labels, shares, and what is left out."""

import re
from dataclasses import replace

import pytest

from sefactory.bench import plots
from tests.bench.output import Reader
from tests.bench.rows import row


def test_blocks_without_parameters_are_drawn() -> None:
    svg = plots.time_against_parameters([replace(row("none"), parameters=0), row("some")])
    texts = Reader(svg).texts
    assert {"none", "some", "0", "1", "10 k"} <= set(texts)
    assert not any(re.match(r"[-\N{MINUS SIGN}]", text) for text in texts)


def test_of_many_blocks_only_the_best_are_named() -> None:
    rows = [replace(row(f"block{i:02}", order=i + 1), parameters=1000 - 300 * (i in (4, 9))) for i in range(30)]
    svg = plots.time_against_parameters(rows)
    assert set(re.findall(r"block\d\d", svg)) == {"block00", "block04"}  # the fastest, and the fastest of the smaller
    assert len(set(re.findall(r"block\d\d", plots.cost_split(rows)))) == plots.MAX_BARS


def test_shares_add_up_to_the_whole() -> None:
    colours = dict.fromkeys(("conv", "other operators", "outside the operators"), "#000")
    shares = plots.time_shares(replace(row("a"), forward_s=0.010, split={"conv": 0.004, "gain": 0.001}), colours)
    assert shares == pytest.approx({"conv": 0.4, "other operators": 0.1, "outside the operators": 0.5})
    shares = plots.time_shares(replace(row("a"), forward_s=0.010, split={"conv": 0.012, "gain": 0.004}), colours)
    assert shares == pytest.approx({"conv": 0.75, "other operators": 0.25, "outside the operators": 0.0})


def test_labels_keep_clear_of_one_another() -> None:
    occupied = [plots.Box(96.0, 104.0, 50.0)]
    first = plots.place_label(100, 50, 40, occupied, right_limit=400)
    second = plots.place_label(100, 52, 40, occupied, right_limit=400)
    assert (first, second) == ((0.0, 1), (0.0, -1))
    assert plots.place_label(100, 51, 40, occupied, right_limit=400) == (12.0, 1)
    assert plots.place_label(390, 90, 40, occupied, right_limit=400) == (0.0, -1)


def test_many_blocks_are_drawn_as_the_fastest_of_them() -> None:
    bars = plots.MAX_BARS
    drawn = plots.cost_split([row(f"block{i:02}", order=i + 1) for i in range(bars + 3)])
    assert f"the {bars} fastest of {bars + 3}" in drawn
    assert f"block{bars - 1:02}" in drawn and f"block{bars:02}" not in drawn
