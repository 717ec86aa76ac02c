"""The plots of a setting: differences with intervals, learning curves, and scores against what a network costs."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ...bench.report.labels import Box, Label, marker_box, place_labels
from ...bench.report.svg import CARD, FORWARD, INK, SOFT, TRAINING, plot_style, to_svg
from ...bench.report.text import shorten
from ..runs.store import Epoch
from ..verdicts.comparisons import Comparison
from .summary import SettingSummary, VariantRow

WIDTH, ROW_HEIGHT, HEIGHT = 7.0, 0.34, 3.4  # inches
CYCLE = ("#0072b2", "#c2410c", "#009e73", "#b8860b", "#cc5ca0", "#5a8fd6", "#8a63d2", "#7f7f7f", "#4d9221", "#d6604d")
MOST_CURVES = len(CYCLE)


def forest_plot(summary: SettingSummary, prefix: str) -> str:
    """The differences to the network without blocks, and to static gates, with their intervals; empty without verdicts."""
    rows = [row for row in summary.rows if row.to_baseline]
    if not rows:
        return ""
    figure, tooltips = _draw_forest(rows)
    return to_svg(figure, prefix, f"Differences in points with 95 % intervals, {len(rows)} variants", tooltips)


@plot_style()
def _draw_forest(rows: Sequence[VariantRow]) -> tuple[Figure, dict[str, list[str]]]:
    """The figure, and the tooltips of its markers."""
    figure = Figure(figsize=(WIDTH, 0.9 + ROW_HEIGHT * len(rows)), layout="constrained", dpi=72)
    axes = figure.add_subplot()
    baseline = [(i, row.variant.label, row.to_baseline) for i, row in enumerate(rows) if row.to_baseline]
    control = [(i + 0.28, row.variant.label, row.to_control) for i, row in enumerate(rows) if row.to_control]
    tooltips = {"baseline": _draw_intervals(axes, baseline, FORWARD, "o", "baseline", "against the network without blocks")}
    if control:
        tooltips["control"] = _draw_intervals(axes, control, TRAINING, "D", "control", "against static gates")
    axes.axvline(0, color=SOFT, linewidth=0.9, zorder=1)
    axes.set_yticks(range(len(rows)), [shorten(row.variant.label) for row in rows])
    axes.set(xlabel="difference in points, simultaneous 95 % intervals", ylim=(len(rows) - 0.4, -0.6))
    axes.grid(True, axis="x")
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, frameon=False, fontsize=8)
    return figure, tooltips


def _draw_intervals(
    axes: Axes, entries: Sequence[tuple[float, str, Comparison]], color: str, marker: str, gid: str, label: str
) -> list[str]:
    """Draws a marker with its interval for each comparison. Returns the tooltips of the markers."""
    heights, differences = [y for y, _, _ in entries], [c.difference for _, _, c in entries]
    axes.hlines(heights, [c.low for _, _, c in entries], [c.high for _, _, c in entries], color=color, linewidth=1.4, zorder=2)
    points = axes.scatter(differences, heights, s=30, marker=marker, color=color, zorder=3, label=label)
    points.set(gid=gid, edgecolor=CARD, linewidth=0.6)
    return [f"{name}: {c.word}\n{c.difference:+.2f} points ({c.low:+.2f} to {c.high:+.2f})" for _, name, c in entries]


def curve_plot(summary: SettingSummary, epochs: Mapping[str, Sequence[Epoch]], prefix: str) -> str:
    """The mean validation scores after each epoch, a line for each variant. `epochs` has the epochs of each run."""
    curves = {row.name: _mean_curve(summary, row, epochs) for row in summary.rows if not row.variant.static}
    drawn = {label: curve for label, curve in curves.items() if len(curve) > 1}
    if not drawn:
        return ""
    return to_svg(_draw_curves(drawn), prefix, f"Learning curves of {len(drawn)} variants", {})


def _mean_curve(summary: SettingSummary, row: VariantRow, epochs: Mapping[str, Sequence[Epoch]]) -> list[float]:
    """The mean score in percent after each epoch, over the runs that have that epoch."""
    name = "validation_mean_iou" if summary.setting.example.metric == "mean_iou" else "validation_accuracy"
    runs = [epochs.get(run.run, ()) for run in row.variant.runs.values()]
    longest = max(map(len, runs), default=0)
    columns = [[getattr(run[i], name) for run in runs if len(run) > i] for i in range(longest)]
    return [100 * statistics.fmean(values) for values in columns if None not in values]


@plot_style()
def _draw_curves(curves: Mapping[str, Sequence[float]]) -> Figure:
    """The figure, with the network without blocks in a thick line."""
    figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained", dpi=72)
    axes = figure.add_subplot()
    for i, (label, curve) in enumerate(curves.items()):
        is_first = i == 0
        color = INK if is_first else CYCLE[(i - 1) % MOST_CURVES]
        axes.plot(range(1, len(curve) + 1), curve, color=color, linewidth=2.0 if is_first else 1.2, label=shorten(label))
    axes.set(xlabel="epoch", ylabel="validation score, %")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(True)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8)
    return figure


COSTS = {"parameters": "parameters", "macs": "MACs for an image", "inference_ms": "ms for an image"}
"""What a network costs, and the label of its axis."""


def cost_plots(summary: SettingSummary, prefix: str) -> list[str]:
    """The mean scores against parameters, MACs and measured time; a plot for each cost that the runs have."""
    plots = []
    for cost, axis_label in COSTS.items():
        points = [(row.name, _cost(row, cost), row.mean) for row in summary.rows if not row.variant.static]
        known = [(label, x, y) for label, x, y in points if x is not None and y is not None]
        if known:
            figure = _draw_costs(known, axis_label)
            tooltips = {"variants": [f"{label}\n{x:,.4g} {axis_label}\n{y:.2f} %" for label, x, y in known]}
            plots.append(to_svg(figure, f"{prefix}{cost}-", f"Scores against {axis_label}, {len(known)} variants", tooltips))
    return plots


def _cost(row: VariantRow, cost: str) -> float | None:
    """The median of a cost over the runs of a variant."""
    values = [value for run in row.variant.runs.values() if (value := getattr(run, cost)) is not None]
    return statistics.median(values) if values else None


@plot_style()
def _draw_costs(points: Sequence[tuple[str, float, float]], axis_label: str) -> Figure:
    """The figure of one cost, with the names of the variants."""
    figure = Figure(figsize=(5.6, HEIGHT), layout="constrained", dpi=72)
    axes = figure.add_subplot()
    axes.margins(0.16)
    markers = axes.scatter([x for _, x, _ in points], [y for _, _, y in points], s=36, color=FORWARD, zorder=3)
    markers.set(gid="variants", edgecolor=CARD, linewidth=0.6)
    axes.set(xlabel=axis_label, ylabel="mean score, %")
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.6g}")
    axes.grid(True)
    _label(figure, axes, points)
    return figure


def _label(figure: Figure, axes: Axes, points: Sequence[tuple[str, float, float]]) -> None:
    """Writes names beside their markers where nothing is overlapped. The other names are in the tooltips."""
    FigureCanvasAgg(figure)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    options: dict[str, Any] = {"textcoords": "offset points", "fontsize": 8, "va": "center"}
    texts = [axes.annotate(shorten(label), (x, y), (0, 0), **options) for label, x, y in points]
    centres = axes.transData.transform([(x, y) for _, x, y in points])
    extents = [text.get_window_extent() for text in texts]
    labels = [Label(x, y, extent.width + 2, extent.height) for (x, y), extent in zip(centres, extents, strict=True)]
    occupied = [marker_box(x, y) for x, y in centres]
    for text, label, position in zip(texts, labels, place_labels(labels, occupied, Box(*axes.bbox.extents)), strict=True):
        if position is None:
            text.remove()
        else:
            text.set_position((position.box.left + 1 - label.x, (position.box.bottom + position.box.top) / 2 - label.y))
