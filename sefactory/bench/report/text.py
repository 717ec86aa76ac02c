"""Names as text of a plot."""

import unicodedata

MAX_LENGTH = 36
TAIL = 14


def shorten(name: str) -> str:
    """A name of at most 36 characters that can be drawn: a longer one has "…" in the middle, because changes stand at its end.

    >>> shorten("unit mean/mlp/sigmoid"), shorten("cbam let.r=8 series.spatial.excite.0.conv.kernel=3")
    ('unit mean/mlp/sigmoid', 'cbam let.r=8 series.s….conv.kernel=3')
    """
    printable = "".join("\ufffd" if unicodedata.category(letter).startswith("C") else letter for letter in name)
    return printable if len(printable) <= MAX_LENGTH else f"{printable[: MAX_LENGTH - TAIL - 1]}…{printable[-TAIL:]}"
