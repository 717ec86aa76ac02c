"""The numbers of a report as people read them, and its plots as SVG."""

import io
import warnings
from collections.abc import Iterable, Sequence
from math import ceil
from typing import TYPE_CHECKING, Any

from .benchmark import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

COLOURS = ("#3b6fb6", "#e0873a", "#4f9d69", "#c8504b", "#8467b0", "#7d5a4f", "#cf78ac", "#a3a53a", "#41a5b8", "#1f3a5f")
REST = "#d5d9de"
LABELLED = 16  # a panel with more blocks names only those that no other block beats in both time and size
BARS = 24  # a panel with more says whose it shows; a sweep draws this anew after every job
STYLE: dict[Any, Any] = {  # matplotlib types its keys, differently from version to version
    "svg.fonttype": "none",
    "figure.constrained_layout.wspace": 0.05,
    "svg.hashsalt": "sefactory",
    "font.family": ["sans-serif"],
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial"],
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#8a929c",
    "axes.titlesize": 10.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "xtick.color": "#5b6470",
    "ytick.color": "#5b6470",
    "text.parse_math": False,  # a name may hold a dollar sign
}


def compact(value: float, unit: str = "") -> str:
    """Three figures and a decimal prefix, e.g. 1.23 M; whole numbers below a million in full, e.g. 8,464.

    >>> compact(8464), compact(1_234_000), compact(12_845_056, "B"), compact(0.00342, "s"), compact(0.0, "s")
    ('8,464', '1.23 M', '12.8 MB', '3.42 ms', '0 s')
    """
    if value == 0 or (not unit and float(value).is_integer() and abs(value) < 1e6):
        return f"{value:,.0f} {unit}".rstrip()
    prefix, factor = _prefix(value)
    return f"{figures(value / factor)} {prefix}{unit}".rstrip()


def spread(seconds: float, iqr: float) -> str:
    """A time and half its interquartile range, in one unit.

    >>> spread(0.00342, 0.0002)
    '3.42 ±0.10 ms'
    """
    prefix, factor = _prefix(seconds)
    text = figures(seconds / factor)
    decimals = len(text.partition(".")[2])
    return f"{text} ±{iqr / 2 / factor:.{decimals}f} {prefix}s"


def figures(value: float) -> str:
    """Three significant figures, without an exponent."""
    decimals = 2 if abs(value) < 9.995 else 1 if abs(value) < 99.95 else 0
    return f"{value:,.{decimals}f}"


def _prefix(value: float) -> tuple[str, float]:
    for prefix, factor in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3), ("", 1.0), ("m", 1e-3), ("µ", 1e-6)):
        if abs(value) >= 0.9995 * factor:
            return prefix, factor
    return "n", 1e-9


def by_shape(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Rows of each shape in the order the shapes came, the fastest forward first, those without one last."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.shape, []).append(row)
    return {shape: sorted(group, key=_forward) for shape, group in groups.items()}


def _forward(row: Row) -> float:
    return float("inf") if row.forward_s is None else row.forward_s


def time_against_parameters(rows: Sequence[Row]) -> str:
    """SVG, a log-log panel per shape: forward (filled) and training (hollow) time by parameters; "" without rows."""
    from matplotlib import rc_context

    shapes = by_shape(row for row in rows if row.forward_s is not None and row.parameters is not None)
    if not shapes:
        return ""
    colours = _colours(row.block for row in rows)
    with rc_context(STYLE):
        figure, panels = _panels(len(shapes), height=3.4)
        for panel, (shape, group) in zip(panels, shapes.items(), strict=True):
            _scatter(panel, group, colours)
            panel.set(title=shape, xlabel="parameters", ylabel="time")
        return _svg(figure)


def _scatter(panel: "Axes", group: Sequence[Row], colours: dict[str, str]) -> None:
    from matplotlib.ticker import FuncFormatter

    sizes = [_size(row) for row in group]
    # a block without parameters has no logarithm: zero gets a place of its own left of one
    if min(sizes) > 0:
        panel.set_xscale("log")
    else:
        panel.set_xscale("symlog", linthresh=1)
    panel.set_yscale("log")
    for row, size in zip(group, sizes, strict=True):
        colour, forward, train = colours[row.block], row.forward_s or 0.0, row.train_s
        if train is not None:
            panel.plot([size, size], [forward, train], color=colour, linewidth=0.8, alpha=0.5)
            panel.plot([size], [train], "o", color=colour, markerfacecolor="white", markersize=5)
        panel.plot([size], [forward], "o", color=colour, markersize=6)
    panel.margins(0.22, 0.12)
    panel.set_xlim(left=max(panel.get_xlim()[0], -0.6))
    panel.grid(True, color="#e6e9ed", linewidth=0.7)
    panel.set_axisbelow(True)
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _round(value)))
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _round(value, "s")))
    _ticks(panel.yaxis)
    _name_points(panel, group, colours)


def _name_points(panel: "Axes", group: Sequence[Row], colours: dict[str, str]) -> None:
    """Names beside the forward markers, where they lie neither on one another nor on a marker."""
    pixels = panel.transData.transform
    spots = [(_size(row), seconds) for row in group for seconds in (row.forward_s, row.train_s) if seconds]
    taken = [(x - 4, x + 4, y) for x, y in map(pixels, spots)]
    for row in group if len(group) <= LABELLED else _front(group):
        name = _short(row.block)
        x, y = pixels((_size(row), row.forward_s or 0.0))
        shift, side = _free_place(x, y, 6.5 * len(name) * panel.figure.dpi / 100, taken, panel.bbox.x1)
        panel.annotate(
            name,
            (_size(row), row.forward_s or 0.0),
            xytext=(7 * side, shift * 72 / panel.figure.dpi),
            textcoords="offset points",
            ha="left" if side > 0 else "right",
            va="center",
            color=colours[row.block],
            fontsize=8,
        )


def _free_place(x: float, y: float, length: float, taken: list[tuple[float, float, float]], border: float) -> tuple[float, int]:
    """Shift upwards in pixels, and side (1 right, -1 left), of a text beside (x, y) that meets nothing `taken`.

    What is taken are left, right and middle height of each; the chosen place is added.
    """
    for shift in (0.0, 6.0, -6.0, 12.0, -12.0, 18.0, -18.0, 24.0, -24.0):
        for side in (1, -1):
            left, right = sorted((x + 8 * side, x + (8 + length) * side))
            meets = any(left < other[1] and right > other[0] and abs(y + shift - other[2]) < 11 for other in taken)
            if not meets and right <= border:
                taken.append((left, right, y + shift))
                return shift, side
    return 0.0, 1


def _size(row: Row) -> int:
    return row.parameters or 0


def _front(group: Sequence[Row]) -> list[Row]:
    """The blocks that no other is both smaller and faster than; `group` is sorted by time."""
    front: list[Row] = []
    for row in group:
        if not front or _size(row) < _size(front[-1]):
            front.append(row)
    return front


def _round(value: float, unit: str = "") -> str:
    """The text of a tick: 1, 2 or 5 of some unit."""
    if value <= 0:  # left of one, a linear axis holds zero, and margin
        return "" if value else "0"
    prefix, factor = _prefix(value)
    return f"{value / factor:g} {prefix}{unit}".rstrip()


def _ticks(axis: "Axis") -> None:
    """Labels at 1, 2 and 5 of each decade where the axis is shorter than two, else at the decades."""
    from matplotlib.ticker import LogLocator, NullFormatter

    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < 100 * low else (1.0,)))
    axis.set_minor_formatter(NullFormatter())


def cost_split(rows: Sequence[Row]) -> str:
    """SVG, a panel for each shape: every block's forward time split by operator, as shares; "" without any.

    What lies outside the operators (gates applied, branches fused) is grey: the measured time less their sum.
    """
    from matplotlib import rc_context

    shapes = by_shape(row for row in rows if row.forward_s and row.split)
    if not shapes:
        return ""
    titles = {shape: _of_so_many(shape, len(group)) for shape, group in shapes.items()}
    shapes = {shape: group[:BARS] for shape, group in shapes.items()}
    operators = _main_operators(row for group in shapes.values() for row in group)
    with rc_context(STYLE):
        tallest = max(len(group) for group in shapes.values())
        figure, panels = _panels(len(shapes), height=0.8 + 0.27 * tallest)
        for panel, (shape, group) in zip(panels, shapes.items(), strict=True):
            _bars(panel, group, operators)
            panel.set(title=titles[shape], xlim=(0, 1), ylim=(tallest - 0.4, -0.6), xticks=[])
            panel.spines[["left", "bottom"]].set_visible(False)
        _legend(figure, operators)
        return _svg(figure)


def _of_so_many(shape: str, count: int) -> str:
    return shape if count <= BARS else f"{shape}: the {BARS} fastest of {count}"


def _bars(panel: "Axes", group: Sequence[Row], operators: dict[str, str]) -> None:
    for place, row in enumerate(group):
        shares = _shares(row, operators)
        left = 0.0
        for name, share in shares.items():
            panel.barh(place, share, left=left, height=0.68, color=operators[name], edgecolor="white", linewidth=0.6)
            left += share
        panel.annotate(
            compact(row.forward_s or 0.0, "s"),
            (1, place),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            color="#5b6470",
            fontsize=8,
            annotation_clip=False,
        )
    panel.set_yticks(range(len(group)), [_short(row.block) for row in group])
    panel.tick_params(axis="y", length=0)


def _shares(row: Row, operators: dict[str, str]) -> dict[str, float]:
    """Fractions of the forward time by operator; hooks cost time too, so that the sum may be the longer of the two."""
    seconds = dict.fromkeys(operators, 0.0)
    for name, spent in row.split.items():
        seconds[name if name in operators else "other operators"] += spent
    seconds["outside the operators"] = max(0.0, (row.forward_s or 0.0) - sum(row.split.values()))
    total = sum(seconds.values())
    return {name: spent / total for name, spent in seconds.items()}


def _main_operators(rows: Iterable[Row]) -> dict[str, str]:
    """The operators that take most, by colour, and the two kinds of rest."""
    totals: dict[str, float] = {}
    for row in rows:
        for name, spent in row.split.items():  # shares, or the slowest shape alone would choose
            totals[name] = totals.get(name, 0.0) + spent / (row.forward_s or 1.0)
    names = sorted(totals, key=lambda name: -totals[name])
    colours = dict(zip(names, COLOURS, strict=False))
    rest = {"other operators": "#9aa3ad"} if len(names) > len(COLOURS) else {}
    return colours | rest | {"outside the operators": REST}


def _legend(figure: "Figure", operators: dict[str, str]) -> None:
    from matplotlib.patches import Patch

    patches = [Patch(color=colour, label=name) for name, colour in operators.items()]
    figure.legend(handles=patches, loc="outside lower center", ncols=min(6, len(patches)), frameon=False, fontsize=8)


def _short(name: str) -> str:
    return name if len(name) <= 36 else name[:35] + "…"


def _colours(names: Iterable[str]) -> dict[str, str]:
    """One colour per name, in order of appearance."""
    return {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(dict.fromkeys(names))}


def _panels(count: int, height: float) -> "tuple[Figure, list[Axes]]":
    """A figure of `count` panels, two beside each other, each of the height in inches."""
    from matplotlib.figure import Figure

    columns = min(2, count)
    figure = Figure(figsize=(10, height * ceil(count / 2) + 0.5), layout="constrained", dpi=100)
    return figure, [figure.add_subplot(ceil(count / 2), columns, place + 1) for place in range(count)]


def _svg(figure: "Figure") -> str:
    """The figure as an <svg> element: no prolog, no document type, no metadata, so no reference to another site."""
    page = io.StringIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a glyph that this machine's font lacks: the reader's browser draws the text
        figure.savefig(page, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    text = page.getvalue()
    return text[text.index("<svg") :]
