"""Applies overrides in Hydra's syntax, parsed by Hydra's parser: `path=value`, `+path=value`, `~path`, `squeeze@path=word`."""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import HydraException

from ..errors import ConfigError, InvalidValue, did_you_mean, join_words, short_repr
from .merge import merge
from .paths import KeyPath, children, unit_paths
from .registry import SLOTS, find_operator
from .repository import ConfigRepository
from .syntax_tree import Config
from .yaml_reader import to_plain

MAX_LENGTH = 10_000
MAX_SHOWN = 100
NUMBER_FIRST = re.compile(r"^(\+\+|\+|~|)(?=[0-9]+(?:=|$))")
"""Matches before a path that is only a number (a step of a list at the root), which Hydra does not accept as a key."""
SWEEP = "gives several values; an override has one"

Edit = Callable[[Any, str, KeyPath], Any]
"""(parent, name, path of the parent) -> the changed parent."""


def apply_overrides(config: Config, overrides: Sequence[str], repository: ConfigRepository) -> Config:
    """Returns the config with the overrides applied in order.

    Raises ConfigError with every override that cannot be parsed, or whose path is not in the config.
    """
    is_list = isinstance(overrides, Sequence) and not isinstance(overrides, str)
    if not is_list or not all(isinstance(text, str) for text in overrides):
        raise ConfigError([("overrides", f"{short_repr(overrides)}; allowed: a list of texts such as ['let.r=8']")])
    data, faults = to_plain(config.data, config.label), []
    for text in overrides:
        try:
            data = _apply(data, _parse(text), repository)
        except InvalidValue as error:
            shown = text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."
            faults.append((f"{config.label} override {shown}".lstrip(), str(error)))
    if faults:
        raise ConfigError(faults)
    return Config(to_plain(data, config.label), config.label, config.folder)


def parse_value(text: str) -> Any:
    """Returns the value of an override such as `block={gate: [sigmoid]}`; raises InvalidValue if it is not in the syntax."""
    return _parse(text).value()


def _parse(text: str) -> Override:
    """Returns the parsed override; raises InvalidValue if it is not in the syntax."""
    if len(text) > MAX_LENGTH:
        raise InvalidValue(f"has {len(text):,} characters; at most {MAX_LENGTH:,}")
    try:
        override = _parser().parse_override(NUMBER_FIRST.sub(r"\1_.", text))
    except RecursionError:
        raise InvalidValue("is nested too deep") from None
    except (HydraException, AttributeError, ValueError):
        is_sweep = re.fullmatch(r"[^=]*=\s*(choice|range|interval|glob)\(.*", text, re.DOTALL)
        raise InvalidValue(SWEEP if is_sweep else f"is not path=value; {quoting(text)}") from None
    override.key_or_group = override.key_or_group.removeprefix("_.")
    if not override.key_or_group:
        raise InvalidValue(f"is not path=value; {quoting(text)}")
    if override.is_sweep_override():
        raise InvalidValue(SWEEP)
    if override.type is OverrideType.DEL and override.value() is not None:
        raise InvalidValue(f"'~' takes no value; write ~{override.key_or_group}")
    return override


@lru_cache(maxsize=1)
def _parser() -> OverridesParser:
    """Returns Hydra's parser without its functions, such as int(...): they use assertions, which `python -O` removes."""
    parser = OverridesParser.create()
    parser.functions.definitions.clear()
    return parser


def quoting(text: str) -> str:
    """Returns what to write instead of an override that cannot be parsed.

    >>> print(quoting("let.d=max(C/4, 8)"))
    quote a value with parentheses or commas: 'let.d="max(C/4, 8)"'
    """
    key, equals, value = text.partition("=")
    if equals and any(mark in value for mark in "(),"):
        return f"quote a value with parentheses or commas: '{key}=\"{value}\"'"
    return "write path=value, +path=value or ~path"


def _apply(data: Any, override: Override, repository: ConfigRepository) -> Any:
    """Returns the data changed by one override."""
    key, package, value, kind = override.key_or_group, override.package, override.value(), override.type
    path = key.split(".")
    if kind is OverrideType.DEL:
        if package is not None:
            raise InvalidValue(f"'~' takes no '@'; {package}.{key}=[] empties the slot")
        return _edit(data, path, _remove)
    if key in SLOTS and (package is not None or isinstance(value, str)):
        return _fill_slot(data, key, package, value, repository)
    if package is not None:
        raise InvalidValue(f"'@' is for the slots {join_words(SLOTS)}")
    if path[-1] in SLOTS and isinstance(value, str):
        slot_word = f"{path[-1]}@{'.'.join(path[:-1])}={value}"
        raise InvalidValue(f"a slot is a list, {key}=[{value}]; a slot word is chosen by {slot_word}")
    is_change = kind is OverrideType.CHANGE
    return _edit(data, path, lambda parent, name, here: _set(parent, name, here, value, kind), create=not is_change)


def _fill_slot(data: Any, slot: str, package: str | None, word: Any, repository: ConfigRepository) -> Any:
    """Returns the data with a slot filled with the steps of a slot word, such as `squeeze@series.channel=mean`."""
    if not isinstance(word, str):
        hint = f"; a list needs no '@': {package}.{slot}=[...]" if isinstance(word, list) else ""
        raise InvalidValue(f"{short_repr(word)} is not a {slot} word{hint}")
    file = repository.find(word, slot)
    if file is None:
        known = repository.list_names(slot)
        hint = f"; an operator is written as a list: {slot}=[{word}]" if find_operator(word) else did_you_mean(word, known)
        raise InvalidValue(f"no {slot} word {short_repr(word)}; there are {join_words(known)}{hint}")
    steps = repository.read(file).data
    if not isinstance(steps, dict) or slot not in steps:
        raise InvalidValue(f"{file.name} is not a {slot} word: it has no {slot}")

    def fill(parent: Any, name: str, here: KeyPath) -> Any:
        if isinstance(parent, dict) and any(key in parent for key in (*SLOTS, "apply")):
            return parent | {name: steps[slot]}
        units = [f"{slot}@{'.'.join((*here, *path))}=..." for path in unit_paths(parent)]
        hint = f"; say where: {join_words(units)}" if units else ""
        raise InvalidValue(f"there is no slot {slot!r} {_at(here)}{hint}")

    return _edit(data, [*(package.split(".") if package else []), slot], fill)


def _rebuild(data: Any, elements: dict[str, Any]) -> Any:
    """Returns a mapping or a list, as `data` is, with other elements."""
    return elements if isinstance(data, dict) else list(elements.values())


def _edit(data: Any, path: Sequence[str], edit: Edit, here: KeyPath = (), create: bool = False) -> Any:
    """Returns a copy of the data in which `edit` changed the parent of the last name of a path.

    With `create`, mappings that are missing on the way are made.
    """
    name, *rest = path
    if not rest:
        return edit(data, name, here)
    elements = children(data)
    if name not in elements and not (create and isinstance(data, dict)):
        raise _missing(data, name, here, rest)
    child = _edit(elements.get(name, {}), rest, edit, (*here, name), create)
    return _rebuild(data, elements | {name: child})


def _remove(parent: Any, name: str, here: KeyPath) -> Any:
    elements = children(parent)
    if name not in elements:
        raise _missing(parent, name, here)
    return _rebuild(parent, {other: item for other, item in elements.items() if other != name})


def _set(parent: Any, name: str, here: KeyPath, value: Any, kind: OverrideType | None) -> Any:
    """Returns the parent with the value merged in under a name, which `+` adds and a plain override only changes."""
    elements = children(parent)
    if name in elements and kind is OverrideType.ADD:
        raise InvalidValue(f"{name!r} is already there; write {name}=... without +, or ++{name}=...")
    can_add = isinstance(parent, dict) or (isinstance(parent, list) and name == str(len(parent)))
    if name in elements or (can_add and kind is not OverrideType.CHANGE):
        return _rebuild(parent, elements | {name: merge(elements.get(name), value)})
    operator = find_operator(here[-1]) if isinstance(parent, dict) and here else None
    if operator and name in operator.schemas:
        hint = f"; there are {join_words(parent)}; {operator.name} takes it: write + in front"
        raise InvalidValue(f"there is no {name!r} {_at(here)}{hint}")
    raise _missing(parent, name, here)


def _missing(data: Any, name: str, here: KeyPath, rest: Sequence[str] = ()) -> InvalidValue:
    """Returns the error for a name that is not in the data. `rest` is the path after the name."""
    if isinstance(data, dict):
        hint = f"; a path begins inside the block: {'.'.join(rest)}" if not here and name == "block" and rest else ""
        fact = f"; there are {join_words(data)}{hint or did_you_mean(name, data)}"
    elif isinstance(data, list):
        fact = f"; it is a list of {len(data)} steps, counted from 0"
    else:
        fact = f", which is {short_repr(data)}{_hint_parameters(data, rest[-1] if rest else name, here)}"
    return InvalidValue(f"there is no {name!r} {_at(here)}{fact}")


def _hint_parameters(data: Any, parameter: str, here: KeyPath) -> str:
    """Returns how to give a parameter to an operator that is a bare word, or that has only its principal parameter."""
    is_word = isinstance(data, str) and find_operator(data) is not None
    word, path = (data, ".".join(here)) if is_word else (here[-1] if here else "", ".".join(here[:-1]))
    operator = find_operator(word)
    if operator is None or parameter not in operator.schemas:
        return ""
    principal = operator.parameters[0].name
    if not is_word and principal == parameter:
        return f"; that is {principal} itself: {'.'.join(here)}=..."
    arguments = f"{parameter}: ..." if is_word else f"{principal}: {data}, {parameter}: ..."
    return f"; write the step with its parameters: '{path}={{{word}: {{{arguments}}}}}'"


def _at(here: KeyPath) -> str:
    return f"at {'.'.join(here)}" if here else "at the root"
