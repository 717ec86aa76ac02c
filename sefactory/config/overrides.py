"""`path=value`, `+path=value`, `~path`, `squeeze@path=word`: changes of a config in Hydra's syntax, by Hydra's own parser."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import HydraException

from ..errors import ConfigError, InvalidValue, did_you_mean, join_words, short_repr
from .registry import SLOTS, find_operator
from .repository import ConfigRepository, merge
from .syntax_tree import Config
from .yaml_reader import to_plain

MAX_LENGTH = 10_000
MAX_SHOWN = 100
NUMBER_FIRST = re.compile(r"^(\+\+|\+|~|)(?=[0-9]+(?:=|$))")
"""A step of a list at the root: a key of Hydra's cannot be a number."""
SEVERAL = "gives several values; an override has one"


def apply_overrides(config: Config, overrides: Sequence[str], shelf: ConfigRepository) -> Config:
    """The config with the overrides applied one after the other.

    Raises ConfigError with every override that does not parse, or whose path is not in the config.
    """
    listed = isinstance(overrides, Sequence) and not isinstance(overrides, str)
    if not listed or not all(isinstance(text, str) for text in overrides):
        raise ConfigError([("overrides", f"{short_repr(overrides)}; it is a list of texts such as ['let.r=8']")])
    data, faults = to_plain(config.data, config.label), []
    for text in overrides:
        try:
            data = _apply(data, _parse(text), shelf)
        except InvalidValue as refused:
            faults.append((f"{config.label} override {_cut(text)}".lstrip(), str(refused)))
    if faults:
        raise ConfigError(faults)
    return Config(to_plain(data, config.label), config.label, config.folder)


def _cut(text: str) -> str:
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


@lru_cache(maxsize=256)
def _parse(text: str) -> Override:
    """What a text says; `value()` of it is a new value each time."""
    if len(text) > MAX_LENGTH:
        raise InvalidValue(f"has {len(text):,} characters; at most {MAX_LENGTH:,}")
    try:
        override = _parser().parse_override(NUMBER_FIRST.sub(r"\1_.", text))
    except RecursionError:
        raise InvalidValue("is nested too deep") from None
    except (HydraException, AttributeError, ValueError):
        raise InvalidValue(SEVERAL if _sweeps(text) else f"is no path=value; {quoting(text)}") from None
    override.key_or_group = override.key_or_group.removeprefix("_.")
    if not override.key_or_group:
        raise InvalidValue(f"is no path=value; {quoting(text)}")
    if override.is_sweep_override():
        raise InvalidValue(SEVERAL)
    if override.type is OverrideType.DEL and override.value() is not None:
        raise InvalidValue(f"'~' takes no value; write ~{override.key_or_group}")
    return override


@lru_cache(maxsize=1)
def _parser() -> OverridesParser:
    """Hydra's parser without its functions, int(...) or choice(...): they work by assertions, and so not under -O.

    It keeps nothing of what it parses.
    """
    parser = OverridesParser.create()
    parser.functions.definitions.clear()
    return parser


def _sweeps(text: str) -> bool:
    return re.fullmatch(r"[^=]*=\s*(choice|range|interval|glob)\(.*", text, re.DOTALL) is not None


def quoting(text: str) -> str:
    """What to do about an override that does not parse.

    >>> print(quoting("let.d=max(C/4, 8)"))
    quote a value with parentheses or commas: 'let.d="max(C/4, 8)"'
    """
    key, equals, value = text.partition("=")
    if equals and any(mark in value for mark in "(),"):
        return f"quote a value with parentheses or commas: '{key}=\"{value}\"'"
    return "write path=value, +path=value or ~path"


def _apply(data: Any, override: Override, shelf: ConfigRepository) -> Any:
    key, package, value, type_ = override.key_or_group, override.package, override.value(), override.type
    if type_ is OverrideType.DEL:
        if package is not None:
            raise InvalidValue(f"'~' takes no '@'; {package}.{key}=[] empties the slot")
        return _changed(data, key.split("."), _remove)
    if key in SLOTS and (package is not None or isinstance(value, str)):
        return _choose(data, key, package, value, shelf)
    if package is not None:
        raise InvalidValue(f"'@' is for the slots {join_words(SLOTS)}")
    path = key.split(".")
    if path[-1] in SLOTS and isinstance(value, str):
        raise InvalidValue(
            f"a slot is a list, {key}=[{value}]; a slot word is chosen by {path[-1]}@{'.'.join(path[:-1])}={value}"
        )
    create = type_ is not OverrideType.CHANGE
    return _changed(data, path, lambda parent, name, here: _set(parent, name, here, value, type_), create=create)


def _choose(data: Any, slot: str, package: str | None, word: Any, shelf: ConfigRepository) -> Any:
    """Fills a slot with the list of a slot word."""
    if not isinstance(word, str):
        hint = f"; a list needs no '@': {package}.{slot}=[...]" if isinstance(word, list) else ""
        raise InvalidValue(f"{short_repr(word)} is no {slot} word{hint}")
    file = shelf.find(word, slot)
    if file is None:
        known = shelf.list_names(slot)
        hint = f"; an operator is written as a list: {slot}=[{word}]" if find_operator(word) else did_you_mean(word, known)
        raise InvalidValue(f"no {slot} word {short_repr(word)}; there are {join_words(known)}{hint}")
    steps = shelf.read(file).data
    if not isinstance(steps, dict) or slot not in steps:
        raise InvalidValue(f"{file.name} is no {slot} word: it has no {slot}")
    places = package.split(".") if package else []
    return _changed(data, [*places, slot], lambda parent, name, here: _fill(parent, name, here, steps))


def _fill(parent: Any, slot: str, here: tuple[str, ...], steps: Any) -> Any:
    if not isinstance(parent, dict) or not any(key in parent for key in (*SLOTS, "apply")):
        places = [f"{slot}@{'.'.join((*here, *path))}=..." for path in _units(parent)]
        where = f"; say where: {join_words(places)}" if places else ""
        raise InvalidValue(f"there is no slot {slot!r} {_at(here)}{where}")
    return parent | {slot: steps[slot]}


def _units(data: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The paths of the units below a node."""
    if isinstance(data, dict) and any(key in data for key in SLOTS):
        return [path] if path else []
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [found for key, item in items for found in _units(item, (*path, str(key)))]


def _changed(data: Any, path: list[str], change: Any, here: tuple[str, ...] = (), create: bool = False) -> Any:
    """A copy of `data` in which the parent of the last name of the path is changed; `create` makes mappings on the way."""
    if len(path) == 1:
        return change(data, path[0], here)
    if create and isinstance(data, dict) and path[0] not in data:
        return data | {path[0]: _changed({}, path[1:], change, (*here, path[0]), create)}
    key = _key(data, path[0], here, path[1:])
    inner = _changed(data[key], path[1:], change, (*here, path[0]), create)
    return data | {key: inner} if isinstance(data, dict) else [*data[:key], inner, *data[key + 1 :]]


def _key(data: Any, name: str, here: tuple[str, ...], below: Sequence[str] = ()) -> Any:
    if isinstance(data, dict):
        if name in data:
            return name
        hint = f"; a path begins inside the block: {'.'.join(below)}" if not here and name == "block" and below else ""
        raise InvalidValue(f"there is no {name!r} {_at(here)}; there are {join_words(data)}{hint or did_you_mean(name, data)}")
    if isinstance(data, list):
        if name.isdecimal() and int(name) < len(data):
            return int(name)
        raise InvalidValue(f"there is no {name!r} {_at(here)}; it is a list of {len(data)} steps, counted from 0")
    raise InvalidValue(
        f"there is no {name!r} {_at(here)}, which is {short_repr(data)}{_with_parameters(data, name, here, below)}"
    )


def _with_parameters(data: Any, name: str, here: tuple[str, ...], below: Sequence[str]) -> str:
    """How to give parameters to an operator that is written as a bare word, or with its principal parameter alone."""
    place, word = (".".join(here), data) if isinstance(data, str) and find_operator(data) else (".".join(here[:-1]), here[-1])
    operator = find_operator(word)
    last = below[-1] if below else name
    if operator is None or not _takes(word, last):
        return ""
    principal = operator.parameters[0].name
    if word != data and principal == last:
        return f"; that is {principal} itself: {'.'.join(here)}=..."
    principal = "" if word == data else f"{principal}: {data}, "
    return f"; write the step with its parameters: '{place}={{{word}: {{{principal}{last}: ...}}}}'"


def _takes(word: str, name: str) -> bool:
    """Whether a word is an operator that has this parameter."""
    operator = find_operator(word)
    return operator is not None and any(parameter.name == name for parameter in operator.parameters)


def _at(here: tuple[str, ...]) -> str:
    return f"at {'.'.join(here)}" if here else "at the root"


def _remove(parent: Any, name: str, here: tuple[str, ...]) -> Any:
    key = _key(parent, name, here)
    if isinstance(parent, dict):
        return {other: value for other, value in parent.items() if other != key}
    return [*parent[:key], *parent[key + 1 :]]


def _set(parent: Any, name: str, here: tuple[str, ...], value: Any, type_: OverrideType | None) -> Any:
    if not isinstance(parent, dict | list):
        _key(parent, name, here)
    present = name in parent if isinstance(parent, dict) else name.isdecimal() and int(name) < len(parent)
    if type_ is OverrideType.ADD and present:
        raise InvalidValue(f"{name!r} is already there; write {name}=... without +, or ++{name}=...")
    if isinstance(parent, dict) and (present or type_ is not OverrideType.CHANGE):
        return parent | {name: merge(parent.get(name), value)}
    if isinstance(parent, list) and not present and type_ is not OverrideType.CHANGE and name == str(len(parent)):
        return [*parent, value]
    if isinstance(parent, dict) and here and _takes(here[-1], name):
        raise InvalidValue(
            f"there is no {name!r} {_at(here)}; there are {join_words(parent)}; {here[-1]} takes it: write + in front"
        )
    key = _key(parent, name, here)
    return [*parent[:key], merge(parent[key], value), *parent[key + 1 :]]
