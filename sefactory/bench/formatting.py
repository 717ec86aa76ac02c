"""Numbers and times as text, with three significant figures and a decimal prefix."""

PREFIXES = (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3), ("", 1.0), ("m", 1e-3), ("µ", 1e-6))


def format_quantity(value: float, unit: str = "") -> str:
    """Three significant figures and a decimal prefix; integers below a million without a unit are written in full.

    >>> format_quantity(8464), format_quantity(1_234_000), format_quantity(12_845_056, "B"), format_quantity(0.00342, "s")
    ('8,464', '1.23 M', '12.8 MB', '3.42 ms')
    >>> format_quantity(0.0, "s")
    '0 s'
    """
    if value == 0 or (not unit and float(value).is_integer() and abs(value) < 1e6):
        return f"{value:,.0f} {unit}".rstrip()
    prefix, factor = decimal_prefix(value)
    return f"{format_figures(value / factor)} {prefix}{unit}".rstrip()


def format_time(seconds: float, iqr: float) -> str:
    """A time and half its interquartile range, in one unit.

    >>> format_time(0.00342, 0.0002)
    '3.42 ±0.10 ms'
    """
    prefix, factor = decimal_prefix(seconds)
    text = format_figures(seconds / factor)
    decimals = len(text.partition(".")[2])
    return f"{text} ±{iqr / 2 / factor:.{decimals}f} {prefix}s"


def format_figures(value: float) -> str:
    """Three significant figures, without an exponent."""
    decimals = 2 if abs(value) < 9.995 else 1 if abs(value) < 99.95 else 0
    return f"{value:,.{decimals}f}"


def decimal_prefix(value: float) -> tuple[str, float]:
    """The decimal prefix for a value, and its factor."""
    return next(((prefix, factor) for prefix, factor in PREFIXES if abs(value) >= 0.9995 * factor), ("n", 1e-9))
