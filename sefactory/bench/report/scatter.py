"""Plots of forward and training time against the number of parameters, one for each input shape."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.text import Annotation

from ..columns import format_quantity
from ..results import Row, group_by_shape
from .labels import Box, Label, Position, marker_box, place_labels
from .svg import CARD, FORWARD, INK, SOFT, TRAINING, plot_style, to_svg
from .text import shorten
from .ticks import axis_range, label_ticks

MAX_LABELS = 16  # with more blocks only those on the Pareto front of time and parameters are labelled
MAX_PLOTS = 12
WIDE, NARROW, HEIGHT = 10.0, 5.6, 3.6  # inches: a plot alone, and one of several side by side
X_MARGIN, Y_MARGIN = 0.14, 0.14
FRONT = "Pareto front"
LEGEND: dict[str, Any] = {"loc": "lower right", "bbox_to_anchor": (1.0, 1.0), "ncols": 3, "frameon": False, "fontsize": 8}
LEGEND |= {"borderaxespad": 0.1, "handletextpad": 0.3, "columnspacing": 1.2, "handlelength": 1.4}


class Plot(NamedTuple):
    """The plot of one shape as an <svg> element, and what it leaves out in words, "" for nothing."""

    shape: str
    svg: str
    note: str


def time_against_parameters(rows: Sequence[Row]) -> list[Plot]:
    """A plot with logarithmic axes for each of the first shapes that have times: forward filled, training hollow."""
    groups = list(timed_groups(rows).items())[:MAX_PLOTS]
    width = WIDE if len(groups) == 1 else NARROW
    plots = []
    for i, (shape, group) in enumerate(groups):
        figure, unlabelled = draw(shape, group, width)
        label = f"Time against parameters at {shape}, {len(group)} {'blocks' if len(group) > 1 else 'block'}"
        tooltips = {"forward": [_tooltip(row, "forward", row.forward_s) for row in group]}
        tooltips["training"] = [_tooltip(row, "training", row.train_s) for row in group if row.train_s]
        plots.append(Plot(shape, to_svg(figure, f"plot{i}-", label, tooltips), _note(group, unlabelled)))
    return plots


def timed_groups(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """The rows of each shape that can be drawn: with a forward time and a number of parameters."""
    return group_by_shape(row for row in rows if row.forward_s and row.parameters is not None)


@plot_style()
def draw(shape: str, group: Sequence[Row], width: float) -> tuple[Figure, int]:
    """The figure of one shape, and the number of names for which there is no room."""
    figure = Figure(figsize=(width, HEIGHT), layout="constrained", dpi=72)  # so that a pixel is a point
    axes = figure.add_subplot()
    _scale(axes, group)
    _draw_markers(axes, group)
    axes.set(xlabel="parameters", ylabel="time")
    axes.set_title(shape)
    axes.grid(True)
    axes.legend(**LEGEND, handles=[*axes.collections, *(line for line in axes.lines if line.get_label() == FRONT)])
    return figure, _label_points(figure, axes, group)


def _scale(axes: Axes, group: Sequence[Row]) -> None:
    x = axis_range(axes.xaxis, [row.parameters or 0 for row in group], X_MARGIN)
    y = axis_range(axes.yaxis, [seconds for row in group for seconds in (row.forward_s, row.train_s) if seconds], Y_MARGIN)
    axes.set_xscale(x.scale)
    axes.set_yscale(y.scale)
    axes.set(xlim=(x.low, x.high), ylim=(y.low, y.high))
    label_ticks(axes.xaxis, x.ticks, "")
    label_ticks(axes.yaxis, y.ticks, "s")


def _draw_markers(axes: Axes, group: Sequence[Row]) -> None:
    """Draws the markers of both times. Few blocks get a line between the two, many the line of the Pareto front."""
    trained = [row for row in group if row.train_s]
    if len(group) <= MAX_LABELS:
        for row in trained:
            x = row.parameters or 0
            axes.plot([x, x], [row.forward_s or 0.0, row.train_s or 0.0], color=SOFT, linewidth=0.8, alpha=0.5, zorder=1)
    else:
        front = pareto_front(group)
        x_front, y_front = [row.parameters or 0 for row in front], [row.forward_s or 0.0 for row in front]
        axes.plot(x_front, y_front, color=INK, linewidth=0.9, drawstyle="steps-pre", label=FRONT, zorder=1.5)
    small = len(group) > MAX_LABELS
    filled = _markers(axes, group, [row.forward_s or 0.0 for row in group], "o", 20 if small else 40)
    filled.set(gid="forward", facecolor=FORWARD, edgecolor=CARD, linewidth=0.6, label="forward", zorder=3)
    hollow = _markers(axes, trained, [row.train_s or 0.0 for row in trained], "D", 12 if small else 26)
    hollow.set(gid="training", facecolor=CARD, edgecolor=TRAINING, linewidth=0.8 if small else 1.1, label="training", zorder=2)


def _markers(axes: Axes, group: Sequence[Row], seconds: Sequence[float], marker: str, area: float) -> PathCollection:
    return axes.scatter([row.parameters or 0 for row in group], seconds, s=area, marker=marker)


def _label_points(figure: Figure, axes: Axes, group: Sequence[Row]) -> int:
    """Writes block names beside their forward markers where nothing is overlapped; returns how many find no room."""
    FigureCanvasAgg(figure)  # becomes the canvas of the figure
    figure.draw_without_rendering()  # applies the layout
    figure.set_layout_engine("none")
    named = group if len(group) <= MAX_LABELS else pareto_front(group)
    texts = [
        axes.annotate(shorten(row.block), _point(row), (0, 0), textcoords="offset points", fontsize=8, va="center")
        for row in named
    ]
    extents = [text.get_window_extent() for text in texts]
    centres = axes.transData.transform([_point(row) for row in named])
    labels = [Label(x, y, extent.width + 2, extent.height) for (x, y), extent in zip(centres, extents, strict=True)]
    positions = place_labels(labels, _occupied(axes, group), Box(*axes.bbox.extents))
    for text, label, position in zip(texts, labels, positions, strict=True):
        if position is None:
            text.remove()
        else:
            _move(axes, text, label, position)
    return positions.count(None)


def _move(axes: Axes, text: Annotation, label: Label, position: Position) -> None:
    """Moves a label to its position, and draws the line to its marker."""
    box = position.box
    text.set_position((box.left + 1 - label.x, (box.bottom + box.top) / 2 - label.y))
    if position.leader_end:
        line = axes.transData.inverted().transform([(label.x, label.y), position.leader_end])
        axes.plot(*line.T, color=SOFT, linewidth=0.6, zorder=1.5)


def _point(row: Row) -> tuple[float, float]:
    return row.parameters or 0, row.forward_s or 0.0


def _occupied(axes: Axes, group: Sequence[Row]) -> list[Box]:
    """The areas of the markers and of the lines between them."""
    boxes = []
    for row in group:
        x, y = axes.transData.transform(_point(row))
        boxes.append(marker_box(x, y))
        if row.train_s:
            top = axes.transData.transform((row.parameters or 0, row.train_s))[1]
            boxes.append(marker_box(x, top))
            if len(group) <= MAX_LABELS:
                boxes.append(Box(x - 1, min(y, top), x + 1, max(y, top)))
    return boxes


def pareto_front(group: Sequence[Row]) -> list[Row]:
    """The blocks for which no other is both smaller and faster; `group` is sorted by time."""
    front: list[Row] = []
    for row in group:
        if not front or (row.parameters or 0) < (front[-1].parameters or 0):
            front.append(row)
    return front


def _tooltip(row: Row, mode: str, seconds: float | None) -> str:
    return f"{row.block}\n{format_quantity(row.parameters)} parameters\n{mode} {format_quantity(seconds, 's')}"


def _note(group: Sequence[Row], unlabelled: int) -> str:
    """Says which names are left out."""
    notes = []
    if len(group) > MAX_LABELS:
        notes.append(f"{len(group)} blocks. Only the Pareto front is named: no other block is both smaller and faster.")
    if unlabelled:
        notes.append(f"{unlabelled} {'names have' if unlabelled > 1 else 'name has'} no room.")
    return " ".join([*notes, "Point at a marker for its name."] if notes else [])
