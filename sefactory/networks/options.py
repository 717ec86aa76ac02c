"""The options of an insertion, and what is wrong with them."""

from collections.abc import Mapping, Sequence
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
CHOICES: dict[str, tuple[str, ...]] = {
    "where": get_args(Where),
    "start": get_args(Start),
    "grid": tuple(GRIDS),
    "layout": get_args(LayoutName),
    "skip": get_args(Skip),
}
OPTIONAL = ("grid", "layout", "skip", "tokens", "carry")
"""The options that may be None."""


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
    search: Sequence[str | Path] = ()
    name: str = ""
    """The name of the block in reports; by default the name of its config."""

    def __post_init__(self) -> None:
        if faults := option_faults(vars(self)):
            raise ConfigError(faults)


def option_faults(options: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(option, message) for each option that is given and invalid."""
    given = {name: value for name, value in options.items() if value is not None or name not in OPTIONAL}
    faults = [
        (name, choice_message(given[name], allowed))
        for name, allowed in CHOICES.items()
        if name in given and given[name] not in allowed
    ]
    overrides, tokens, carry = given.get("overrides", ()), given.get("tokens", 0), given.get("carry", "")
    if "at" in options and not is_selector(options["at"]):
        faults.append(("at", f"{short_repr(options['at'])}; allowed: {SELECTOR}"))
    if not isinstance(overrides, list | tuple) or not all(isinstance(item, str) for item in overrides):
        faults.append(("overrides", f"{short_repr(overrides)}; allowed: a list of path=value"))
    if not isinstance(carry, str):
        faults.append(("carry", f"{short_repr(carry)}; allowed: the name of a key map of the config"))
    if carry and (where := given.get("where", "after")) != "replace":
        cure = f"set where to 'replace' instead of {short_repr(where)}"
        faults.append(("carry", f"{short_repr(carry)}; it needs a replaced module; {cure}"))
    if not isinstance(given.get("name", ""), str):
        faults.append(("name", f"{short_repr(given['name'])}; allowed: a text"))
    if type(tokens) is not int or tokens < 0:
        faults.append(("tokens", f"{short_repr(tokens)}; allowed: the number of class and register tokens, such as 1"))
    return faults
