"""The candidates for the last word of an unfinished command line: commands, flags, folders, and what keys and values add."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ...errors import ConfigError
from ..choices import FORMATS
from ..command_line import FLAG_CHOICES, FLAG_OF, FOLDER_FLAGS, SWITCHES, VALUE_FLAGS, CommandLine, read_command_line
from ..help import FLAGS, SUMMARIES
from .keys import key_candidates
from .values import folders, value_candidates

SHELLS = ("bash", "zsh", "fish")
DESCRIPTIONS = {name.split(" ")[0].split(",")[0]: text for name, text in FLAGS.items()} | {
    "--multirun": FLAGS["-m, --multirun"],
    "--help": FLAGS["-h, --help"],
    "--version": "print the version",
}
COMMANDS = SUMMARIES | {"completion": "print the shell code for tab completion"}


class Candidate(NamedTuple):
    """A word that can stand in place of the last one, and what it means."""

    text: str
    description: str = ""


def complete(words: Sequence[str]) -> list[Candidate]:
    """The candidates for the last of the words after `sefactory`, in the order in which they are shown."""
    *before, current = words
    if not before:
        pairs = COMMANDS | {flag: DESCRIPTIONS[flag] for flag in ("--help", "--version") if current.startswith("-")}
    elif before[0] == "completion":
        pairs = dict.fromkeys(SHELLS, "")
    elif before[0] in SUMMARIES:
        pairs = dict(_argument_candidates(before[0], before[1:], current))
    else:
        pairs = {}
    return [Candidate(text, description) for text, description in pairs.items() if text.startswith(current)]


def _argument_candidates(command: str, before: Sequence[str], current: str) -> Iterable[tuple[str, str]]:
    """Pairs of a candidate and its description, for a word after a command."""
    if command == "bench" and before[:1] == ["compare"]:
        return _compare_candidates(current)
    flag = FLAG_OF.get(before[-1], "") if before else ""
    if flag in VALUE_FLAGS and not (current.startswith("-") or "=" in current):
        return _flag_values(flag, "", current)
    line = _readable_line(command, before)
    if current.startswith("-"):
        flag, equals, value = current.partition("=")
        return _flag_values(FLAG_OF.get(flag, ""), f"{flag}=", value) if equals else _flags(line)
    if "=" in current:
        return value_candidates(line, current)
    first = {"compare": "compare the results of two runs"} if command == "bench" and not before else {}
    return [*first.items(), *key_candidates(line, current)]


def _compare_candidates(current: str) -> Iterator[tuple[str, str]]:
    """Yields output folders and `format=` for `bench compare`."""
    yield from ((folder, "") for folder in folders(current))
    yield from ((f"format={word}", "") for word in FORMATS["bench"])


def _flags(line: CommandLine) -> Iterator[tuple[str, str]]:
    for flag in (*SWITCHES, *VALUE_FLAGS):
        if flag not in line.flags:
            yield flag, DESCRIPTIONS.get(flag, "a flag of Hydra")


def _flag_values(flag: str, prefix: str, value: str) -> Iterator[tuple[str, str]]:
    """Yields the values of a flag."""
    values = folders(value) if flag in FOLDER_FLAGS else FLAG_CHOICES.get(flag, ())
    yield from ((f"{prefix}{text}", "") for text in values)


def _readable_line(command: str, words: Sequence[str]) -> CommandLine:
    """The words before the last one, without folders that do not exist; without flags if one of them is wrong."""
    try:
        line = read_command_line(command, words)
    except ConfigError:
        line = read_command_line(command, [word for word in words if not word.startswith("-")])
    return line._replace(
        flags={flag: value for flag, value in line.flags.items() if flag not in FOLDER_FLAGS or Path(value).is_dir()}
    )
