"""Merges a config onto one that it inherits, checks its `defaults`, and removes what was set to null."""

from dataclasses import replace
from typing import Any

from ..errors import ConfigError, did_you_mean, join_words, short_repr
from .syntax_tree import Config, SourceLocation

REMOVABLE = ("series", "parallel", "own")
"""The keys whose elements are removed by null."""


def merge(base: Any, change: Any) -> Any:
    """Merges mappings key by key; everything else is replaced, as in Hydra.

    >>> merge({"let": {"r": 16, "k": 7}, "gate": ["sigmoid"]}, {"let": {"r": 8}, "gate": []})
    {'let': {'r': 8, 'k': 7}, 'gate': []}
    """
    if not (isinstance(base, dict) and isinstance(change, dict)):
        return change
    return base | {key: merge(base[key], value) if key in base else value for key, value in change.items()}


def check_defaults(defaults: Any, location: str) -> list[str]:
    """Returns the names in `defaults`; raises ConfigError for anything but a list of names with one `_self_`."""
    if not isinstance(defaults, list) or not all(isinstance(name, str) for name in defaults):
        raise ConfigError([(location, f"{short_repr(defaults)}; allowed: a list of names of blocks and _self_")])
    if defaults.count("_self_") != 1:
        raise ConfigError([(location, "_self_ must be listed once; this file's content is merged there, usually last")])
    if repeated := [name for i, name in enumerate(defaults) if name in defaults[:i]]:
        raise ConfigError([(location, f"{short_repr(repeated[0])} is listed twice")])
    return defaults


def check_removals(base: Any, change: Any, location: SourceLocation) -> None:
    """Raises ConfigError for a null in series, parallel or own whose element is not inherited."""
    if not isinstance(change, dict | list):
        return
    inherited = base if isinstance(base, dict) else {}
    for key, value in change.items() if isinstance(change, dict) else enumerate(change):
        if value is None and key not in inherited and location.path and location.path[-1] in REMOVABLE:
            remedy = "write identity for an element that changes nothing"
            if inherited:
                remedy = f"there are {join_words(inherited)}{did_you_mean(str(key), inherited)}"
            raise ConfigError([(str(location / key), f"null removes nothing here; {remedy}")])
        check_removals(inherited.get(key), value, location / key)


def remove_nulls(config: Config) -> Config:
    """Returns the config as it is built, without the elements that were set to null."""
    return replace(config, data=without_nulls(config.data))


def without_nulls(data: Any) -> Any:
    """Returns plain data without the elements of series, parallel and own that are null.

    >>> without_nulls({"series": {"a": None, "b": ["relu"]}, "let": {"c": None}})
    {'series': {'b': ['relu']}, 'let': {'c': None}}
    """
    if isinstance(data, list):
        return [without_nulls(item) for item in data]
    if not isinstance(data, dict):
        return data
    kept = {key: without_nulls(value) for key, value in data.items()}
    for key in REMOVABLE:
        if isinstance(elements := kept.get(key), dict):
            kept[key] = {name: item for name, item in elements.items() if item is not None}
    return kept
