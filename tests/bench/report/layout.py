"""Finds the texts of a figure that overlap or stand outside of it, from the layout of matplotlib's renderer."""

from collections.abc import Iterator
from itertools import combinations

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

TOLERANCE = 0.5  # points; the renderers of Agg and SVG round differently
MARKER = 2.0  # a label keeps at least this distance in points from the centre of a marker


def layout_faults(figure: Figure) -> list[str]:
    """The texts of a figure that overlap, stand outside of it, or cover a marker."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw_without_rendering()
    boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in _texts(figure) if text.get_text()]
    faults = [f"{a} / {b}" for (a, box), (b, other) in combinations(boxes, 2) if _overlap(box, other)]
    faults += [f"{text} outside" for text, box in boxes if not _contains(figure.bbox, box)]
    for axes in figure.axes:
        faults += _point_label_faults(axes, renderer)
    return faults


def tick_labels(axis: Axis) -> list[str]:
    """The labels of the ticks that can be seen."""
    return [text.get_text() for text in _visible_ticks(axis)]


def _point_label_faults(axes: Axes, renderer: RendererAgg) -> list[str]:
    centres = [centre for marks in axes.collections for centre in axes.transData.transform(marks.get_offsets())]
    markers = [Bbox.from_extents(x - MARKER, y - MARKER, x + MARKER, y + MARKER) for x, y in centres]
    faults = []
    for text in axes.texts:
        box = text.get_window_extent(renderer)
        faults += [f"{text.get_text()} outside of the axes"] if not _contains(axes.bbox, box) else []
        faults += [f"{text.get_text()} covers a marker"] if any(_overlap(box, marker) for marker in markers) else []
    return faults


def _texts(figure: Figure) -> Iterator[Text]:
    for axes in figure.axes:
        assert all(isinstance(marks, PathCollection) for marks in axes.collections)
        yield from _visible_ticks(axes.xaxis)
        yield from _visible_ticks(axes.yaxis)
        yield from (axes.xaxis.label, axes.yaxis.label, axes.title, axes._left_title)  # type: ignore[attr-defined]
        yield from axes.texts
        legend = axes.get_legend()
        yield from legend.get_texts() if legend else ()


def _visible_ticks(axis: Axis) -> Iterator[Text]:
    low, high = sorted(axis.get_view_interval())
    ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
    yield from (tick.label1 for tick in ticks if low <= tick.get_loc() <= high)


def _overlap(box: Bbox, other: Bbox) -> bool:
    width = min(box.x1, other.x1) - max(box.x0, other.x0)
    height = min(box.y1, other.y1) - max(box.y0, other.y0)
    return bool(width > TOLERANCE and height > TOLERANCE)


def _contains(border: Bbox, box: Bbox) -> bool:
    return bool(
        box.x0 >= border.x0 - TOLERANCE
        and box.x1 <= border.x1 + TOLERANCE
        and box.y0 >= border.y0 - TOLERANCE
        and box.y1 <= border.y1 + TOLERANCE
    )
