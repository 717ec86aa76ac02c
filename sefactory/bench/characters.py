"""Text in an encoding that lacks some of its characters: "×" becomes "x", "±" becomes "+-"."""

import codecs

SUBSTITUTES = {
    "×": "x",
    "±": "+-",
    "µ": "u",
    "μ": "u",
    "…": "...",
    "–": "-",
    "—": "-",
    "→": "->",
    "≤": "<=",
    "≥": ">=",
    "≈": "~",
    "·": ".",
    "∞": "inf",
    "‘": "'",
    "’": "'",
    "“": '"',
    "”": '"',
    "─": "-",
    "━": "-",
    "│": "|",
    "├": "|",
    "└": "`",
    "•": "*",
    "\N{NO-BREAK SPACE}": " ",
}
HANDLER = "sefactory.substitute"
"""The error handler of this module, for the argument `errors` of a stream."""


def encodable(text: str, encoding: str) -> str:
    """The text with a substitute for each character that an encoding lacks: known ones by look, others by their code.

    >>> encodable("×1.55 ±0.03 µs é", "ascii"), encodable("±1 …", "latin-1"), encodable("±é", "utf-8")
    ('x1.55 +-0.03 us \\\\xe9', '±1 ...', '±é')
    """
    return text.encode(encoding, HANDLER).decode(encoding)


def _substitute(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    found = error.object[error.start : error.end]
    return "".join(SUBSTITUTES.get(c) or c.encode("ascii", "backslashreplace").decode() for c in found), error.end


codecs.register_error(HANDLER, _substitute)
