"""`path=value`, `+path=value`, `~path`, `squeeze@path=word`: changes of a config in Hydra's syntax, by Hydra's own parser."""

from collections.abc import Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import HydraException

from .config import Shelf, merge
from .errors import ConfigError, Refused, nearest, shown, words
from .nodes import Config
from .plain import plain
from .registry import SLOTS, find


def apply_overrides(config: Config, overrides: Sequence[str], shelf: Shelf) -> Config:
    """The config with the overrides applied one after the other.

    Raises ConfigError for one that does not parse, or whose path is not in the config.
    """
    if isinstance(overrides, str) or not all(isinstance(text, str) for text in overrides):
        raise ConfigError([("overrides", f"{shown(overrides)}; it is a list of texts such as ['let.r=8']")])
    data = plain(config.data, config.label)
    for text in overrides:
        try:
            data = _apply(data, _parse(text), shelf)
        except Refused as refused:
            place = f"{config.label} override {text}" if config.label else f"override {text}"
            raise ConfigError([(place, str(refused))]) from None
    return Config(plain(data, config.label), config.label, config.folder)


def _parse(text: str) -> Override:
    try:
        override = OverridesParser.create().parse_override(text)
    except HydraException:
        raise Refused(f"is no path=value; {quoting(text)}") from None
    if override.is_sweep_override():
        raise Refused("gives several values; an override has one")
    return override


def quoting(text: str) -> str:
    """What to do about an override that does not parse.

    >>> quoting("let.d=max(C/4, 8)")
    "quote a value with parentheses or commas: 'let.d=\\"max(C/4, 8)\\"'"
    """
    key, equals, value = text.partition("=")
    if equals and any(mark in value for mark in "(),"):
        return f"quote a value with parentheses or commas: '{key}=\"{value}\"'"
    return "write path=value, +path=value or ~path"


def _apply(data: Any, override: Override, shelf: Shelf) -> Any:
    key, package = override.key_or_group, override.package
    if key in SLOTS and (package is not None or isinstance(override.value(), str)):
        return _choose(data, key, package, override.value(), shelf)
    if package is not None:
        raise Refused(f"'@' is for the slots {words(SLOTS)}")
    path = key.split(".")
    if override.type is OverrideType.DEL:
        return _changed(data, path, _remove)
    value, type_ = override.value(), override.type
    return _changed(data, path, lambda parent, name, here: _set(parent, name, here, value, type_))


def _choose(data: Any, slot: str, package: str | None, word: Any, shelf: Shelf) -> Any:
    """Fills a slot with the list of a slot word."""
    if not isinstance(word, str):
        raise Refused(f"{shown(word)} is no slot word; there are {words(shelf.known(slot))}")
    file = shelf.find(word, slot)
    if file is None:
        known = shelf.known(slot)
        raise Refused(f"no {slot} word {word!r}; there are {words(known)}{nearest(word, known)}")
    steps = shelf.read(file).data
    path = package.split(".") if package else []
    return _changed(data, [*path, slot], lambda parent, name, here: _fill(parent, name, here, steps))


def _fill(parent: Any, slot: str, here: tuple[str, ...], steps: Any) -> Any:
    if not isinstance(parent, dict) or not any(key in parent for key in (*SLOTS, "apply")):
        paths = _units(parent)
        where = f"; say where: {words(f'{slot}@{path}=...' for path in paths)}" if paths else ""
        raise Refused(f"there is no slot {slot!r} {_at(here)}{where}")
    return parent | {slot: steps[slot]}


def _units(data: Any, path: str = "") -> list[str]:
    """The paths of the units below a node."""
    if isinstance(data, dict) and any(key in data for key in SLOTS):
        return [path] if path else []
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [found for key, item in items for found in _units(item, f"{path}.{key}".lstrip("."))]


def _changed(data: Any, path: list[str], change: Any, here: tuple[str, ...] = ()) -> Any:
    """A copy of `data` in which the parent of the last name of the path is changed."""
    if len(path) == 1:
        return change(data, path[0], here)
    key = _key(data, path[0], here)
    inner = _changed(data[key], path[1:], change, (*here, path[0]))
    return data | {key: inner} if isinstance(data, dict) else [*data[:key], inner, *data[key + 1 :]]


def _key(data: Any, name: str, here: tuple[str, ...]) -> Any:
    at = _at(here)
    if isinstance(data, dict):
        if name in data:
            return name
        raise Refused(f"there is no {name!r} {at}; there are {words(data)}{nearest(name, data)}")
    if isinstance(data, list):
        if name.isdecimal() and int(name) < len(data):
            return int(name)
        raise Refused(f"there is no {name!r} {at}; it is a list of {len(data)} steps, counted from 0")
    hint = f"; write the step as {{{data}: {{...}}}} first" if isinstance(data, str) and find(data) else ""
    raise Refused(f"there is no {name!r} {at}, which is {shown(data)}{hint}")


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
        raise Refused(f"{name!r} is already there; write {name}=... without +, or ++{name}=...")
    if isinstance(parent, dict) and (present or type_ is not OverrideType.CHANGE):
        return parent | {name: merge(parent.get(name), value)}
    if isinstance(parent, list) and not present and type_ is not OverrideType.CHANGE and name == str(len(parent)):
        return [*parent, value]
    key = _key(parent, name, here)
    return [*parent[:key], merge(parent[key], value), *parent[key + 1 :]]
