"""How an inserted block runs: as a child of a module of the network, called by a forward hook, so that no key is renamed."""

from functools import partial
from typing import Any

from torch import Tensor, nn

from ..block import Block
from ..errors import ConfigError
from .adapter import CHILD, ResidualAdapter, fold_adapter
from .options import Where


def attach_block(model: nn.Module, path: str, child: Block | ResidualAdapter, where: Where) -> None:
    """Puts a block or its adapter after, before or in place of the module at a path. Keys of the network stay as they are."""
    original = model.get_submodule(path)
    if where == "replace" and isinstance(child, Block):
        parent, _, name = path.rpartition(".")
        hook = partial(_discard_original, tuple(original.state_dict()))
        nn.Module.register_load_state_dict_pre_hook(child, hook)
        setattr(model.get_submodule(parent), name, child)
        return
    if type(original).forward is nn.Sequential.forward and where != "replace":
        steps = list(original._modules.items())
        original._modules.clear()
        original._modules.update([*steps, (CHILD, child)] if where == "after" else [(CHILD, child), *steps])
    else:
        original.add_module(CHILD, child)
        if where == "before":
            original.register_forward_pre_hook(_call_before)
        else:
            original.register_forward_hook(_call_after if where == "after" else _call_parallel)
    original.register_load_state_dict_pre_hook(_keep_inserted)


def _inserted(module: nn.Module) -> nn.Module:
    child = module._modules[CHILD]
    assert child is not None
    return child


def _call_after(module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Any:
    return _inserted(module)(output)


def _call_before(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
    return (_inserted(module)(args[0]), *args[1:])


def _call_parallel(module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Any:
    return _inserted(module)(args[0], output)


def _keep_inserted(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Completes a checkpoint of the network without blocks by the current tensors of the inserted block."""
    if not any(key.startswith(f"{prefix}{CHILD}.") for key in state):
        state.update({f"{prefix}{CHILD}.{key}": tensor for key, tensor in _inserted(module).state_dict().items()})


def _discard_original(original_keys: tuple[str, ...], block: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Replaces the tensors of the replaced module in a checkpoint of the network without blocks by the block's current ones."""
    own = block.state_dict()
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
    for path, module in list(model.named_modules()):
        child = module._modules.get(CHILD)
        if isinstance(child, ResidualAdapter):
            try:
                module._modules[CHILD] = fold_adapter(child)
            except ConfigError as error:
                remaining.append((path, error.faults[0][1]))
    return remaining
