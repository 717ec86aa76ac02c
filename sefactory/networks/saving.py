"""Networks with blocks on disk: a folder with recipe.yaml and model.safetensors."""

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_model, save_model
from torch import nn

from ..errors import ConfigError, choice_message, join_words, short_repr
from ..shapes import GRIDS
from .attachment import attach_block, match_module
from .holder import InsertionPoint, named_places
from .host import host_config
from .insertion import check_targets
from .recipe import VERSION, child_of, forget_recipe, layout_of, note_recipe, recipe
from .selectors import nearest_paths
from .zoos import create_network

RECIPE, WEIGHTS = "recipe.yaml", "model.safetensors"
MAX_NAMES = 3


def save(model: nn.Module, folder: str | Path) -> None:
    """Writes a network with its blocks: recipe.yaml, and all weights and buffers as model.safetensors.

    Each file is replaced when the new one is complete. Raises ConfigError for a network without blocks and for frozen ones.

    >>> import tempfile, sefactory as sf
    >>> net, again = (nn.Sequential(nn.Conv2d(3, 32, 1)) for _ in range(2))
    >>> report, folder = sf.insert(net, "senet", "0", input_size=(3, 8, 8)), tempfile.mkdtemp()
    >>> save(net, folder)
    >>> x = torch.ones(1, 3, 8, 8)
    >>> torch.equal(restore(folder, again)(x), net(x))
    True
    """
    data, path = recipe(model), Path(folder)
    if not data["place"]:
        raise ConfigError([("model", "has no inserted blocks; insert them first, or save its state dict with safetensors")])
    if path.exists() and not path.is_dir():
        raise ConfigError([(str(path), "is a file; give a folder")])
    path.mkdir(parents=True, exist_ok=True)
    save_model(model, str(path / f"{WEIGHTS}.part"))
    (path / f"{RECIPE}.part").write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    for name in (WEIGHTS, RECIPE):
        os.replace(path / f"{name}.part", path / name)


def restore(folder: str | Path, model: nn.Module | None = None, *, search: Sequence[str | Path] = ()) -> nn.Module:
    """Returns the network of a folder that `save` wrote, with its blocks and weights.

    `model` is the network without blocks, which then gets them; without it the network is created by the name that
    `sefactory.host` noted. `search` are folders of the configs that the blocks name.
    Raises ConfigError for a folder without the files, a recipe of another version, a network that lacks a place, and
    weights that lack a key; a given network is then unchanged.
    """
    path = Path(folder)
    data = _read_recipe(path)
    try:
        network = _network(data, path) if model is None else model
        undo = insert_recipe(network, data, search)
    except ConfigError as error:
        raise ConfigError([(f"{RECIPE}: {where}", text) for where, text in error.faults]) from None
    try:
        _load_weights(network, path / WEIGHTS)
    except BaseException:
        for step in reversed(undo):
            step()
        raise
    return network


def _read_recipe(folder: Path) -> dict[str, Any]:
    """The recipe of a folder. Raises ConfigError for missing files, another version, and entries of a wrong form."""
    if not (folder / RECIPE).is_file() or not (folder / WEIGHTS).is_file():
        missing = [name for name in (RECIPE, WEIGHTS) if not (folder / name).is_file()]
        raise ConfigError([(str(folder), f"has no {join_words(missing)}; give a folder that sefactory.save wrote")])
    data, label = host_config(folder / RECIPE)
    made_with = data.get("made_with")
    version = made_with.get("recipe") if isinstance(made_with, Mapping) else None
    if version != VERSION:
        cure = "use sefactory.place" if made_with is None else "restore it with the version of sefactory that wrote it"
        raise ConfigError([(f"{label} made_with.recipe", f"{version!r}; allowed: {VERSION}; {cure}")])
    faults = [(f"{label} place.{i}", text) for i, entry in enumerate(data["place"]) for text in _entry_faults(entry)]
    if faults:
        raise ConfigError(faults)
    return data


def _entry_faults(entry: Mapping[str, Any]) -> list[str]:
    """What an entry of a recipe needs besides the keys of a host's config."""
    numbers = {"channels": [entry.get("channels")], "size": entry.get("size", []), "token_grid": entry.get("token_grid", [])}
    faults = [f"needs {key}" for key in ("where", "start") if key not in entry]
    if not isinstance(entry["at"], list):
        faults.append(f"at is {short_repr(entry['at'])}; allowed: a list of paths")
    for key, values in numbers.items():
        if not isinstance(values, list) or not all(type(value) is int and value > 0 for value in values):
            faults.append(f"{key} is {short_repr(entry.get(key))}; allowed: positive whole numbers")
    if entry.get("grid", "HW") not in GRIDS:
        faults.append(f"grid is {choice_message(entry['grid'], GRIDS)}")
    return faults


def _network(data: Mapping[str, Any], folder: Path) -> nn.Module:
    if "host" not in data:
        cure = f"pass the network without blocks: sefactory.restore({str(folder)!r}, model)"
        raise ConfigError([("host", f"is missing, so the network is not known; {cure}")])
    return create_network(data["host"])


def insert_recipe(model: nn.Module, data: Mapping[str, Any], search: Sequence[str | Path] = ()) -> list[Callable[[], None]]:
    """Inserts the blocks of a recipe without a trace; returns the functions that undo it. Raises ConfigError before."""
    targets = [(path, i, entry) for i, entry in enumerate(data["place"]) for path in entry["at"]]
    paths = [path for path, _ in named_places(model, remove_duplicate=False) if path]
    missing = [(path, i) for path, i, _ in targets if path not in paths]
    if missing:
        text = "the network has no module of this"
        raise ConfigError([(f"place.{i} at {path}", f"{text} {nearest_paths(path, paths)}") for path, i in missing])
    check_targets(model, [path for path, _, _ in targets])
    children = [child_of(entry, search) for _, _, entry in targets]
    undo: list[Callable[[], None]] = [partial(forget_recipe, model)]
    for (path, _, entry), child in zip(targets, children, strict=True):
        match_module(child, model.get_submodule(path), model)
        undo.append(attach_block(model, child, InsertionPoint(path, entry["where"], layout_of(entry))))
    note_recipe(model)
    return undo


def _load_weights(model: nn.Module, path: Path) -> None:
    """Loads all weights. Raises ConfigError, before a tensor is changed, for keys that are missing or of another shape."""
    try:
        with safe_open(str(path), framework="pt") as file:
            shapes = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ConfigError([(path.name, f"cannot be read: {error}")]) from None
    state = model.state_dict()
    saved = {_storage(state[key]) for key in shapes if key in state}
    missing = [key for key in state if key not in shapes and _storage(state[key]) not in saved]
    unknown = [key for key in shapes if key not in state]
    faults = [
        (f"{path.name} {key}", f"has the shape {shapes[key]}, the network needs {tuple(tensor.shape)}")
        for key, tensor in state.items()
        if key in shapes and shapes[key] != tuple(tensor.shape)
    ]
    if missing:
        faults.append((path.name, f"lacks {_some(missing)}; save the network again with sefactory.save"))
    if unknown:
        cure = "pass the network that was saved"
        faults.append((path.name, f"has keys that the network lacks: {', '.join(unknown[:MAX_NAMES])}; {cure}"))
    if faults:
        raise ConfigError(faults)
    load_model(model, str(path), strict=True)


def _storage(tensor: torch.Tensor) -> tuple[int, torch.Size, tuple[int, ...]]:
    """What two names of one tensor have in common."""
    return tensor.data_ptr(), tensor.shape, tensor.stride()


def _some(keys: Sequence[str]) -> str:
    """The number of keys and the first ones."""
    more = ", ..." if len(keys) > MAX_NAMES else ""
    return f"{len(keys)} keys ({', '.join(keys[:MAX_NAMES])}{more})"
