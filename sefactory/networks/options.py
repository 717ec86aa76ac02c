"""The options of an insertion, and what is wrong with them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from ..errors import ConfigError, choice_message, short_repr
from ..shapes import GRIDS
from .holder import Where
from .layouts import LayoutName
from .selectors import SELECTOR, is_selector

Start = Literal["identity", "own"]
Skip = Literal["narrow"]
LAYOUTS = get_args(LayoutName)
CHOICES = {"where": get_args(Where), "start": get_args(Start)}


@dataclass(frozen=True)
class InsertionSpec:
    """The config of a block, the modules that `at` selects for it, and the other options of `insert`.

    Raises ConfigError for an invalid option.
    """

    config: Any
    at: str | Sequence[str]
    where: Where = "after"
    start: Start = "identity"
    overrides: Sequence[str] = ()
    grid: str | None = None
    carry: str | None = None
    layout: LayoutName | None = None
    tokens: int | None = None
    skip: Skip | None = None
    search: Iterable[str | Path] = ()

    def __post_init__(self) -> None:
        faults = option_faults({"where": self.where, "start": self.start, "at": self.at})
        if self.grid is not None and self.grid not in GRIDS:
            faults.append(("grid", choice_message(self.grid, GRIDS)))
        if not isinstance(self.overrides, list | tuple) or not all(isinstance(item, str) for item in self.overrides):
            faults.append(("overrides", f"{short_repr(self.overrides)}; allowed: a list of path=value"))
        if not isinstance(self.carry, str | None):
            faults.append(("carry", f"{short_repr(self.carry)}; allowed: the name of a key map of the config"))
        if self.carry is not None and self.where != "replace":
            faults.append(("carry", f"needs a replaced module; set where to 'replace' instead of {short_repr(self.where)}"))
        if self.layout is not None and self.layout not in LAYOUTS:
            faults.append(("layout", choice_message(self.layout, LAYOUTS)))
        if self.skip is not None and self.skip not in get_args(Skip):
            faults.append(("skip", choice_message(self.skip, get_args(Skip))))
        if self.tokens is not None and (type(self.tokens) is not int or self.tokens < 0):
            faults.append(("tokens", f"{short_repr(self.tokens)}; allowed: the number of class and register tokens, such as 1"))
        if faults:
            raise ConfigError(faults)


def option_faults(options: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(option, message) for each of `where`, `start` and `at` that is given and invalid."""
    faults = [
        (name, choice_message(options[name], choices))
        for name, choices in CHOICES.items()
        if name in options and options[name] not in choices
    ]
    if "at" in options and not is_selector(options["at"]):
        faults.append(("at", f"{short_repr(options['at'])}; allowed: {SELECTOR}"))
    return faults
