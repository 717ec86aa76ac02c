"""Edits that a test draws: a module of a block, what is changed of it, and the new value."""

import copy
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

import sefactory as sf

WORDS = ["mean", "max", "sum", "stack", "multiply", "add", "none", "tanh", "cosine", "dot", "C", "", "nearest", "reflect"]


def new_value(value: Any, draw: random.Random) -> Any:
    """Another value of the same type."""
    match value:
        case bool():
            return not value
        case int():
            return value + draw.choice([1, 2, -1]) or 1
        case float():
            return value * 1.7 + 0.1
        case str():
            return draw.choice([word for word in WORDS if word != value])
        case nn.Parameter():
            return nn.Parameter(new_tensor(value, draw), requires_grad=draw.random() < 0.7)
        case Tensor():
            return new_tensor(value, draw)
        case tuple() if value:
            place = draw.randrange(len(value))
            return (*value[:place], new_value(value[place], draw), *value[place + 1 :])
    return copy.copy(value)


def new_tensor(tensor: Tensor, draw: random.Random) -> Tensor:
    if not tensor.is_floating_point():
        return tensor + 1
    generator = torch.Generator().manual_seed(draw.randrange(1000))
    return torch.rand(tensor.shape, generator=generator, dtype=tensor.dtype) + 0.3


Edit = Callable[[sf.Block], None]


def module_at(block: sf.Block, path: str) -> nn.Module:
    """A module of the tree by its path. The root is the node of the block."""
    return block.get_submodule(path) if path else block.node


def set_attribute(block: sf.Block, path: str, name: str, value: Any) -> None:
    setattr(module_at(block, path), name, copy.deepcopy(value))


def register(block: sf.Block, path: str, name: str, value: Tensor | None) -> None:
    """Registers a parameter or a buffer of this name, in the place of the one that it has."""
    module, copied = module_at(block, path), copy.deepcopy(value)
    if name in module._parameters:
        module.register_parameter(name, copied if copied is None else nn.Parameter(copied))
    else:
        module.register_buffer(name, copied)


def add_bias(block: sf.Block, path: str) -> None:
    module = module_at(block, path)
    weight: Tensor = module.weight
    shape = weight.shape[: len(getattr(module, "each", "")) + 1]
    module.bias = nn.Parameter(torch.linspace(-1, 1, max(shape.numel(), 1), dtype=weight.dtype)[: shape.numel()].reshape(shape))


def change_in_place(block: sf.Block, path: str) -> None:
    for tensor in (*module_at(block, path).parameters(), *module_at(block, path).buffers()):
        if tensor.is_floating_point():
            tensor.data.mul_(1.3)


def patch_forward(block: sf.Block, path: str) -> None:
    module = module_at(block, path)
    module.forward = scaled(module.forward)  # type: ignore[method-assign]


def scaled(forward: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda *args: 1.5 * forward(*args)


def add_hook(block: sf.Block, path: str, kind: str) -> None:
    module = module_at(block, path)
    if kind == "forward":
        module.register_forward_hook(lambda module, args, y: 0.7 * y)
    elif kind == "forward_pre":
        module.register_forward_pre_hook(lambda module, args: tuple(0.7 * x for x in args))
    else:
        module.register_full_backward_hook(lambda module, before, behind: tuple(g if g is None else 0.7 * g for g in before))


def exchange_child(block: sf.Block, path: str, new: Callable[[], nn.Module]) -> None:
    parent, _, name = path.rpartition(".")
    setattr(module_at(block, parent), name, new())


def add_child(block: sf.Block, path: str) -> None:
    module_at(block, path).add_module("added", nn.Tanh())


def edits_of(block: sf.Block, draw: random.Random) -> Iterator[tuple[str, Edit]]:
    """Every edit of every module, each with a name and one drawn value."""
    for path, module in block.node.named_modules():
        place = f"{path or 'root'}: {type(module).__name__}"
        tensors = {**module._parameters, **module._buffers}
        plain = {name: value for name, value in vars(module).items() if name[0] != "_" and name != "training"}
        for name, value in {**plain, **tensors}.items():
            yield f"{place}.{name}", partial(set_attribute, path=path, name=name, value=new_value(value, draw))
            if name in tensors:
                yield f"{place}.{name} = None", partial(set_attribute, path=path, name=name, value=None)
                yield f"{place} registers {name}", partial(register, path=path, name=name, value=new_value(value, draw))
                yield f"{place} registers None as {name}", partial(register, path=path, name=name, value=None)
        if getattr(module, "bias", 0) is None:
            yield f"{place}.bias = Parameter", partial(add_bias, path=path)
        yield f"{place} in place", partial(change_in_place, path=path)
        yield f"{place}.forward", partial(patch_forward, path=path)
        for kind in ("forward", "forward_pre", "full_backward"):
            yield f"{place} {kind} hook", partial(add_hook, path=path, kind=kind)
        yield f"{place} add_module", partial(add_child, path=path)
        if path:
            for new in (nn.Tanh, nn.Identity):
                yield f"{place} = {new.__name__}", partial(exchange_child, path=path, new=new)


@contextmanager
def class_patched(kind: type[nn.Module]) -> Iterator[None]:
    """The `forward` of a class is another one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kind, "forward", scaled(kind.forward))
        yield


@contextmanager
def global_hook(kind: type[nn.Module]) -> Iterator[None]:
    """A hook of all modules, which changes the output of one class."""
    with register_module_forward_hook(lambda module, args, y: 0.7 * y if type(module) is kind else y):
        yield
