"""The two plots of report.html as SVG: time against parameters, and the forward time split by operator."""

import io
import warnings
from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle
from math import ceil
from typing import Any, NamedTuple

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

from .columns import format_quantity
from .results import Row, group_by_shape

MAX_LABELS = 16  # with more blocks only those on the Pareto front of time and parameters are labelled
MAX_BARS = 24  # with more blocks the title says how many are shown
MAX_NAME_LENGTH = 36
OTHER, OUTSIDE = "other operators", "outside the operators"
COLORS = ("#3b6fb6", "#e0873a", "#4f9d69", "#c8504b", "#8467b0", "#7d5a4f", "#cf78ac", "#a3a53a", "#41a5b8", "#1f3a5f")
OTHER_COLOR, OUTSIDE_COLOR, TEXT_COLOR = "#9aa3ad", "#d5d9de", "#5b6470"
LABEL_STYLE: dict[str, Any] = {"textcoords": "offset points", "va": "center", "fontsize": 8}
STYLE: dict[Any, Any] = {  # matplotlib types its keys, differently from version to version
    "svg.fonttype": "none",
    "figure.constrained_layout.wspace": 0.05,
    "svg.hashsalt": "sefactory",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial"],
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "text.parse_math": False,  # a name may hold a dollar sign
}


# ---- Time against parameters ----------------------------------------------------------------------------------------


def time_against_parameters(rows: Sequence[Row]) -> str:
    """SVG with log-log axes for each shape: forward (filled) and training (hollow) time by parameters; "" without times."""
    groups = group_by_shape(row for row in rows if row.forward_s is not None and row.parameters is not None)
    if not groups:
        return ""
    colors = dict(zip(dict.fromkeys(row.block for row in rows), cycle(COLORS), strict=False))
    with rc_context(STYLE):
        figure, all_axes = subplots(len(groups), height=3.4)
        for axes, (shape, group) in zip(all_axes, groups.items(), strict=True):
            _scatter(axes, group, colors)
            axes.set(title=shape, xlabel="parameters", ylabel="time")
        return to_svg(figure)


def _scatter(axes: Axes, group: Sequence[Row], colors: Mapping[str, str]) -> None:
    """Draws forward and training time over the number of parameters, one line for each block."""
    if all(row.parameters for row in group):
        axes.set_xscale("log")
    else:  # 0 parameters have no logarithm: a symlog axis is linear below 1
        axes.set_xscale("symlog", linthresh=1)
    axes.set_yscale("log")
    for row in group:
        x, color = row.parameters or 0, colors[row.block]
        if row.train_s is not None:
            axes.plot([x, x], [row.forward_s or 0.0, row.train_s], color=color, linewidth=0.8, alpha=0.5)
            axes.plot([x], [row.train_s], "o", color=color, markerfacecolor="white", markersize=5)
        axes.plot([x], [row.forward_s or 0.0], "o", color=color, markersize=6)
    axes.margins(0.22, 0.12)
    axes.set_xlim(left=max(axes.get_xlim()[0], -0.6))
    axes.grid(True, color="#e6e9ed", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.xaxis.set_major_formatter(EngFormatter())
    axes.yaxis.set_major_formatter(EngFormatter("s"))
    set_log_ticks(axes.yaxis)
    _label_points(axes, group, colors)


def _label_points(axes: Axes, group: Sequence[Row], colors: Mapping[str, str]) -> None:
    """Writes block names beside the forward markers, so that no label covers another or a marker."""
    to_pixels, dpi = axes.transData.transform, axes.figure.dpi
    points = [(row.parameters or 0, seconds) for row in group for seconds in (row.forward_s, row.train_s) if seconds]
    occupied = [Box(x - 4, x + 4, y) for x, y in map(to_pixels, points)]
    for row in group if len(group) <= MAX_LABELS else pareto_front(group):
        label, point = shorten(row.block), (row.parameters or 0, row.forward_s or 0.0)
        x, y = to_pixels(point)
        shift, side = place_label(x, y, 6.5 * len(label) * dpi / 100, occupied, axes.bbox.x1)
        offset, align = (7 * side, shift * 72 / dpi), "left" if side > 0 else "right"
        axes.annotate(label, point, xytext=offset, ha=align, color=colors[row.block], **LABEL_STYLE)


class Box(NamedTuple):
    """The area of a label or marker in pixels: left and right end, and middle height."""

    left: float
    right: float
    y: float


def place_label(x: float, y: float, length: float, occupied: list[Box], right_limit: float) -> tuple[float, int]:
    """The vertical shift in pixels and the side (1 right, -1 left) at which a label beside (x, y) covers no box.

    The box of the label is added to `occupied`. The result is (0, 1) if there is no free position.
    """
    for shift in (0.0, 6.0, -6.0, 12.0, -12.0, 18.0, -18.0, 24.0, -24.0):
        for side in (1, -1):
            left, right = sorted((x + 8 * side, x + (8 + length) * side))
            overlaps = any(left < box.right and right > box.left and abs(y + shift - box.y) < 11 for box in occupied)
            if not overlaps and right <= right_limit:
                occupied.append(Box(left, right, y + shift))
                return shift, side
    return 0.0, 1


def pareto_front(group: Sequence[Row]) -> list[Row]:
    """The blocks for which no other is both smaller and faster; `group` is sorted by time."""
    front: list[Row] = []
    for row in group:
        if not front or (row.parameters or 0) < (front[-1].parameters or 0):
            front.append(row)
    return front


# ---- Forward time by operator ---------------------------------------------------------------------------------------


def cost_split(rows: Sequence[Row]) -> str:
    """SVG with axes for each shape: the forward time of every block split by operator, as shares; "" without a split.

    Grey is the time outside the operators (applying gates, fusing branches): the measured time less their sum.
    """
    groups = group_by_shape(row for row in rows if row.forward_s and row.split)
    if not groups:
        return ""
    titles = {shape: _bars_title(shape, len(group)) for shape, group in groups.items()}
    groups = {shape: group[:MAX_BARS] for shape, group in groups.items()}
    colors = _operator_colors(row for group in groups.values() for row in group)
    with rc_context(STYLE):
        most_bars = max(len(group) for group in groups.values())
        figure, all_axes = subplots(len(groups), height=0.8 + 0.27 * most_bars)
        for axes, (shape, group) in zip(all_axes, groups.items(), strict=True):
            _bars(axes, group, colors)
            axes.set(title=titles[shape], xlim=(0, 1), ylim=(most_bars - 0.4, -0.6), xticks=[])
            axes.spines[["left", "bottom"]].set_visible(False)
        patches = [Patch(color=color, label=name) for name, color in colors.items()]
        figure.legend(handles=patches, loc="outside lower center", ncols=min(6, len(patches)), frameon=False, fontsize=8)
        return to_svg(figure)


def _bars_title(shape: str, count: int) -> str:
    return shape if count <= MAX_BARS else f"{shape}: the {MAX_BARS} fastest of {count}"


def _bars(axes: Axes, group: Sequence[Row], colors: Mapping[str, str]) -> None:
    for y, row in enumerate(group):
        left = 0.0
        for name, share in time_shares(row, colors).items():
            axes.barh(y, share, left=left, height=0.68, color=colors[name], edgecolor="white", linewidth=0.6)
            left += share
        time = format_quantity(row.forward_s or 0.0, "s")
        axes.annotate(time, (1, y), xytext=(5, 0), color=TEXT_COLOR, annotation_clip=False, **LABEL_STYLE)
    axes.set_yticks(range(len(group)), [shorten(row.block) for row in group])
    axes.tick_params(axis="y", length=0)


def time_shares(row: Row, names: Iterable[str]) -> dict[str, float]:
    """The share of the forward time by name; operators that have no name here count as `OTHER`. The shares add up to 1.

    Timing the operators takes time itself, so that their sum can exceed the forward time. `OUTSIDE` is then 0.
    """
    seconds = dict.fromkeys(names, 0.0)
    for name, operator_s in row.split.items():
        seconds[name if name in seconds else OTHER] += operator_s
    seconds[OUTSIDE] = max(0.0, (row.forward_s or 0.0) - sum(row.split.values()))
    total = sum(seconds.values())
    return {name: share_s / total for name, share_s in seconds.items()}


def _operator_colors(rows: Iterable[Row]) -> dict[str, str]:
    """A color for each of the operators that take most of the time, for all others together, and for the rest."""
    totals: dict[str, float] = {}
    for row in rows:
        for name, operator_s in row.split.items():  # shares, because seconds would favour the slowest shape
            totals[name] = totals.get(name, 0.0) + operator_s / (row.forward_s or 1.0)
    names = sorted(totals, key=lambda name: -totals[name])
    other = {OTHER: OTHER_COLOR} if len(names) > len(COLORS) else {}
    return dict(zip(names, COLORS, strict=False)) | other | {OUTSIDE: OUTSIDE_COLOR}


# ---- What both plots share -------------------------------------------------------------------------------------------


def shorten(name: str) -> str:
    """A name of at most 36 characters; a longer one ends in "…"."""
    return name if len(name) <= MAX_NAME_LENGTH else name[: MAX_NAME_LENGTH - 1] + "…"


def subplots(count: int, height: float) -> tuple[Figure, list[Axes]]:
    """A figure of `count` axes in two columns, each of this height in inches."""
    rows, columns = ceil(count / 2), min(2, count)
    figure = Figure(figsize=(10, height * rows + 0.5), layout="constrained", dpi=100)
    return figure, [figure.add_subplot(rows, columns, i + 1) for i in range(count)]


def set_log_ticks(axis: Axis) -> None:
    """Puts ticks at 1, 2 and 5 of each decade if the axis spans less than two decades, else at the decades."""
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < 100 * low else (1.0,)))
    axis.set_minor_formatter(NullFormatter())


def to_svg(figure: Figure) -> str:
    """The figure as an <svg> element. It has no prolog and no metadata, and so no reference to another site."""
    text = io.StringIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the font of this machine may lack a glyph; the browser draws the text
        figure.savefig(text, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    svg = text.getvalue()
    return svg[svg.index("<svg") :]
