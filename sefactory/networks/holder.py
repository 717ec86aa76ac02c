"""`Holder`: a module of a network together with its inserted block, in the place of that module."""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from ..bench.dry_run import library_of
from .layouts import CHANNELS_FIRST, Layout

Where = Literal["after", "before", "replace"]
ORIGINAL, CHILD = "original", "inserted"
"""The children of a holder. CHILD is part of the state-dict keys, ORIGINAL is not."""
REGISTER = "register_forward_hook"
"""The method that a holder replaces at its module."""
HOOKS = ("_forward_hooks", "_forward_hooks_with_kwargs", "_forward_hooks_always_called")
OTHER_HOOKS = ("_forward_pre_hooks", "_forward_pre_hooks_with_kwargs", "_backward_hooks", "_backward_pre_hooks")
"""The hooks that a holder has only if they were registered at it."""


class InsertionPoint(NamedTuple):
    """Where a block is: the path of a module, where beside that module, and the layout of its map."""

    path: str
    where: Where = "after"
    layout: Layout = CHANNELS_FIRST


class Holder(nn.Module):
    """Calls a module of the network, `original`, and the block `inserted` after it, before it, or in parallel to it.

    It stands where the module stood, so that whatever calls the place runs the block. Tools that rebuild modules recurse
    into it; tools that fuse or fold the module meet a type that they do not know, and fail.

    State-dict keys are those of the module and `inserted.*`. Attributes, iteration and indexing are those of the module,
    except for its tensors: a tool that reads `weight` would compute the module itself and drop the block. Forward hooks
    that the module had are moved to the holder, and see the output with the block.
    """

    original: Any
    inserted: Any

    def __init__(self, original: nn.Module, inserted: nn.Module, place: InsertionPoint) -> None:
        super().__init__()
        self.sefactory_place = place  # a name that no module of a network has
        self.training = original.training
        if place.where != "before":
            exchange_hooks(self, original)
        self._modules[ORIGINAL], self._modules[CHILD] = original, inserted
        if place.where != "before":
            original.__dict__[REGISTER] = self._register_hook_of_original
        nn.Module.register_state_dict_post_hook(self, _drop_original)
        nn.Module.register_load_state_dict_pre_hook(self, _add_original)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        original, inserted, (_, where, layout) = self.original, self.inserted, self.sefactory_place
        if where == "before":
            return original(layout.apply(inserted, args[0]), *args[1:], **kwargs)
        y = original(*args, **kwargs)
        return layout.apply(inserted, y) if where == "after" else layout.apply(inserted, args[0], y)

    def __getattr__(self, name: str) -> Any:
        modules = self.__dict__.get("_modules", {})
        is_special = name.startswith("__")  # copy.deepcopy asks for __deepcopy__: that of the module would drop the block
        if name in modules or ORIGINAL not in modules or is_special:
            return super().__getattr__(name)
        original = modules[ORIGINAL]
        if name in original._parameters or name in original._buffers or isinstance(value := getattr(original, name), Tensor):
            raise AttributeError(self._tensor_message(name), name=name, obj=self)
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        """Sets an attribute that the module has, and new children and parameters, at the module; else at the holder."""
        if self._is_own(name) or not (isinstance(value, nn.Module | nn.Parameter) or hasattr(self.original, name)):
            super().__setattr__(name, value)
        else:
            setattr(self.original, name, value)

    def __delattr__(self, name: str) -> None:
        if self._is_own(name) or not hasattr(self.original, name):
            super().__delattr__(name)
        else:
            delattr(self.original, name)

    def _is_own(self, name: str) -> bool:
        """True if the holder has an attribute of this name itself, or if the name is private."""
        own = self.__dict__
        if ORIGINAL not in own.get("_modules", {}) or name.startswith("_") or hasattr(type(self), name):
            return True
        return any(name in table for table in (own, own["_modules"], own["_parameters"], own["_buffers"]))

    def _register_hook_of_original(self, hook: Any, **options: Any) -> RemovableHandle:
        """Registers a forward hook of the module at the holder if the library of the module defines the hook.

        Transformers finds modules by their classes in the first forward pass, to collect their outputs for its decoders.
        """
        library = library_of(type(self.original))
        module = self if library and library == library_of(hook) else self.original
        return type(module).register_forward_hook(module, hook, **options)

    def _tensor_message(self, name: str) -> str:
        path = self.sefactory_place.path
        return (
            f"{path}.{name}: a sefactory block is inserted at {path}; a tool that computes with this tensor itself would drop "
            f"the block; read {path}.{ORIGINAL}.{name}, or insert the block at the module that contains {path}"
        )

    def __iter__(self) -> Iterator[Any]:
        return iter(self.original)

    def __len__(self) -> int:
        return len(self.original)

    def __bool__(self) -> bool:
        return bool(self.original)

    def __getitem__(self, index: Any) -> Any:
        return self.original[index]

    def extra_repr(self) -> str:
        _, where, layout = self.sefactory_place
        return f"where={where!r}" + (f", layout={layout.name!r}" if layout != CHANNELS_FIRST else "")


def release_original(holder: Holder) -> nn.Module:
    """Returns the module of a holder, with the hooks of both."""
    original: nn.Module = holder.original
    original.__dict__.pop(REGISTER, None)
    for name in (*HOOKS, *OTHER_HOOKS):
        hooks, own = holder.__dict__[name], original.__dict__[name]
        is_exchanged = name in HOOKS and holder.sefactory_place.where != "before"  # then it is the dict that the module had
        if is_exchanged or (hooks and not own):
            hooks.update(own)
            original.__dict__[name], holder.__dict__[name] = hooks, OrderedDict()
        else:
            own.update(hooks)  # the handles of those that the module had keep working
    if holder._is_full_backward_hook is not None:
        original._is_full_backward_hook = holder._is_full_backward_hook
    return original


def exchange_hooks(first: nn.Module, second: nn.Module) -> None:
    """Exchanges the forward hooks of two modules. Handles that remove a hook keep working: they refer to the dicts."""
    for name in HOOKS:
        first.__dict__[name], second.__dict__[name] = second.__dict__[name], first.__dict__[name]


def _drop_original(module: nn.Module, state: dict[str, Any], prefix: str, local_metadata: dict[str, Any]) -> None:
    """Gives the keys of the module and their versions the names that they have without a holder."""
    start = f"{prefix}{ORIGINAL}."
    for key in [key for key in state if key.startswith(prefix)]:
        tensor = state.pop(key)
        state[prefix + key.removeprefix(start) if key.startswith(start) else key] = tensor
    versions = getattr(state, "_metadata", {})
    for path in [path for path in versions if f"{path}.".startswith(start)]:
        versions[(prefix + f"{path}.".removeprefix(start)).removesuffix(".")] = versions[path]


def _add_original(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """The inverse of `_drop_original`, for loading."""
    inserted, start = f"{prefix}{CHILD}.", f"{prefix}{ORIGINAL}."
    for key in [key for key in state if key.startswith(prefix) and not key.startswith((inserted, start))]:
        state[start + key.removeprefix(prefix)] = state.pop(key)


def unwrap(module: nn.Module) -> nn.Module:
    """The module of the network that a holder holds; any other module as it is."""
    return module.original if isinstance(module, Holder) else module


def named_places(model: nn.Module, *, remove_duplicate: bool = True) -> Iterator[tuple[str, nn.Module]]:
    """`model.named_modules()` with the paths of the network: a holder stands at the path of its module.

    The module itself is left out; its children have the paths that they have without the holder.
    """
    return _walk(model, "", set() if remove_duplicate else None)


def _walk(module: nn.Module, path: str, seen: set[nn.Module] | None) -> Iterator[tuple[str, nn.Module]]:
    """The module at a path and those inside; those in `seen` are left out."""
    if seen is not None and module in seen:
        return
    inner = unwrap(module)
    if seen is not None:
        seen |= {module, inner}
    yield path, module
    inserted = [(CHILD, module._modules[CHILD])] if isinstance(module, Holder) else []
    for name, child in [*inner._modules.items(), *inserted]:
        if child is not None:
            yield from _walk(child, f"{path}.{name}" if path else name, seen)
