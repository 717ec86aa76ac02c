"""The plots of time against parameters: no label overlaps for any number of rows and any span, and what is left out."""

import random
import re
from dataclasses import replace

import pytest
from matplotlib.figure import Figure

from sefactory.bench.report import scatter
from sefactory.bench.results import Row
from tests.bench.output import Reader
from tests.bench.report.layout import layout_faults, tick_labels
from tests.bench.rows import NASTY, SHAPES, row

SPANS = (1.0, 1.001, 1.2, 3.0, 30.0, 1e3, 1e6)
COUNTS = (1, 3, 12, 60, 400)


def spread_rows(count: int, span: float, name: str = "unit mean/mlp r={}") -> list[Row]:
    """Rows whose parameters and times span this ratio, sorted by time; larger blocks tend to be slower."""
    draw = random.Random(count)
    positions = [(0.0, 0.0), (1.0, 1.0), *((draw.random(), draw.random()) for _ in range(count))][:count]
    rows = [
        replace(
            row(name.format(i)),
            parameters=round(1000 * span**x),
            forward_s=1e-5 * span ** ((x + y) / 2),
            train_s=1e-5 * span ** ((x + y) / 2) * draw.uniform(1.5, 4),
        )
        for i, (x, y) in enumerate(positions)
    ]
    return sorted(rows, key=lambda row: row.forward_s or 0.0)


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("span", SPANS)
def test_no_label_overlaps(count: int, span: float) -> None:
    figure, _ = scatter.draw("8x256x56x56", spread_rows(count, span), scatter.NARROW)
    assert not layout_faults(figure)
    (axes,) = figure.axes
    for axis in (axes.xaxis, axes.yaxis):
        labels = tick_labels(axis)
        assert 2 <= len(labels) <= 7 and len(set(labels)) == len(labels)
        assert not [label for label in labels if "$" in label or "e" in label]


@pytest.mark.parametrize("width", [scatter.NARROW, scatter.WIDE])
@pytest.mark.parametrize("name", ["cbam let.r={} series.spatial.excite.0.conv.kernel=3", NASTY + "{}"])
def test_long_names_do_not_overlap(name: str, width: float) -> None:
    figure, _ = scatter.draw("8x256x8x56x56", spread_rows(12, 30.0, name), width)
    assert not layout_faults(figure)


@pytest.mark.parametrize("largest", [0, 1, 500, 8_000_000])
def test_blocks_without_parameters_are_drawn(largest: int) -> None:
    rows = [replace(row(f"block {count}"), parameters=count) for count in (0, largest // 9, largest)]
    figure, unlabelled = scatter.draw("8x256x56x56", rows, scatter.NARROW)
    assert not layout_faults(figure) and unlabelled == 0
    labels = tick_labels(figure.axes[0].xaxis)
    assert labels[0] == "0" and len(labels) >= 2 and "\N{MINUS SIGN}" not in "".join(labels)


def test_the_checker_sees_overlaps() -> None:
    figure = Figure(figsize=(5, 3), dpi=72, layout="constrained")
    axes = figure.add_subplot(xlim=(0, 1), ylim=(0, 1), xticks=[0, 0.1, 0.11, 1])
    axes.scatter([0.5], [0.5])
    axes.text(0.5, 0.5, "first")
    axes.text(0.5, 0.55, "second")
    axes.text(0.95, 0.8, "label that is cut off").set_in_layout(False)
    assert layout_faults(figure) == [
        "0.10 / 0.11",
        "first / second",
        "label that is cut off outside",
        "first covers a marker",
        "label that is cut off outside of the axes",
    ]


def test_labels_without_room_are_left_out_and_counted() -> None:
    rows = [replace(row("a block with a name of many letters"), parameters=1000) for _ in range(16)]
    figure, unlabelled = scatter.draw("8x256x56x56", rows, scatter.NARROW)
    assert not layout_faults(figure)
    assert 0 < unlabelled == 16 - len(figure.axes[0].texts)
    (plot,) = scatter.time_against_parameters(rows)
    assert re.fullmatch(r"\d+ names have no room. Point at a marker for its name.", plot.note)


def test_few_equal_blocks_are_all_named() -> None:
    figure, unlabelled = scatter.draw("8x256x56x56", [row(f"block {i}") for i in range(8)], scatter.NARROW)
    assert unlabelled == 0 and not layout_faults(figure)


def test_of_many_blocks_only_the_best_are_named() -> None:
    rows = [replace(row(f"block{i:02}", order=i + 1), parameters=1000 - 300 * (i in (4, 9))) for i in range(30)]
    (plot,) = scatter.time_against_parameters(rows)
    texts = Reader(plot.svg).texts
    assert {text for text in texts if re.fullmatch(r"block\d\d", text)} == {"block00", "block04"}  # the fastest of each size
    assert plot.note.startswith("30 blocks. Only the Pareto front is named") and "Pareto front" in texts


def test_every_marker_has_a_tooltip() -> None:
    (plot,) = scatter.time_against_parameters([row("a"), replace(row(NASTY, order=2), train_s=None)])
    assert sorted(text for text in Reader(plot.svg).texts if "parameters\n" in text) == [
        f"{NASTY}\n1.62 M parameters\nforward 22.4 ms",
        "a\n811,264 parameters\nforward 11.2 ms",
        "a\n811,264 parameters\ntraining 378 ms",
    ]


def test_plots_of_a_page_have_identifiers_of_their_own() -> None:
    plots = scatter.time_against_parameters([row("a", shape) for shape in SHAPES])
    identifiers = [name for plot in plots for name in re.findall(r' id="([^"]*)"', plot.svg)]
    assert len(plots) == 4 and len(set(identifiers)) == len(identifiers)
    references = [name for plot in plots for name in re.findall(r'(?:href="#|url\(#)([^")]*)', plot.svg)]
    assert references and set(references) <= set(identifiers)


def test_of_many_shapes_the_first_are_drawn() -> None:
    rows = [row("a", (2, 8 * i + 8, 4, 4)) for i in range(14)]
    assert [plot.shape for plot in scatter.time_against_parameters(rows)] == [row.shape for row in rows[:12]]


def test_rows_without_times_are_not_drawn() -> None:
    assert scatter.time_against_parameters([replace(row("a"), forward_s=None)]) == []
