"""The forward time of each block as shares of its operators, for the bars of a report."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ..columns import format_quantity
from ..results import Row, group_by_shape

MAX_BARS = 24  # of more blocks the fastest are shown
MIN_BAR_WIDTH, LETTER_WIDTH = 420, 6.6  # pixels, to tell which names fit into their segment
OTHER, OUTSIDE = "other operators", "outside the nodes"
FILLS = ("#56b4e9", "#e69f00", "#009e73", "#f0e442", "#d55e00", "#cc79a7", "#0072b2")
"""The palette of Okabe and Ito, which colorblind readers can tell apart."""
DARK_FILLS = {"#0072b2"}  # with white text
OTHER_FILL, OUTSIDE_FILL = "#8b95a1", "url(#outside)"


class Segment(NamedTuple):
    """The part of a bar for one operator: its two ends as shares of the bar, and its name if there is room for it."""

    fill: str
    ink: str
    start: float
    share: float
    name: str
    label: str
    tooltip: str


class Bar(NamedTuple):
    """The forward time of one block."""

    block: str
    time: str
    segments: list[Segment]


class BarChart(NamedTuple):
    """The bars of one input shape, and which blocks they are."""

    shape: str
    note: str
    bars: list[Bar]


def bar_charts(rows: Sequence[Row], fills: Mapping[str, str]) -> list[BarChart]:
    """A chart for each shape that has a split by operator: the fastest blocks first."""
    charts = []
    for shape, group in group_by_shape(row for row in rows if row.forward_s and row.split).items():
        note = "" if len(group) <= MAX_BARS else f"The {MAX_BARS} fastest of {len(group)} blocks."
        bars = [Bar(row.block, format_quantity(row.forward_s, "s"), _segments(row, fills)) for row in group[:MAX_BARS]]
        charts.append(BarChart(shape, note, bars))
    return charts


def _segments(row: Row, fills: Mapping[str, str]) -> list[Segment]:
    segments, start = [], 0.0
    for name, share in time_shares(row, fills).items():
        if share > 0:
            label = name if share * MIN_BAR_WIDTH > LETTER_WIDTH * (len(name) + 1) else ""
            tooltip = f"{name}: {share:.1%}, {format_quantity(share * (row.forward_s or 0.0), 's')}"
            ink = "#ffffff" if fills[name] in DARK_FILLS else "var(--ink)" if name == OUTSIDE else "#10151c"
            segments.append(Segment(fills[name], ink, start, share, name, label, tooltip))
            start += share
    return segments


def time_shares(row: Row, names: Iterable[str]) -> dict[str, float]:
    """The share of the forward time by name; operators that have no name here count as `OTHER`. The shares add up to 1."""
    seconds = dict.fromkeys(names, 0.0)
    for name, operator_s in row.split.items():
        seconds[name if name in seconds else OTHER] += operator_s
    forward_s = row.forward_s or 0.0
    seconds[OUTSIDE] = max(0.0, forward_s - sum(row.split.values()))  # rounding can make it negative
    return {name: share_s / forward_s for name, share_s in seconds.items()}


def operator_fills(rows: Iterable[Row]) -> dict[str, str]:
    """A fill for each of the operators that take most of the time, for all others together, and for the rest.

    Empty if no row has a split.
    """
    totals: dict[str, float] = {}
    for row in rows:
        for name, operator_s in row.split.items():  # shares, because seconds would favour the slowest shape
            totals[name] = totals.get(name, 0.0) + operator_s / (row.forward_s or 1.0)
    names = sorted(totals, key=lambda name: -totals[name])
    other = {OTHER: OTHER_FILL} if len(names) > len(FILLS) else {}
    return dict(zip(names, FILLS, strict=False)) | other | {OUTSIDE: OUTSIDE_FILL} if names else {}
