"""What both plots share: colors, subplots, tick labels, and a figure as an SVG element."""

import io
import warnings
from collections.abc import Iterable
from math import ceil
from typing import Any

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from .formatting import decimal_prefix

COLORS = ("#3b6fb6", "#e0873a", "#4f9d69", "#c8504b", "#8467b0", "#7d5a4f", "#cf78ac", "#a3a53a", "#41a5b8", "#1f3a5f")
MAX_NAME_LENGTH = 36
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


def colors_by_name(names: Iterable[str]) -> dict[str, str]:
    """One color for each name, in order of appearance."""
    return {name: COLORS[i % len(COLORS)] for i, name in enumerate(dict.fromkeys(names))}


def shorten(name: str) -> str:
    """A name of at most 36 characters; a longer one ends in "…"."""
    return name if len(name) <= MAX_NAME_LENGTH else name[: MAX_NAME_LENGTH - 1] + "…"


def subplots(count: int, height: float) -> tuple[Figure, list[Axes]]:
    """A figure of `count` axes in two columns, each of this height in inches."""
    rows, columns = ceil(count / 2), min(2, count)
    figure = Figure(figsize=(10, height * rows + 0.5), layout="constrained", dpi=100)
    return figure, [figure.add_subplot(rows, columns, i + 1) for i in range(count)]


def set_tick_labels(axis: Axis, unit: str = "") -> None:
    """Labels the ticks with decimal prefixes, e.g. "10 k" or "5 ms"."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: _tick_label(value, unit)))


def _tick_label(value: float, unit: str) -> str:
    if value <= 0:  # below 1 a symlog axis is linear: it shows 0 and a margin
        return "" if value else "0"
    prefix, factor = decimal_prefix(value)
    return f"{value / factor:g} {prefix}{unit}".rstrip()


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
