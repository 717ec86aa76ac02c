"""The words of an unfinished command line, as shells split it."""

from typing import NamedTuple

QUOTES = "'\""
LEFT_IN = "@"
"""The character of COMP_WORDBREAKS that readline leaves in the word that it completes."""


class ShellLine(NamedTuple):
    """The words of a line up to the cursor, without their quotes.

    `kept` is the number of characters of the last one that the shell keeps: bash completes from the
    last character of COMP_WORDBREAKS, or from the quote that is open, and not the whole word.
    """

    parts: list[str]
    kept: int


def split_line(line: str, word_breaks: str) -> ShellLine:
    """The words of a line whose last word, perhaps empty, is unfinished.

    >>> split_line("sefactory show 'block={a: b}' blocks=[se", "=:")
    ShellLine(parts=['sefactory', 'show', 'block={a: b}', 'blocks=[se'], kept=7)
    """
    words, kept, quote, is_escaped = [""], 0, "", False
    for mark in line:
        if is_escaped or (quote and mark not in (quote, "\\")) or (quote == "'" and mark == "\\"):
            words[-1] += mark
            is_escaped = False
        elif mark == "\\":
            is_escaped = True
        elif mark in QUOTES:
            quote = "" if quote else mark
            kept = len(words[-1]) if quote else kept
        elif mark in " \t\n":
            if words[-1]:
                words.append("")
            kept = 0
        else:
            words[-1] += mark
            kept = len(words[-1]) - (mark == LEFT_IN) if mark in word_breaks else kept
    return ShellLine(words, kept)
