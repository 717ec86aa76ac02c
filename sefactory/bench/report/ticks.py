"""The scale, the range and the labelled ticks of an axis for values of 0 or more, of any span."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axis import Axis
from matplotlib.scale import LogScale, ScaleBase, SymmetricalLogScale
from matplotlib.ticker import EngFormatter, FixedLocator, LogLocator, MaxNLocator, NullLocator

MIN_SPAN = 1.2  # an axis has at least this ratio of its ends, so that labels need no more than four figures
FEW_STEPS, FEW_DECADES = 5, 100  # below these spans the ticks are multiples of one step, or 1, 2 and 5 of each decade
MAX_TICKS = 6
SPACE_FOR_ZERO = 0.9  # the distance between 0 and the next tick: 1 is a little more than a decade


class AxisRange(NamedTuple):
    """The two ends of an axis, and the values of its labelled ticks."""

    scale: ScaleBase
    low: float
    high: float
    ticks: list[float]


def axis_range(axis: Axis, values: Sequence[float], margin: float) -> AxisRange:
    """A logarithmic axis that shows all values, with at least two ticks.

    `margin` is the free space at each end, as a share of the logarithm of the span. Zeros have no logarithm: with them,
    the axis is linear between 0 and the power of ten below the smallest other value.
    """
    positive = [value for value in values if value > 0] or [1.0]
    low, high = _widen(min(positive), max(positive), margin)
    if min(values) > 0:
        return AxisRange(LogScale(axis), low, high, _ticks(low, high))
    first = 10.0 ** math.floor(math.log10(min(positive)))
    high = max(high, 10 * first)
    ticks = [0.0, *_ticks(first, high)]
    return AxisRange(SymmetricalLogScale(axis, linthresh=first, linscale=SPACE_FOR_ZERO), -first / 2, high, ticks)


def _widen(low: float, high: float, margin: float) -> tuple[float, float]:
    """The ends of an axis around these values: the margin at both ends, and a ratio of at least `MIN_SPAN`."""
    factor = max((high / low) ** margin, math.sqrt(MIN_SPAN * low / high), MIN_SPAN**margin)
    return low / factor, high * factor


def _ticks(low: float, high: float) -> list[float]:
    """The values of two to seven ticks between the ends of a logarithmic axis."""
    if high < FEW_STEPS * low:
        candidates = MaxNLocator(nbins=4, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    else:
        digits = (1.0, 2.0, 5.0) if high < FEW_DECADES * low else (1.0,)
        candidates = LogLocator(subs=digits, numticks=MAX_TICKS).tick_values(low, high)
    return [tick for tick in map(float, candidates) if low <= tick <= high]


def label_ticks(axis: Axis, ticks: Sequence[float], unit: str) -> None:
    """Labels these ticks with decimal prefixes, such as "20 k", and no others."""
    axis.set_major_locator(FixedLocator(list(ticks)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(EngFormatter(unit))
