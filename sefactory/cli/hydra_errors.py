"""Turns errors of Hydra and OmegaConf into ConfigError: what was typed, what is allowed, the nearest match."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf.errors import OmegaConfBaseException

from ..config.overrides import apply_overrides, quoting
from ..config.registry import KEYWORDS
from ..config.repository import SHIPPED, ConfigRepository, load_config
from ..errors import ConfigError, did_you_mean, first_line, join_words
from .config_scan import config_dirs

GROUPS = ("block", "squeeze", "excite", "gate", "input", "host")
REJECTED_KEY = re.compile(r"Could not (?:override|append|delete)[^']*'([^']+)'")
MAX_LENGTH = 300
"""Characters of a message of Hydra that is passed on unchanged."""


@contextmanager
def as_config_errors(command: str, arguments: Sequence[str]) -> Iterator[None]:
    """Raises ConfigError for what Hydra raises about the command line."""
    try:
        yield
    except MissingConfigException as error:
        raise ConfigError([_missing_config(error, arguments)]) from None
    except OverrideParseException as error:
        raise ConfigError([_unparsed(error.override, arguments)]) from None
    except AttributeError:  # under -O, for a value with a function: Hydra's parser relies on assertions
        unparsed = [argument for argument in arguments if not _can_parse(argument)]
        if not unparsed:
            raise
        raise ConfigError([_unparsed(argument, arguments) for argument in unparsed]) from None
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError([_rejected_key(error, command, arguments)]) from None


def _unparsed(argument: str, arguments: Sequence[str]) -> tuple[str, str]:
    is_block = argument in ConfigRepository(config_dirs(arguments)).list_names("block")
    cure = f"write block={argument}" if is_block else quoting(argument)
    return f"override {argument}", f"is not key=value; {cure}"


def _can_parse(argument: str) -> bool:
    try:
        OverridesParser.create().parse_override(argument)
    except AttributeError:
        return False
    except HydraException:
        return argument.startswith("-")
    return True


def _missing_config(error: MissingConfigException, arguments: Sequence[str]) -> tuple[str, str]:
    """The fault for a name that its config group does not have."""
    group, _, name = (error.missing_cfg_file or "").partition("/")
    if group not in GROUPS or not name:
        return "command line", first_line(error)
    repository = ConfigRepository(config_dirs(arguments))
    if path := repository.find(name, group):
        cure = f"move it into a folder named {group}, where the command line looks"
        return f"{group}={name}", f"{path} is not in a folder {group}; {cure}"
    known = repository.list_names(group)
    noun = group if group in ("block", "input", "host") else f"{group} word"
    return f"{group}={name}", f"no {noun} named {name!r}; there are {join_words(known)}{did_you_mean(name, known)}"


def _rejected_key(error: Exception, command: str, arguments: Sequence[str]) -> tuple[str, str]:
    """The fault for a key that the config does not have; other messages are passed on in one line."""
    message = str(error)
    rejected = REJECTED_KEY.search(message)
    key = rejected.group(1).partition("@")[0] if rejected else ""
    argument = next((a for a in arguments if a.lstrip("+~").partition("=")[0].partition("@")[0] == key), "")
    if not argument:
        return "command line", re.sub(r"\s*\n\s*", "; ", message.strip())[:MAX_LENGTH]
    if key.startswith("block."):
        return f"override {argument}", _block_fault(argument, command, arguments)
    keys = _command_keys(command)
    hint = f"; for a key of the block write block.{key}" if key.partition(".")[0] in KEYWORDS else did_you_mean(key, keys)
    return f"override {argument}", f"there is no key {key!r}; there are {join_words(keys)}{hint}"


def _command_keys(command: str) -> list[str]:
    """The groups and keys of a command's primary config, read without Hydra."""
    lines = (SHIPPED / f"{command}.yaml").read_text(encoding="utf-8").splitlines()
    keys = [match.group(1) for line in lines if (match := re.match(r"(?:  - )?([a-z_]+):", line))]
    return [key for key in keys if key not in ("defaults", "hydra")]


def _block_fault(argument: str, command: str, arguments: Sequence[str]) -> str:
    """The message of `apply_overrides` for the same change of the selected block, which names the nearest key."""
    blocks = [a.partition("=")[2] for a in arguments if a.lstrip("+").startswith("block=")]
    blocks = blocks or re.findall(r"- block: (\w+)", (SHIPPED / f"{command}.yaml").read_text(encoding="utf-8"))
    if blocks[-1:] in ([], ["null"]):
        return "there is no block to change; select one with block=NAME"
    repository = ConfigRepository(config_dirs(arguments))
    try:
        apply_overrides(load_config(blocks[-1].split(",")[0], repository), [argument.replace("block.", "", 1)], repository)
    except ConfigError as error:
        return error.faults[0][1]
    return "does not fit the block; write +block.PATH=... to add something that is not there"
