"""The groups and keys of a command with their defaults and comments: configs/COMMAND.yaml, read without Hydra."""

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from ..config.repository import SHIPPED, names_in

LINE = re.compile(r"(?P<group>  - )?(?P<name>[a-z_]+): *(?P<default>.*?)(?: +# (?P<comment>.*))?")
COMMANDS = ("show", "bench", "train", "study", "report")
"""The commands that have a primary config."""
NO_SWEEPS = {"study": "its variants, seeds and budgets are in the study; remove -m", "report": "remove -m"}
"""The commands that run once, and what to do instead of a sweep."""


class Key(NamedTuple):
    """A key of a command. A group is a key whose values are names of config files."""

    name: str
    default: str
    comment: str
    is_group: bool

    @property
    def is_boolean(self) -> bool:
        """True if the value is true or false."""
        return self.default in ("true", "false")


@cache
def command_keys(command: str) -> dict[str, Key]:
    """The groups and keys of a command by name, in the order of the file.

    >>> command_keys("show")["channels"]
    Key(name='channels', default='256', comment="channels of the block's input", is_group=False)
    """
    text = (SHIPPED / f"{command}.yaml").read_text(encoding="utf-8").partition("\nhydra:")[0]
    found = [match for line in text.splitlines() if (match := LINE.fullmatch(line))]
    keys = [Key(m["name"], m["default"], m["comment"] or "", m["group"] is not None) for m in found]
    return {key.name: key for key in keys if key.name != "defaults"}


def group_names(group: str, folders: Sequence[Path]) -> list[str]:
    """The names that a config group has in folders of configs and among the shipped ones, sorted."""
    return sorted({name for folder in (*folders, SHIPPED) for name in names_in(folder / group)})
