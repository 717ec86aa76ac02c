"""Hydra's and OmegaConf's errors, said in our words: what was typed, what is allowed, the nearest match."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf.errors import OmegaConfBaseException

from ..config.overrides import apply_overrides, quoting
from ..config.registry import KEYWORDS
from ..config.repository import SHIPPED, ConfigRepository, load_config
from ..errors import ConfigError, did_you_mean, join_words
from .config_scan import folders

GROUPS = ("block", "squeeze", "excite", "gate", "input", "host")
COULD_NOT = re.compile(r"Could not (?:override|append|delete)[^']*'([^']+)'")


@contextmanager
def hydra_errors(command: str, arguments: Sequence[str]) -> Iterator[None]:
    """Turns what Hydra raises about the command line into ConfigError."""
    try:
        yield
    except MissingConfigException as error:
        raise ConfigError([_missing(error, arguments)]) from None
    except OverrideParseException as error:
        raise ConfigError([_unreadable(error.override, arguments)]) from None
    except AttributeError:  # under -O, for a value with a function: Hydra's parser works by assertions
        unread = [argument for argument in arguments if not _parses(argument)]
        if not unread:
            raise
        raise ConfigError([_unreadable(argument, arguments) for argument in unread]) from None
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError([_explained(error, command, arguments)]) from None


def _unreadable(argument: str, arguments: Sequence[str]) -> tuple[str, str]:
    chosen = argument in ConfigRepository(folders(arguments)).list_names("block")
    return f"override {argument}", f"is no key=value; {f'write block={argument}' if chosen else quoting(argument)}"


def _parses(argument: str) -> bool:
    try:
        OverridesParser.create().parse_override(argument)
    except AttributeError:
        return False
    except HydraException:
        return argument.startswith("-")
    return True


def _missing(error: MissingConfigException, arguments: Sequence[str]) -> tuple[str, str]:
    group, _, name = (error.missing_cfg_file or "").partition("/")
    if group not in GROUPS or not name:
        return "command line", str(error).splitlines()[0]
    shelf = ConfigRepository(folders(arguments))
    known = shelf.list_names(group)
    if path := shelf.find(name, group):
        return f"{group}={name}", f"{path} is not in a folder {group}, where the command line looks; move it there"
    noun = group if group in ("block", "input", "host") else f"{group} word"
    return f"{group}={name}", f"no {noun} named {name!r}; there are {join_words(known)}{did_you_mean(name, known)}"


def _explained(error: Exception, command: str, arguments: Sequence[str]) -> tuple[str, str]:
    text = str(error)
    found = COULD_NOT.search(text)
    key = found.group(1).partition("@")[0] if found else ""
    typed = next((a for a in arguments if a.lstrip("+~").partition("=")[0].partition("@")[0] == key), "")
    if not typed:
        return "command line", re.sub(r"\s*\n\s*", "; ", text.strip())[:300]
    if key.startswith("block."):
        return f"override {typed}", _in_block(typed, command, arguments)
    keys = _keys(command)
    hint = f"; inside of the block it is block.{key}" if key.partition(".")[0] in KEYWORDS else did_you_mean(key, keys)
    return f"override {typed}", f"there is no key {key!r}; there are {join_words(keys)}{hint}"


def _keys(command: str) -> list[str]:
    """The groups and keys of a command's own config, read without Hydra."""
    lines = (SHIPPED / f"{command}.yaml").read_text(encoding="utf-8").splitlines()
    found = [re.match(r"(?:  - )?([a-z_]+):", line) for line in lines]
    return [match.group(1) for match in found if match and match.group(1) not in ("defaults", "hydra")]


def _in_block(typed: str, command: str, arguments: Sequence[str]) -> str:
    """What our own overrides say about the same change."""
    chosen = [a.partition("=")[2] for a in arguments if a.lstrip("+").startswith("block=")]
    chosen = chosen or re.findall(r"- block: (\w+)", (SHIPPED / f"{command}.yaml").read_text(encoding="utf-8"))
    if chosen[-1:] in ([], ["null"]):
        return "there is no block to change; choose one with block=NAME"
    shelf = ConfigRepository(folders(arguments))
    try:
        apply_overrides(load_config(chosen[-1].split(",")[0], shelf), [typed.replace("block.", "", 1)], shelf)
    except ConfigError as error:
        return error.faults[0][1]
    return "does not fit the block; write +block.PATH=... to add something that is not there"
