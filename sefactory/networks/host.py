"""A network with blocks as a config: `host: timm:resnet50` and a list of places."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ..config.repository import ConfigRepository
from ..config.yaml_reader import copy_plain, to_plain
from ..errors import ConfigError, did_you_mean, join_words, short_repr
from .insertion import Entry, insert_all
from .report import START, WHERE, Report
from .selectors import PATTERN, is_pattern
from .zoo import network

KEYS = ("paper", "host", "input", "place")
ENTRY = ("at", "block", "where", "start", "overrides", "carry", "grid")


def host_config(source: Any, search: Iterable[str | Path] = ()) -> tuple[dict[str, Any], str]:
    """A host's config by name (`configs/host`, or a folder of `search`), Path or mapping, and its label.

    Raises ConfigError for what is no such config.
    """
    shelf = ConfigRepository(search)
    if isinstance(source, Mapping):
        data, label = to_plain(source, ""), "host"
    elif isinstance(source, Path):
        data, label = copy_plain(shelf.read(source).data), source.name
    else:
        path = shelf.find(source, "host") if isinstance(source, str) else None
        if path is None:
            raise ConfigError(
                [(short_repr(source), f"no host of this name{did_you_mean(str(source), shelf.list_names('host'))}")]
            )
        data, label = copy_plain(shelf.read(path).data), path.name
    _check(data, label)
    return data, label


def _check(data: Any, label: str) -> None:
    if not isinstance(data, dict) or not isinstance(data.get("place"), list) or not data["place"]:
        raise ConfigError([(label, "has no place: a list of {at, block, where, start}")])
    faults = [
        (label, f"no key {key!r}; there are {join_words(KEYS)}{did_you_mean(key, KEYS)}") for key in data if key not in KEYS
    ]
    for i, entry in enumerate(data["place"]):
        faults += [(f"{label} place.{i}", text) for text in _entry_faults(entry)]
    if faults:
        raise ConfigError(faults)


def _entry_faults(entry: Any) -> list[str]:
    """What is wrong with one place."""
    if not isinstance(entry, dict):
        return [f"{short_repr(entry)}; a place is a mapping of {join_words(ENTRY)}"]
    faults = [f"no key {key!r}; there are {join_words(ENTRY)}{did_you_mean(key, ENTRY)}" for key in entry if key not in ENTRY]
    faults += [f"needs {key}" for key in ("at", "block") if key not in entry]
    for key, allowed in (("where", WHERE), ("start", START)):
        if key in entry and entry[key] not in allowed:
            faults.append(
                f"{key} is {short_repr(entry[key])}; allowed: one of {join_words(allowed)}{did_you_mean(str(entry[key]), allowed)}"
            )
    at = entry.get("at")
    if "at" in entry and not is_pattern(at):
        faults.append(f"at is {short_repr(at)}; it is {PATTERN}")
    return faults


def place(
    model: nn.Module,
    source: Any,
    *,
    input_size: Sequence[int] | None = None,
    example: Tensor | None = None,
    search: Iterable[str | Path] = (),
) -> Report:
    """Puts the blocks of a host's config into a network of one's own: all of them, or none.

    Raises ConfigError, and then nothing of the network is changed.
    """
    data, label = host_config(source, search)
    size = input_size or data.get("input")
    entries = [Entry(entry["block"], **{key: entry[key] for key in entry if key != "block"}) for entry in data["place"]]
    try:
        return insert_all(model, entries, input_size=size, example=example, search=search)
    except ConfigError as error:
        raise ConfigError([(f"{label}: {path}", text) for path, text in error.faults]) from None


def host(source: Any, *, pretrained: bool = False, search: Iterable[str | Path] = ()) -> tuple[nn.Module, Report]:
    """The network that a host's config names, with its blocks, and the report of what was inserted.

    Raises ConfigError.
    """
    data, label = host_config(source, search)
    if "host" not in data:
        raise ConfigError([(label, "names no network; write host: timm:resnet50, or use sefactory.place on one of your own")])
    model = network(data["host"], pretrained)
    return model, place(model, source, search=search)
