"""How a block runs in a network: as a child of the module at its place, called by a hook, so that no key is renamed."""

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor, nn

from ..block import Block
from ..errors import ConfigError
from .adapter import CHILD, ResidualAdapter, folded
from .report import Where


def put(model: nn.Module, path: str, child: Block | ResidualAdapter, where: Where) -> None:
    """Puts a block or blend behind, before or in place of the module at a path; no key of the network changes its name."""
    former = model.get_submodule(path)
    if where == "replace" and isinstance(child, Block):
        parent, _, name = path.rpartition(".")
        _on_load(child, partial(_without_former, tuple(former.state_dict())))
        setattr(model.get_submodule(parent), name, child)
        return
    if type(former).forward is nn.Sequential.forward and where != "replace":
        steps = list(former._modules.items())
        former._modules.clear()
        former._modules.update([*steps, (CHILD, child)] if where == "after" else [(CHILD, child), *steps])
    else:
        former.add_module(CHILD, child)
        if where == "before":
            former.register_forward_pre_hook(_run_before)
        else:
            former.register_forward_hook(_run_after if where == "after" else _run_beside)
    _on_load(former, _with_own)


def _on_load(module: nn.Module, hook: Callable[..., None]) -> None:
    module.register_load_state_dict_pre_hook(hook)


def _run_after(module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:
    y: Tensor = module._modules[CHILD](output)  # type: ignore[misc]
    return y


def _run_before(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
    return (module._modules[CHILD](args[0]), *args[1:])  # type: ignore[misc]


def _run_beside(module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:
    y: Tensor = module._modules[CHILD](args[0], output)  # type: ignore[misc]
    return y


def _with_own(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """A checkpoint of the network as it was before leaves the inserted block as it is."""
    child = module._modules[CHILD]
    assert child is not None
    if not any(key.startswith(f"{prefix}{CHILD}.") for key in state):
        state.update({f"{prefix}{CHILD}.{key}": tensor for key, tensor in child.state_dict().items()})


def _without_former(former: tuple[str, ...], module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """A checkpoint of the network as it was before: the replaced module's tensors have no place any more."""
    own = module.state_dict()
    held = {key: state[f"{prefix}{key}"] for key in dict.fromkeys([*own, *former]) if f"{prefix}{key}" in state}
    if any(key not in former for key in held) or all(key in own and own[key].shape == held[key].shape for key in held):
        return  # the block's own keys, or none
    for key in held:
        del state[f"{prefix}{key}"]
    state.update({f"{prefix}{key}": tensor for key, tensor in own.items()})


def fold(model: nn.Module) -> list[tuple[str, str]]:
    """Folds every mix into the gate of its block; returns the places where that cannot be, with the reasons."""
    left = []
    for path, module in list(model.named_modules()):
        child = module._modules.get(CHILD)
        if isinstance(child, ResidualAdapter):
            try:
                module._modules[CHILD] = folded(child)
            except ConfigError as error:
                left.append((path, error.faults[0][1]))
    return left
