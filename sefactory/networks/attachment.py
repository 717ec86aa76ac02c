"""Puts blocks into a network and takes them out. No state-dict key of the network is renamed."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from torch import nn

from ..block import Block
from ..errors import ConfigError
from .adapter import ResidualAdapter, fold_adapter
from .holder import CHILD, Holder, InsertionPoint, named_places, release_original, unwrap
from .layouts import CHANNELS_FIRST

Child = Block | ResidualAdapter
INSERTED_PATHS = "sefactory_inserted"
"""The attribute of a network: the paths at which blocks were inserted, and the names of the blocks."""
INSERTION = "sefactory_insertion"
"""The attribute of an inserted block or its adapter: its `Insertion`."""


class Insertion(NamedTuple):
    """The place of a block, the record of the network into which it was inserted, and what it replaced.

    `replaced_keys` are the state-dict keys of the module whose place the block took; None if that module is still there.
    """

    place: InsertionPoint
    record: dict[str, str]
    replaced_keys: tuple[str, ...] | None = None


def attach_block(model: nn.Module, child: Child, place: InsertionPoint) -> Callable[[], None]:
    """Puts a block or its adapter after, before or in place of a module; returns the function that undoes it.

    A plain nn.Sequential gets the block as its last or first step, since it is also iterated over. Any other module, and a
    map of another layout than channels first, gets a holder in its place.
    """
    record = model.__dict__.setdefault(INSERTED_PATHS, {})
    record[place.path] = block_name(block_of(child))
    if place.where != "replace" or isinstance(child, ResidualAdapter):
        child.__dict__[INSERTION] = Insertion(place, record)
        nn.Module.register_load_state_dict_pre_hook(child, _complete)
        return hold(model, child, place)
    parent, name, original = _parent(model, place.path)
    child.__dict__[INSERTION] = Insertion(place, record, tuple(original.state_dict()))
    nn.Module.register_load_state_dict_pre_hook(child, _discard_original)
    parent._modules[name] = child
    return partial(_put_back, model, place.path, original, child)


def hold(model: nn.Module, child: nn.Module, place: InsertionPoint) -> Callable[[], None]:
    """Adds a module to a Sequential, or puts a holder with it into any other place; returns the function that undoes it."""
    parent, name, original = _parent(model, place.path)
    if is_plain_sequential(original) and place.where != "replace" and place.layout == CHANNELS_FIRST:
        steps = list(original._modules.items())
        original._modules.clear()
        original._modules.update([*steps, (CHILD, child)] if place.where == "after" else [(CHILD, child), *steps])
    else:
        parent._modules[name] = Holder(original, child, place)
    return partial(detach_block, model, place.path)


def detach_block(model: nn.Module, path: str) -> None:
    """Takes the block at a path out, and puts the module that a holder holds back into its place."""
    module = _parent(model, path)[2]
    if isinstance(module, Holder):
        _put_back(model, path, release_original(module), module.inserted)
    else:
        _put_back(model, path, module, module._modules.pop(CHILD))


def _put_back(model: nn.Module, path: str, original: nn.Module, child: nn.Module | None) -> None:
    """Puts a module back into the place of a block, and takes the block out of the record of insertions."""
    parent, name, _ = _parent(model, path)
    parent._modules[name] = original
    if child is not None and INSERTION in child.__dict__:
        insertion: Insertion = child.__dict__[INSERTION]
        insertion.record.pop(insertion.place.path, None)
    model.__dict__.get(INSERTED_PATHS, {}).pop(path, None)  # the other record is a copy if the block was copied by itself
    if not model.__dict__.get(INSERTED_PATHS, True):
        del model.__dict__[INSERTED_PATHS]


def _parent(model: nn.Module, path: str) -> tuple[nn.Module, str, nn.Module]:
    """The module that has the module at a path as a child, its name there, and the module at the path."""
    above, _, name = path.rpartition(".")
    parent = unwrap(model.get_submodule(above))
    module = parent._modules[name]
    assert module is not None
    return parent, name, module


def match_module(child: nn.Module, original: nn.Module, model: nn.Module) -> None:
    """Gives a new block the device, dtype and mode of the module at its place.

    Device and dtype of a module without parameters are those of the network.
    """
    tensor = next((p for module in (original, model) for p in module.parameters()), None)
    if tensor is not None:
        device, dtype = tensor.device, tensor.dtype
        own = [*child.parameters(), *child.buffers()]
        if any(t.device != device or (t.is_floating_point() and t.dtype != dtype) for t in own):  # `to` takes longer
            child.to(device, dtype)
    if child.training != original.training:
        child.train(original.training)


def inserted_block(module: nn.Module) -> Child | None:
    """The block that was inserted at a place, given the module there; None without one."""
    if isinstance(module, Block) and is_replacement(module):
        return module
    if isinstance(module, Holder) or is_plain_sequential(module):
        child = module._modules.get(CHILD)
        is_inserted = isinstance(module, Holder) or (child is not None and INSERTION in child.__dict__)
        return child if is_inserted and isinstance(child, Child) else None
    return None


def place_of(module: nn.Module, child: Child) -> InsertionPoint:
    """Where a block was inserted, given the module at the place. A block that was exchanged in a holder has its place."""
    place: InsertionPoint = module.sefactory_place if isinstance(module, Holder) else insertion_of(child).place
    return place


def is_plain_sequential(module: nn.Module) -> bool:
    """True for a Sequential with torch's own forward, which gets a block as one of its steps."""
    return isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward


def insertion_of(child: nn.Module) -> Insertion:
    """How an inserted block was inserted."""
    insertion: Insertion = child.__dict__[INSERTION]
    return insertion


def is_replacement(module: nn.Module) -> bool:
    """True for a block that took the place of a module, which is gone."""
    return INSERTION in module.__dict__ and insertion_of(module).replaced_keys is not None


def block_of(child: Child) -> Block:
    """The block, also of an adapter."""
    return child.block if isinstance(child, ResidualAdapter) else child


def block_name(block: Block) -> str:
    """The name of a block in reports."""
    return block.label.removesuffix(".yaml")


def _complete(child: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Completes a checkpoint of the network without blocks by the current tensors of the inserted block."""
    if not any(key.startswith(prefix) for key in state):
        state.update({f"{prefix}{key}": tensor for key, tensor in child.state_dict().items()})


def _discard_original(block: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Replaces the tensors of the replaced module in a checkpoint of the network without blocks by the block's current ones."""
    own, original_keys = block.state_dict(), insertion_of(block).replaced_keys or ()
    loaded = {key: state[f"{prefix}{key}"] for key in dict.fromkeys([*own, *original_keys]) if f"{prefix}{key}" in state}
    if any(key not in original_keys for key in loaded):
        return  # a checkpoint with this block
    if loaded.keys() == own.keys() and all(own[key].shape == loaded[key].shape for key in loaded):
        return  # the tensors fit the block
    if not loaded and original_keys:
        return  # the checkpoint has neither; torch reports the missing keys
    for key in loaded:
        del state[f"{prefix}{key}"]
    state.update({f"{prefix}{key}": tensor for key, tensor in own.items()})


def fold(model: nn.Module) -> list[tuple[str, str]]:
    """Folds the mixing coefficient of every inserted block into its gate.

    Returns (path, reason) of every block where this is not possible; it keeps its adapter.
    """
    remaining = []
    for path, module in list(named_places(model)):
        child = inserted_block(module)
        if isinstance(child, ResidualAdapter):
            try:
                folded = fold_adapter(child)
            except ConfigError as error:
                remaining.append((path, error.faults[0][1]))
                continue
            if INSERTION in child.__dict__:
                folded.__dict__[INSERTION] = insertion_of(child)
            nn.Module.register_load_state_dict_pre_hook(folded, _complete)
            module._modules[CHILD] = folded
    return remaining
