"""Turns errors of Hydra and OmegaConf into ConfigError: what was typed, what is allowed, the nearest match."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf.errors import OmegaConfBaseException

from ..config.overrides import apply_overrides, quoting
from ..config.repository import ConfigRepository, load_config
from ..errors import ConfigError, did_you_mean, first_line, join_words
from .checks import unknown_key
from .command_line import CommandLine, read_argument, sweep_values
from .given_configs import given_source
from .primary_config import command_keys
from .values import name_fault

REJECTED_KEY = re.compile(r"Could not (?:override|append|delete)[^']*'(?P<key>[^']+)'|Error merging override (?P<text>.+)")
MAX_LENGTH = 300
"""Characters of a message of Hydra that is passed on unchanged."""


@contextmanager
def as_config_errors(line: CommandLine) -> Iterator[None]:
    """Raises ConfigError for what Hydra raises about the command line."""
    try:
        yield
    except MissingConfigException as error:
        raise ConfigError([_missing_config(error, line)]) from None
    except OverrideParseException as error:
        raise ConfigError([_unparsed(error.override)]) from None
    except AttributeError:  # under -O, for a value with a function: Hydra's parser relies on assertions
        unparsed = [argument.text for argument in line.arguments if not _can_parse(argument.text)]
        if not unparsed:
            raise
        raise ConfigError([_unparsed(text) for text in unparsed]) from None
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError([_rejected_key(error, line)]) from None


def _unparsed(text: str) -> tuple[str, str]:
    return f"override {text}", f"is not key=value; {quoting(text)}"


def _can_parse(text: str) -> bool:
    try:
        OverridesParser.create().parse_override(text)
    except (AttributeError, HydraException):
        return False
    return True


def _missing_config(error: MissingConfigException, line: CommandLine) -> tuple[str, str]:
    """The fault for a name that its config group does not have: of a file that only Hydra reads, or of a list of choices."""
    group, _, name = (error.missing_cfg_file or "").partition("/")
    key = command_keys(line.command).get(group)
    fault = name_fault(group, name, ConfigRepository(line.folders)) if key and key.is_group and name else ""
    if fault:
        return f"{group}={name}", fault
    group, _, name = (error.missing_cfg_file or "").rpartition("/")
    if group and error.options:
        return f"{group}={name}", f"there are {join_words(error.options)}{did_you_mean(name, error.options)}"
    return "command line", first_line(error)


def _rejected_key(error: Exception, line: CommandLine) -> tuple[str, str]:
    """The fault for an argument that does not fit the config; other messages are passed on in one line."""
    message = str(error)
    rejected = REJECTED_KEY.search(message)
    key = read_argument(rejected["key"] or rejected["text"]).key if rejected else ""
    text = next((argument.text for argument in line.arguments if argument.key == key), "")
    if not text:
        return "command line", re.sub(r"\s*\n\s*", "; ", message.strip())[:MAX_LENGTH]
    if key.startswith("block."):
        return f"override {text}", _block_fault(text, line)
    if rejected and rejected["text"]:
        return f"override {text}", f"does not fit the config: {first_line(error.__cause__ or error)}"
    if key.startswith(("hydra.", "hydra/")):
        return f"override {text}", f"Hydra has no such key; sefactory {line.command} --cfg hydra prints those that it has"
    return f"override {text}", unknown_key(line.command, read_argument(text))


def _block_fault(text: str, line: CommandLine) -> str:
    """The message of `apply_overrides` for the same change of the selected block, which names the nearest key."""
    default = command_keys(line.command)["block"].default
    name = sweep_values((line.values("block") or [default])[-1])[0]
    if name == "null":
        return "there is no block to change; select one with block=NAME"
    repository = ConfigRepository(line.folders)
    try:
        apply_overrides(load_config(given_source("block", name), repository), [text.replace("block.", "", 1)], repository)
    except ConfigError as error:
        return error.faults[0][1]
    return "does not fit the block; write +block.PATH=... to add something that is not there"
