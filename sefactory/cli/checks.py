"""Checks a command line before Hydra starts: keys, values, names of configs. Imports neither Hydra nor torch."""

import re
from collections.abc import Iterator

from ..config.registry import KEYWORDS, SLOTS
from ..config.repository import is_file_name
from ..errors import ConfigError, did_you_mean, join_words
from .command_line import CLOSING, Argument, CommandLine, split_values, sweep_values, unclosed
from .config_scan import check_config_dirs
from .primary_config import COMMANDS, NO_SWEEPS, Key, command_keys, group_names
from .values import value_faults

NESTED = ("block", "host", "input", "data", "network", "recipe", "study")
"""The groups whose content has keys of its own."""
LIST_OF = {"block": "blocks", "host": "hosts"}
CURES = {
    ("show", "blocks"): "show prints one block: block=NAME; bench compares several",
    ("show", "hosts"): "show prints one network: host=NAME; bench compares several",
    ("bench", "channels"): "write input=single input.{text}",
    ("bench", "size"): "write input=single input.{text}",
    ("train", "blocks"): "train takes one block: block=NAME; for several write -m block=A,B",
    ("train", "hosts"): "train takes one network: host=NAME; for several write -m host=A,B",
    ("study", "block"): "the blocks of a study are study.variants; '+study.variants.NAME={value}' adds one",
    ("study", "seed"): "write study.confirm.seeds=N for seeds 0 to N - 1",
    ("study", "device"): "write +study.{text}",
}
"""What to write instead of a key of the other command."""
UNCHECKED_FOLDERS = "is refused: a config of such a folder could run code; use --config-dir, whose files are checked"
MODES = ("--run", "--multirun", "--cfg", "--info")
"""The flags of which a command line can have one."""
NEEDS_CFG = ("--resolve", "--package")
SWEEP = re.compile(r"\s*(choice|range|interval|glob)\(")
MAIN_GROUP = {"study": "study", "report": "store"}
"""What a word without a key names, if it is no block."""
Fault = tuple[str, str]


def check_command_line(line: CommandLine) -> None:
    """Raises ConfigError with the faults of the arguments, and for a folder of configs that Hydra must not read."""
    check_config_dirs(line.folders)
    faults = [*_flag_faults(line), *_bare_words(line), *_argument_faults(line)]
    if not faults:
        faults = list(_repeated(line))
    if faults:
        raise ConfigError(faults)


def _flag_faults(line: CommandLine) -> Iterator[Fault]:
    """Yields the faults of flags that Hydra does not combine."""
    modes = [flag for flag in line.flags if flag in MODES]
    if len(modes) > 1:
        yield " ".join(modes), "cannot be used together; keep one of them"
    if line.is_sweep and line.command in NO_SWEEPS:
        yield "-m", f"{line.command} is no sweep; {NO_SWEEPS[line.command]}"
    for flag in NEEDS_CFG:
        if flag in line.flags and "--cfg" not in line.flags:
            value = line.flags[flag]
            yield flag, f"is for --cfg; write --cfg job {flag} {value}".rstrip()


def _argument_faults(line: CommandLine) -> Iterator[Fault]:
    """Yields the first fault of every argument that has a key; after an open bracket nothing can be said about the others."""
    for i, argument in enumerate(line.arguments):
        if argument.value is not None and (closing := unclosed(argument.value)):
            yield f"override {argument.text}", _close(closing, argument, line.arguments[i + 1 :])
            return
        if argument.key == "hydra.searchpath":
            yield f"override {argument.text}", UNCHECKED_FOLDERS
        if argument.key.startswith(("hydra.", "hydra/")) or (argument.value is None and argument.prefix != "~"):
            continue
        if not line.has_own_primary_config and (fault := _key_fault(line.command, argument)):
            yield f"override {argument.text}", fault
        elif argument.value is not None and argument.prefix != "~":
            yield from _value_faults(line, argument)


def _bare_words(line: CommandLine) -> list[Fault]:
    """The faults of the arguments that are not key=value. The names of several blocks are one fault."""
    if any(unclosed(argument.value or "") for argument in line.arguments):
        return []
    words = [argument.text for argument in line.arguments if argument.value is None and argument.prefix != "~"]
    group = MAIN_GROUP.get(line.command, "block")
    names = group_names(group, line.folders)
    blocks = [word for word in words if word in names or is_file_name(word)]
    if line.command == "bench" and len(blocks) > 1:
        faults = [(f"override {' '.join(blocks)}", f"is not key=value; write 'blocks=[{','.join(blocks)}]'")]
        return faults + [_bare_word(word, group, names) for word in words if word not in blocks]
    return [_bare_word(word, group, names) for word in words]


def _bare_word(word: str, group: str, names: list[str]) -> Fault:
    if word in names or is_file_name(word) or group == "store":
        cure = f"write {group}={word}"
    else:
        match = did_you_mean(f"{group}={word}", [f"{group}={name}" for name in names]) if word.isidentifier() else ""
        cure = match.removeprefix("; ").replace("'", "") or "write path=value, +path=value or ~path"
    return f"override {word}", f"is not key=value; {cure}"


def _close(closing: str, argument: Argument, following: tuple[Argument, ...]) -> str:
    """The message for an open bracket. Its end may be in the arguments that follow, where a space was not quoted."""
    words = [argument.text]
    for other in following:
        words.append(other.text)
        if not unclosed(" ".join(words)):
            return f"has a space that is not quoted; write '{' '.join(words)}'"
    opening = {close: mark for mark, close in CLOSING.items()}.get(closing[-1], closing[-1])
    return f"{opening} is not closed; write '{argument.text}{closing}'"


def _key_fault(command: str, argument: Argument) -> str:
    """What is wrong with the key of an argument, or an empty text."""
    keys, key = command_keys(command), argument.key
    root, _, path = key.partition(".")
    if root not in keys or (path and root not in NESTED):
        return unknown_key(command, argument)
    if argument.package is not None and not (keys[root].is_group and not path):
        return f"'@' is for the slots {join_words(SLOTS)}"
    if argument.package is not None and argument.package.partition(".")[0] != "block":
        return _outside_the_block(argument)
    if argument.prefix == "~" and not path and not keys[root].is_group:
        return f"{key} cannot be removed; write {key}=VALUE"
    return ""


def _outside_the_block(argument: Argument) -> str:
    """The message for a slot word whose package is not in the block, where nothing would read it."""
    cure = f"{argument.key}@block.{argument.package}".rstrip(".")
    cure += "" if argument.value is None else f"={argument.value}"
    return f"{argument.package!r} is not in the block; write {argument.prefix.strip('+')}{cure}"


def unknown_key(command: str, argument: Argument) -> str:
    """The message for a key that a command does not have."""
    key, keys = argument.key, command_keys(command)
    for other in COMMANDS:
        if other != command and key in command_keys(other):
            cure = CURES.get((command, key), f"{command} has {join_words(keys)}")
            return f"{key!r} is a key of {other}; {cure.format(text=argument.text.lstrip('+'), value=argument.value)}"
    hint = f"; for a key of the block write block.{key}" if key.partition(".")[0] in KEYWORDS else did_you_mean(key, keys)
    return f"there is no key {key!r}; there are {join_words(keys)}{hint}"


def _value_faults(line: CommandLine, argument: Argument) -> Iterator[Fault]:
    """Yields the faults of the value of an argument."""
    values = split_values(argument.value or "")
    key = command_keys(line.command).get(argument.key)
    if values == [""]:
        yield f"override {argument.text}", f"has no value; {_example(argument, key)}"
    elif not line.is_sweep and (len(values) > 1 or SWEEP.match(values[0])):
        yield f"override {argument.text}", _several(line.command, argument, values)
    elif key is not None:
        yield from (fault for value in sweep_values(argument.value or "") for fault in value_faults(line, argument, key, value))


def _example(argument: Argument, key: Key | None) -> str:
    if key is None:
        return f"write {argument.name}=VALUE, or ~{argument.name} to remove it"
    example = "NAME" if key.is_group else "null" if key.default == "null" else key.default
    return f"write {argument.name}={example}"


def _several(command: str, argument: Argument, values: list[str]) -> str:
    """The message for several values without `-m`."""
    key, joined = argument.key, ",".join(values)
    if key in LIST_OF.values():
        return f"is no list; write '{key}=[{joined}]'"
    cure = "add -m for a sweep"
    if command == "bench" and key in LIST_OF:
        cure += f", or write '{LIST_OF[key]}=[{joined}]'"
    elif len(values) > 1 and key not in command_keys(command) or key == "size":
        cure += f", or write '{argument.name}=[{joined}]' for a list"
    return f"has several values; {cure}"


def _repeated(line: CommandLine) -> Iterator[Fault]:
    """Yields a fault for every group and key of the command that is given twice."""
    keys, seen = command_keys(line.command), dict[str, Argument]()
    for argument in line.arguments:
        name = argument.name
        if argument.key in keys and argument.prefix != "~" and name in seen:
            yield f"override {argument.text}", f"{name} was given before as {seen[name].text}; remove one"
        seen[name] = argument
