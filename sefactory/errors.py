"""What a user's mistake becomes: where it is, what was given, what is allowed, the nearest match."""

from collections.abc import Iterable
from difflib import get_close_matches


class Refused(ValueError):
    """The bare fact, raised where the rule lives; the factory adds the place in the config and raises ConfigError."""


class ConfigError(ValueError):
    """One line a fault, each starting with its place; `path` is the place of the first, `faults` holds them all."""

    def __init__(self, faults: Iterable[tuple[str, str]]) -> None:
        self.faults = tuple(faults)
        super().__init__(self.faults)

    @property
    def path(self) -> str:
        """File and path in the config of the first fault."""
        return self.faults[0][0]

    def __str__(self) -> str:
        return "\n".join(f"{path}: {text}" for path, text in self.faults)


def nearest(word: str, allowed: Iterable[str]) -> str:
    """`; did you mean 'x'?`, or nothing where no allowed word is near.

    >>> nearest("senett", ["senet", "sknet"])
    "; did you mean 'senet'?"
    """
    known = {"avg": "mean", "average": "mean", "gap": "mean", "mul": "multiply", "plus": "add", "cat": "concat"}
    options = list(allowed)
    if known.get(word.lower()) in options:
        return f"; did you mean {known[word.lower()]!r}?"
    close = get_close_matches(word, options, n=1, cutoff=0.6) or get_close_matches(word.lower(), options, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def words(items: Iterable[str]) -> str:
    """`a, b, c`, or `nothing`."""
    return ", ".join(items) or "nothing"


def shown(value: object) -> str:
    """The value as a user wrote it, cut where it is long.

    >>> shown("x" * 100)[-8:], shown(True)
    ("xxxx...'", 'true')
    """
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:50]}...{text[-1]}"
