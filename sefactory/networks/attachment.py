"""Puts blocks into a network and takes them out. No state-dict key of the network is renamed."""

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn

from ..block import Block
from ..errors import ConfigError
from .adapter import ResidualAdapter, fold_adapter
from .holder import CHILD, Holder, Where, named_places, release_original, unwrap
from .layouts import CHANNELS_FIRST, Layout

Child = Block | ResidualAdapter
INSERTED_PATHS = "sefactory_inserted"
"""The attribute of a network: the paths at which blocks were inserted, and the names of the blocks."""
REPLACED = "replaced_keys"
"""The attribute of a block that took the place of a module: the state-dict keys of that module."""


def attach_block(
    model: nn.Module, path: str, child: Child, where: Where, layout: Layout = CHANNELS_FIRST
) -> Callable[[], None]:
    """Puts a block or its adapter after, before or in place of the module at a path; returns the function that undoes it.

    A plain nn.Sequential gets the block as its last or first step, since it is also iterated over. Any other module, and a
    map of another layout than channels first, gets a holder in its place.
    """
    parent, name, original = _parent(model, path)
    block = child.block if isinstance(child, ResidualAdapter) else child
    model.__dict__.setdefault(INSERTED_PATHS, {})[path] = block.label.removesuffix(".yaml")
    if where == "replace" and isinstance(child, Block):
        child.__dict__[REPLACED] = tuple(original.state_dict())
        nn.Module.register_load_state_dict_pre_hook(child, _discard_original)
        parent._modules[name] = child
        return partial(_put_back, model, path, original)
    nn.Module.register_load_state_dict_pre_hook(child, _complete)
    if type(original).forward is nn.Sequential.forward and where != "replace" and layout == CHANNELS_FIRST:
        steps = list(original._modules.items())
        original._modules.clear()
        original._modules.update([*steps, (CHILD, child)] if where == "after" else [(CHILD, child), *steps])
    else:
        parent._modules[name] = Holder(original, child, where, path, layout)
    return partial(detach_block, model, path)


def detach_block(model: nn.Module, path: str) -> None:
    """Takes the block at a path out, and puts the module that a holder holds back into its place."""
    module = _parent(model, path)[2]
    if isinstance(module, Holder):
        _put_back(model, path, release_original(module))
    else:
        del module._modules[CHILD]
        _put_back(model, path, module)


def _put_back(model: nn.Module, path: str, original: nn.Module) -> None:
    """Puts a module back into its place, and takes the path out of the record of insertions."""
    parent, name, _ = _parent(model, path)
    parent._modules[name] = original
    record = model.__dict__.get(INSERTED_PATHS, {})
    record.pop(path, None)
    if not record:
        model.__dict__.pop(INSERTED_PATHS, None)


def _parent(model: nn.Module, path: str) -> tuple[nn.Module, str, nn.Module]:
    """The module that has the module at a path as a child, its name there, and the module at the path."""
    above, _, name = path.rpartition(".")
    parent = unwrap(model.get_submodule(above))
    module = parent._modules[name]
    assert module is not None
    return parent, name, module


def inserted_block(module: nn.Module) -> Child | None:
    """The block that was inserted at a place, given the module there; None without one."""
    child = module if REPLACED in module.__dict__ else module._modules.get(CHILD)
    is_place = isinstance(module, Holder | Block) or type(module).forward is nn.Sequential.forward
    return child if is_place and isinstance(child, Child) else None


def _complete(child: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Completes a checkpoint of the network without blocks by the current tensors of the inserted block."""
    if not any(key.startswith(prefix) for key in state):
        state.update({f"{prefix}{key}": tensor for key, tensor in child.state_dict().items()})


def _discard_original(block: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Replaces the tensors of the replaced module in a checkpoint of the network without blocks by the block's current ones."""
    own, original_keys = block.state_dict(), block.__dict__[REPLACED]
    loaded = {key: state[f"{prefix}{key}"] for key in dict.fromkeys([*own, *original_keys]) if f"{prefix}{key}" in state}
    if any(key not in original_keys for key in loaded):
        return  # a checkpoint with this block
    if all(key in own and own[key].shape == loaded[key].shape for key in loaded):
        return  # the tensors fit the block, or there are none
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
            nn.Module.register_load_state_dict_pre_hook(folded, _complete)
            module._modules[CHILD] = folded
    return remaining
