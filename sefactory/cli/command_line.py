"""Reads the words after `sefactory COMMAND`: flags and `key=value` arguments in any order. Imports neither Hydra nor torch."""

import os
import re
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ..errors import ConfigError, choice_message, did_you_mean, join_words
from .primary_config import command_keys

SWITCHES = {
    "--help": "-h",
    "--version": "",
    "--multirun": "-m",
    "--run": "-r",
    "--resolve": "",
    "--hydra-help": "",
}
"""The flags without a value, and their short forms."""
VALUE_FLAGS = {
    "--config-dir": "-cd",
    "--cfg": "-c",
    "--package": "-p",
    "--info": "-i",
    "--config-path": "-cp",
    "--config-name": "-cn",
}
"""The flags with a value, and their short forms."""
FLAG_CHOICES = {
    "--cfg": ("job", "hydra", "all"),
    "--info": ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath"),
}
DEFAULT_INFO = "all"
FOLDER_FLAGS = ("--config-dir", "--config-path")
FLAG_OF = {short: flag for flag, short in (SWITCHES | VALUE_FLAGS).items() if short} | {f: f for f in SWITCHES | VALUE_FLAGS}
"""The long form of every flag."""
ARGUMENT = re.compile(r"(?P<prefix>\+\+|\+|~)?(?P<key>[^=@]*)(?:@(?P<package>[^=]*))?(?:=(?P<value>.*))?", re.DOTALL)
CHOICE = re.compile(r"\s*choice\((.*)\)\s*", re.DOTALL)
CLOSING = {"[": "]", "{": "}", "(": ")"}


class Argument(NamedTuple):
    """An argument as it was typed, and its parts: `[prefix]key[@package][=value]`."""

    text: str
    prefix: str
    key: str
    package: str | None
    value: str | None

    @property
    def name(self) -> str:
        """The key as it is typed before `=`, without a prefix, such as `squeeze@block.series.channel`."""
        return self.key if self.package is None else f"{self.key}@{self.package}"


class CommandLine(NamedTuple):
    """A command, its flags in long form with their values (empty for a flag without), and its arguments."""

    command: str
    flags: dict[str, str]
    arguments: tuple[Argument, ...]

    @property
    def is_sweep(self) -> bool:
        """True if every combination of the values is run (`-m` or `hydra.mode=MULTIRUN`)."""
        return "--multirun" in self.flags or "MULTIRUN" in self.values("hydra.mode")

    @property
    def has_own_primary_config(self) -> bool:
        """True if flags choose another primary config than that of the command: its keys and names are not known."""
        return "--config-path" in self.flags or "--config-name" in self.flags

    @property
    def folders(self) -> list[Path]:
        """The folders of configs that the flags name."""
        return [Path(self.flags[flag]) for flag in FOLDER_FLAGS if flag in self.flags]

    def values(self, name: str) -> list[str]:
        """The values that were given to a key."""
        return [argument.value or "" for argument in self.arguments if argument.name == name and argument.prefix != "~"]

    def hydra_arguments(self) -> list[str]:
        """The arguments in an order that Hydra accepts: it does not find an argument after a flag behind another."""
        flags = [f"{flag}={value}" if value else flag for flag, value in self.flags.items()]
        return [*flags, *(self._hydra_text(argument) for argument in self.arguments)]

    def _hydra_text(self, argument: Argument) -> str:
        """The argument as Hydra takes it: with `+` before a slot word further down, without `+` before a key of the command."""
        if self.has_own_primary_config:
            return argument.text
        text = argument.text.lstrip("+")
        if argument.package is not None:
            return text if argument.prefix == "~" else f"+{text}"
        return text if argument.key in command_keys(self.command) else argument.text


def read_command_line(command: str, words: Sequence[str]) -> CommandLine:
    """The parts of a command line. Raises ConfigError for a flag that does not exist or that lacks its value."""
    flags: dict[str, str] = {}
    arguments: list[Argument] = []
    rest = deque(words)
    while rest:
        word = rest.popleft()
        if word == "--":
            arguments += map(read_argument, rest)
            break
        if not word.startswith("-"):
            arguments.append(read_argument(word))
            continue
        flag, value = _read_flag(command, word, rest)
        if flags.get(flag, value) != value:
            raise ConfigError([(f"{flag} {value}", f"was given before as {flags[flag]}; remove one")])
        flags[flag] = value
    return CommandLine(command, flags, tuple(arguments))


def read_argument(text: str) -> Argument:
    """The parts of an argument.

    >>> read_argument("+squeeze@block.series.channel=max")[1:]
    ('+', 'squeeze', 'block.series.channel', 'max')
    """
    match = ARGUMENT.fullmatch(text)
    assert match is not None  # every text matches
    return Argument(text, match["prefix"] or "", match["key"], match["package"], match["value"])


def split_values(text: str) -> list[str]:
    """The values that commas separate, outside of brackets and quotes.

    >>> split_values("senet,[a,b],'c,d'")
    ['senet', '[a,b]', "'c,d'"]
    """
    values = [""]
    for mark, opened in _scan(text):
        if mark == "," and not opened and not values[-1].endswith("\\"):
            values.append("")
        else:
            values[-1] += mark
    return [value.strip() for value in values]


def sweep_values(text: str) -> list[str]:
    """The values of a sweep, with commas between them or in `choice(...)`.

    >>> sweep_values("choice(senet,my.yaml)"), sweep_values("senet,my.yaml")
    (['senet', 'my.yaml'], ['senet', 'my.yaml'])
    """
    choice = CHOICE.fullmatch(text)
    return split_values(choice[1] if choice else text)


def unclosed(text: str) -> str:
    """The brackets and quotes that are opened and not closed, in the order in which they must be closed.

    >>> unclosed("{gate: [sigmoid"), unclosed("[senet]"), unclosed("'a[")
    (']}', '', "'")
    """
    states = [opened for _, opened in _scan(text)]
    return states[-1][::-1] if states else ""


def _scan(text: str) -> Iterator[tuple[str, str]]:
    """Yields every character, and what closes the brackets and quotes that are open after it, the outermost first."""
    opened, previous = "", ""
    for mark in text:
        quote = opened[-1] if opened[-1:] in ("'", '"') else ""
        if quote:
            opened = opened[:-1] if mark == quote and previous != "\\" else opened
        elif mark in CLOSING:
            opened += CLOSING[mark]
        elif mark in "'\"":
            opened += mark
        elif mark == opened[-1:]:
            opened = opened[:-1]
        previous = mark
        yield mark, opened


def _read_flag(command: str, word: str, rest: deque[str]) -> tuple[str, str]:
    """The long form of a flag and its value, which is taken from the words after it."""
    typed, equals, value = word.partition("=")
    if typed in ("--shell-completion", "-sc"):
        raise ConfigError([(typed, 'is replaced by: eval "$(sefactory completion bash)"')])
    if typed == "--experimental-rerun":
        raise ConfigError([(typed, "is refused: it loads a pickle, which can run code; repeat the command")])
    flag = FLAG_OF.get(typed)
    if flag is None:
        hint = did_you_mean(typed, [*SWITCHES, *VALUE_FLAGS]) or f"; `sefactory {command} --help` lists the flags"
        raise ConfigError([(word, f"there is no such flag{hint}")])
    if flag in SWITCHES:
        if equals:
            raise ConfigError([(word, f"takes no value; write {typed}")])
        return flag, ""
    if not equals:
        value = rest.popleft() if rest and _is_flag_value(flag, rest[0]) else DEFAULT_INFO if flag == "--info" else ""
    return flag, _check_flag_value(typed, flag, value)


def _is_flag_value(flag: str, word: str) -> bool:
    """True if the word after a flag is its value and not an argument or another flag."""
    if flag == "--info":
        return word in FLAG_CHOICES[flag]
    return not word.startswith("-") and ("=" not in word or os.path.isdir(word))


def _check_flag_value(typed: str, flag: str, value: str) -> str:
    """The value of a flag. Raises ConfigError if it is missing or not allowed."""
    choices = FLAG_CHOICES.get(flag, ())
    if not value:
        needed = f"one of {join_words(choices)}" if choices else "a folder" if flag in FOLDER_FLAGS else "a value"
        example = choices[0] if choices else "my" if flag in FOLDER_FLAGS else "VALUE"
        raise ConfigError([(typed, f"needs {needed} after it, for example {typed} {example}")])
    if choices and value not in choices:
        raise ConfigError([(typed, choice_message(value, choices))])
    return value
