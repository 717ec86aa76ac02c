"""A network with blocks as a config: `host: timm:resnet50` and a list of insertions under `place`.

The network comes from the registry of an installed library: a name in a config cannot run any other code.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from ..config.repository import ConfigRepository
from ..config.yaml_reader import copy_plain, to_plain
from ..errors import ConfigError, did_you_mean, join_words, short_repr
from .insertion import Report, insert_all
from .options import InsertionSpec, option_faults
from .tracing import Example, example_input
from .zoos import create_network

HOST_KEYS = ("paper", "host", "input", "place")
PLACE_KEYS = ("at", "block", "where", "start", "overrides", "carry", "grid", "layout", "tokens", "skip")
RECIPE_KEYS = ("made_with", "name", "channels", "size", "token_grid")
"""Keys that only a recipe has. `place` infers what they say, but for the name of the block."""


def host_config(source: Any, search: Sequence[str | Path] = ()) -> tuple[dict[str, Any], str]:
    """A host's config and its label in messages.

    `source` is a name (of configs/host, or of a folder of `search`), a Path or a mapping. Raises ConfigError if there is
    no such config, or if a key is unknown, missing or invalid.
    """
    repository = ConfigRepository(search)
    if isinstance(source, Mapping):
        data, label = to_plain(source, ""), "host"
    else:
        path = source if isinstance(source, Path) else repository.find(source, "host") if isinstance(source, str) else None
        if path is None:
            hint = did_you_mean(str(source), repository.list_names("host"))
            raise ConfigError([(short_repr(source), f"no host of this name{hint}")])
        data, label = copy_plain(repository.read(path).data), path.name
    _check_config(data, label)
    return data, label


def _check_config(data: Any, label: str) -> None:
    if not isinstance(data, dict) or not isinstance(data.get("place"), list) or not data["place"]:
        raise ConfigError([(label, "needs a key 'place' with a list of {at: ..., block: ...}")])
    faults = [(label, text) for text in _unknown_keys(data, HOST_KEYS)]
    for i, entry in enumerate(data["place"]):
        faults += [(f"{label} place.{i}", text) for text in _place_faults(entry)]
    if faults:
        raise ConfigError(faults)


def _place_faults(entry: Any) -> list[str]:
    if not isinstance(entry, dict):
        return [f"{short_repr(entry)}; allowed: a mapping with the keys {join_words(PLACE_KEYS)}"]
    missing = [f"needs {key}" for key in ("at", "block") if key not in entry]
    return [*_unknown_keys(entry, PLACE_KEYS), *missing, *(f"{key} is {text}" for key, text in option_faults(entry))]


def _unknown_keys(data: Mapping[str, Any], allowed: Sequence[str]) -> list[str]:
    unknown = (key for key in data if key not in (*allowed, *RECIPE_KEYS))
    return [f"no key {key!r}; there are {join_words(allowed)}{did_you_mean(key, allowed)}" for key in unknown]


def place(
    model: nn.Module,
    source: Any,
    *,
    input_size: Sequence[int] | None = None,
    example: Example | None = None,
    search: Sequence[str | Path] = (),
) -> Report:
    """Inserts the blocks of a host's config into a network of the user: all of them, or none.

    `source` is a name, a Path or a mapping, and its key `host` is not used. The widths come from one forward pass of
    `example` or of zeros of `input_size`, which is the config's `input` by default.
    Raises ConfigError, and then nothing of the network is changed.
    """
    data, label = host_config(source, search)
    try:
        specs = [
            InsertionSpec(
                entry["block"],
                search=search,
                name=entry.get("name", ""),
                **{key: entry[key] for key in entry if key not in ("block", *RECIPE_KEYS)},
            )
            for entry in data["place"]
        ]
        return insert_all(model, specs, example_input(model, input_size or data.get("input"), example))
    except ConfigError as error:
        raise ConfigError([(f"{label}: {path}", text) for path, text in error.faults]) from None


def host(source: Any, *, pretrained: bool = False, search: Sequence[str | Path] = ()) -> tuple[nn.Module, Report]:
    """The network that a host's config names, with its blocks, and the report of the insertion.

    Raises ConfigError as `place` does, and for a network that cannot be created.
    """
    data, label = host_config(source, search)
    if "host" not in data:
        cure = "add host: ZOO:NAME, such as timm:resnet50, or use sefactory.place with your own network"
        raise ConfigError([(label, f"names no network; {cure}")])
    model = create_network(data["host"], pretrained)
    return model, place(model, source, search=search)
