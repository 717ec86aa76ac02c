"""The labelled ticks of an axis, for any span."""

import math

from hypothesis import example, given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

from sefactory.bench.report.ticks import MIN_SPAN, axis_range, label_ticks
from tests.bench.report.layout import layout_faults, tick_labels


@settings(deadline=None)  # the first figure is slow
@given(low=st.floats(1e-8, 1e9), span=st.floats(0.0, 6.5), has_zero=st.booleans())
@example(low=1.0, span=math.log10(4.99), has_zero=False)
@example(low=9.5, span=2.0, has_zero=True)
def test_ticks_of_any_span_are_few_and_apart(low: float, span: float, has_zero: bool) -> None:
    values = [low, low * 10**span, *([0.0] if has_zero else [])]
    axes = Figure().add_subplot()
    axis = axis_range(axes.xaxis, values, 0.14)
    assert all(axis.low < value < axis.high for value in values)
    assert 2 <= len(axis.ticks) <= 8 and axis.ticks == sorted(set(axis.ticks))
    assert all(axis.low <= tick <= axis.high for tick in axis.ticks)
    assert has_zero or axis.high / axis.low > 0.999 * MIN_SPAN
    low_end, *positions, high_end = axis.scale.get_transform().transform([axis.low, *axis.ticks, axis.high])
    gaps = [after - before for before, after in zip(positions, positions[1:], strict=False)]
    assert min(gaps) > 0.085 * (high_end - low_end)  # the longest label on the narrowest plot, "250 k", needs less


def test_labels_have_decimal_prefixes() -> None:
    figure = Figure(dpi=72)
    axes = figure.add_subplot()
    axes.set_xscale("log")
    axes.set_xlim(1e3, 1e7)
    label_ticks(axes.xaxis, [1e3, 1e5, 2.5e6], "B")
    assert not layout_faults(figure)
    assert tick_labels(axes.xaxis) == ["1 kB", "100 kB", "2.5 MB"]
