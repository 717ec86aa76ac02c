"""How a user's mistake is reported: where it is, what was given, what is allowed, and the nearest match."""

import json
from collections.abc import Iterable

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
    """A value that is not allowed. It has no location yet: the caller adds one and raises ConfigError."""


class ConfigError(ValueError):
    """Faults in a config: one line each, `location: text`.

    `faults` holds all (location, text) pairs; `path` is the location of the first.
    """

    def __init__(self, faults: Iterable[tuple[str, str]]) -> None:
        self.faults = tuple(faults)
        super().__init__(self.faults)

    @property
    def path(self) -> str:
        """The file of the first fault, and its path in the config."""
        return self.faults[0][0]

    def __str__(self) -> str:
        lines = [f"{path}: {text}" for path, text in self.faults[:MAX_FAULTS]]
        more = len(self.faults) - len(lines)
        return "\n".join([*lines, f"and {more} more"] if more else lines)


def first_line(error: BaseException) -> str:
    """The first line of an error's message that is not empty, at most 200 characters; the error's type if there is none."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:200] if lines else type(error).__name__


def did_you_mean(word: str, allowed: Iterable[str]) -> str:
    """Returns `; did you mean 'x'?`, or an empty text if no allowed word is close.

    >>> did_you_mean("senett", ["senet", "sknet"])
    "; did you mean 'senet'?"
    """
    match = closest_match(word, allowed)
    return f"; did you mean {match!r}?" if match else ""


def closest_match(word: str, allowed: Iterable[str]) -> str | None:
    """Returns the allowed word closest to a word, or None if none is close.

    >>> closest_match("AVG", ["mean", "max"]), closest_match("zzz", ["mean", "max"])
    ('mean', None)
    """
    options = list(allowed)
    lower = word[:MAX_SHOWN].lower()
    if SYNONYMS.get(lower) in options:
        return SYNONYMS[lower]
    from difflib import get_close_matches  # only messages need it

    matches = get_close_matches(word[:MAX_SHOWN], options, n=1) or get_close_matches(lower, options, n=1)
    return matches[0] if matches else None


def join_words(items: Iterable[str]) -> str:
    """Returns `a, b, c`, truncated if there are more than 40, or `nothing`."""
    listed = list(items)
    more = len(listed) - MAX_LISTED
    return ", ".join(listed[:MAX_LISTED] + ([f"and {more} more"] if more > 0 else [])) or "nothing"


def short_repr(value: object) -> str:
    """Returns the value as a user writes it in YAML, truncated if it is long.

    >>> short_repr("a"), short_repr(["x", True]), short_repr("x" * 100)[-8:], short_repr(None)
    ("'a'", '["x", true]', "xxxx...'", 'null')
    """
    try:
        is_json = isinstance(value, bool | list | dict) or value is None
        text = json.dumps(value, ensure_ascii=False) if is_json else repr(value)
    except (TypeError, ValueError, RecursionError):
        text = type(value).__name__
    return text if len(text) <= MAX_SHOWN else f"{text[:50]}...{text[-1]}"


def choice_message(value: object, choices: Iterable[str]) -> str:
    """Returns the value, the allowed choices and the closest one, for a message.

    >>> choice_message("avg", ["mean", "max"])
    "'avg'; allowed: one of mean, max; did you mean 'mean'?"
    """
    listed = list(choices)
    return f"{short_repr(value)}; allowed: one of {join_words(listed)}{did_you_mean(str(value), listed)}"


def one_line(error: ConfigError) -> str:
    """All faults of an error in one line.

    >>> one_line(ConfigError([("a", "is wrong"), ("b", "is missing")]))
    'a: is wrong; b: is missing'
    """
    return "; ".join(f"{path}: {text}" for path, text in error.faults)
