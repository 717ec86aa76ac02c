"""What a user's mistake becomes: where it is, what was given, what is allowed, the nearest match."""

import json
from collections.abc import Iterable
from difflib import get_close_matches

MAX_FAULTS = 20
MAX_LISTED = 40
MAX_SHOWN = 60
SYNONYMS = {
    "avg": "mean",
    "average": "mean",
    "variance": "var",
    "gap": "mean",
    "mul": "multiply",
    "plus": "add",
    "add": "sum",
    "cat": "concat",
}


class InvalidValue(ValueError):
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
        lines = [f"{path}: {text}" for path, text in self.faults[:MAX_FAULTS]]
        more = len(self.faults) - len(lines)
        return "\n".join([*lines, f"and {more} more"] if more else lines)


def did_you_mean(word: str, allowed: Iterable[str]) -> str:
    """`; did you mean 'x'?`, or nothing where no allowed word is near.

    >>> did_you_mean("senett", ["senet", "sknet"])
    "; did you mean 'senet'?"
    """
    found = closest_match(word, allowed)
    return f"; did you mean {found!r}?" if found else ""


def closest_match(word: str, allowed: Iterable[str]) -> str | None:
    """The allowed word that is nearest to a word, if one is near.

    >>> closest_match("AVG", ["mean", "max"]), closest_match("zzz", ["mean", "max"])
    ('mean', None)
    """
    options = list(allowed)
    lower = word[:MAX_SHOWN].lower()
    if SYNONYMS.get(lower) in options:
        return SYNONYMS[lower]
    close = get_close_matches(word[:MAX_SHOWN], options, n=1) or get_close_matches(lower, options, n=1)
    return close[0] if close else None


def join_words(items: Iterable[str]) -> str:
    """`a, b, c`, cut where there are many, or `nothing`."""
    listed = list(items)
    more = len(listed) - MAX_LISTED
    return ", ".join(listed[:MAX_LISTED] + ([f"and {more} more"] if more > 0 else [])) or "nothing"


def short_repr(value: object) -> str:
    """The value as a user wrote it, cut where it is long.

    >>> short_repr("a"), short_repr(["x", True]), short_repr("x" * 100)[-8:], short_repr(None)
    ("'a'", '["x", true]', "xxxx...'", 'null')
    """
    try:
        plain = isinstance(value, bool | list | dict) or value is None
        text = json.dumps(value, ensure_ascii=False) if plain else repr(value)
    except (TypeError, ValueError, RecursionError):
        text = type(value).__name__
    return text if len(text) <= MAX_SHOWN else f"{text[:50]}...{text[-1]}"


def choice_message(value: object, choices: Iterable[str]) -> str:
    """The value, the choices it has, and the nearest of them.

    >>> choice_message("avg", ["mean", "max"])
    "'avg'; allowed: one of mean, max; did you mean 'mean'?"
    """
    listed = list(choices)
    return f"{short_repr(value)}; allowed: one of {join_words(listed)}{did_you_mean(str(value), listed)}"
