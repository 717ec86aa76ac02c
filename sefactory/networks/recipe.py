"""The recipe of a network: its inserted blocks as a host's config, from which they can be inserted again without a trace."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from torch import nn

from ..bench.versions import package_version
from ..block import Block
from ..build.api import build
from ..config.yaml_reader import copy_plain
from ..errors import ConfigError
from .adapter import ResidualAdapter
from .attachment import INSERTED_PATHS, Child, block_name, block_of, inserted_block, place_of
from .holder import InsertionPoint, named_places
from .layouts import CHANNELS_FIRST, Layout
from .zoos import ORIGIN

NOTE = "sefactory"
"""The key of a recipe in the metadata of a state dict."""
VERSION = 1
"""The form of a recipe. A later form has a larger number."""


def recipe(model: nn.Module | Mapping[str, Any]) -> dict[str, Any]:
    """Returns the inserted blocks of a network as a host's config of plain values, for `place`, YAML and JSON.

    Instead of a network it takes its state dict, whose metadata has the recipe, also after torch.save and torch.load.

    An entry of `place` holds `block` (the resolved config), its `name`, `at` (its paths), `where`, `start`, `channels`, `grid`,
    and `size` if the block needs a fixed grid. `host` names the network if `sefactory.host` created it. `made_with` has the
    version of the form and of the package.

    Raises ConfigError for a frozen block, whose weights are folded, and for a state dict without a recipe.

    >>> import sefactory as sf
    >>> net = nn.Sequential(nn.Conv2d(3, 32, 1), nn.Conv2d(32, 32, 1))
    >>> report = sf.insert(net, "senet", "*", input_size=(3, 8, 8))
    >>> {key: value for key, value in recipe(net)["place"][0].items() if key != "block"}
    {'at': ['0', '1'], 'name': 'senet', 'where': 'after', 'start': 'identity', 'channels': 32, 'grid': 'HW'}
    """
    if not isinstance(model, nn.Module):
        return _noted_recipe(model)
    entries: dict[str, dict[str, Any]] = {}
    for path, module in named_places(model):
        if (child := inserted_block(module)) is not None:
            entry = _entry(path, child, place_of(module, child))
            same = entries.setdefault(json.dumps({**entry, "at": []}), entry)  # the order of a series counts
            same["at"] += [path] if same is not entry else []
    host = {"host": model.__dict__[ORIGIN]} if ORIGIN in model.__dict__ else {}
    return {"made_with": {"recipe": VERSION, "sefactory": package_version("sefactory")}, **host, "place": [*entries.values()]}


def note_recipe(model: nn.Module) -> None:
    """Adds the recipe to the metadata of every state dict of a network from now on."""
    if not any(hook is _add_recipe for hook in model._state_dict_hooks.values()):
        nn.Module.register_state_dict_post_hook(model, _add_recipe)


def forget_recipe(model: nn.Module) -> None:
    """The inverse of `note_recipe`, for a network without inserted blocks; others keep it."""
    if INSERTED_PATHS not in model.__dict__:
        for key in [key for key, hook in model._state_dict_hooks.items() if hook is _add_recipe]:
            del model._state_dict_hooks[key]


def _add_recipe(model: nn.Module, state: dict[str, Any], prefix: str, local_metadata: dict[str, Any]) -> None:
    with suppress(ConfigError):  # a frozen block has no recipe
        if (data := recipe(model))["place"]:
            local_metadata[NOTE] = data


def _noted_recipe(state: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe in the metadata of a state dict. A note of the whole network includes those of its parts."""
    metadata = getattr(state, "_metadata", {}) if isinstance(state, Mapping) else {}
    notes = {f"{prefix}.": note[NOTE] for prefix, note in metadata.items() if NOTE in note}
    outermost = {
        prefix: note
        for prefix, note in notes.items()
        if not any(prefix.startswith(other) or other == "." for other in notes if other != prefix)
    }
    if not notes:
        cure = "take the state dict of a network with inserted blocks as torch.load returns it, not a copy of its items"
        raise ConfigError([("state dict", f"its metadata has no recipe; {cure}")])
    data: dict[str, Any] = copy_plain(next(iter(outermost.values())))
    if len(outermost) > 1:  # of several parts of the network: their paths get the paths of the parts
        places = [(prefix, entry) for prefix, note in outermost.items() for entry in note["place"]]
        data["place"] = [{**entry, "at": [prefix + path for path in entry["at"]]} for prefix, entry in places]
    return data


def _entry(path: str, child: Child, place: InsertionPoint) -> dict[str, Any]:
    """The entry of `place` for one block."""
    block = block_of(child)
    if block.frozen:
        raise ConfigError([(path, "its block is frozen, so its weights are folded; take the recipe before sefactory.freeze")])
    sizes = block.sizes[0]
    fixed = [sizes[axis] for axis in sizes.grid]
    entry = {
        "at": [path],
        "block": copy_plain(block.config),
        "name": block_name(block),
        "where": place.where,
        "start": "identity" if isinstance(child, ResidualAdapter) else "own",
        "channels": sizes.number("C"),
        "grid": sizes.grid,
    }
    size = {"size": fixed} if all(isinstance(size, int) for size in fixed) else {}
    return {**entry, **size, **_layout_entry(place.layout)}


def _layout_entry(layout: Layout) -> dict[str, Any]:
    """What an entry says of a layout; nothing for channels first."""
    if layout.name != "BNC":
        return {"layout": layout.name} if layout != CHANNELS_FIRST else {}
    return {"layout": layout.name, "tokens": layout.tokens, "token_grid": [*layout.grid]}


def layout_of(entry: Mapping[str, Any]) -> Layout:
    """The layout of an entry."""
    return Layout(entry.get("layout", "BCHW"), entry.get("tokens", 0), tuple(entry.get("token_grid", ())))


def child_of(entry: Mapping[str, Any], search: Sequence[str | Path]) -> Child:
    """The block of an entry, in its adapter if it had one, with initial weights. Raises ConfigError as `build` does."""
    grid = entry.get("grid", "HW")
    names = {"D": "depth", "H": "height", "W": "width"}
    size = dict(zip((names[axis] for axis in grid), entry.get("size", ()), strict=False))
    block: Block = build(
        entry["block"],
        entry["channels"],
        grid=grid,
        depth=size.get("depth"),
        height=size.get("height"),
        width=size.get("width"),
        search=search,
    )
    block.label = entry.get("name", block.label)
    return ResidualAdapter(block, entry["where"] == "replace") if entry["start"] == "identity" else block
