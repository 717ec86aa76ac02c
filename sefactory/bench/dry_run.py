"""Runs a module for its shapes: on the meta device, or on copies of its tensors. Nothing of the module changes."""

import random
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn
from torch.nn.modules import module as torch_module

from ..block import Block
from ..kernels.dispatch import is_in_dispatch_mode
from .meta_shapes import MetaShapes
from .replicas import Replicas, clone_replica, meta_replica, replicas_of

Recorder = Callable[[nn.Module, tuple[Any, ...], Mapping[str, Any], Any], None]
"""Called after each call of a module: (module, args, kwargs, output)."""
Result = TypeVar("Result")
HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")
SITE_PACKAGES = {"site-packages", "dist-packages"}
"""The folders of installed packages."""


def dry_run(
    module: nn.Module,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any] | None = None,
    *,
    recorder: Recorder | None = None,
    is_meta: bool = True,
    with_own_hooks: bool = False,
    opaque: tuple[type[nn.Module], ...] = (),
) -> Any:
    """The output of one forward pass in eval mode without gradients, with replicas of all tensors.

    Every attribute of every module and the random states are the same afterwards. Hooks of the user do not run, only
    those by which torch computes a weight (weight norm, spectral norm, pruning) and this package runs its blocks. With
    `with_own_hooks` those run too that are methods of the modules, or of objects that the modules hold, and functions of
    the libraries that define the modules. Modules of the classes `opaque` do not run: their method `dry_forward` returns a
    tensor of the shape of their result.
    """
    with ExitStack() as stack:
        for context in (torch.no_grad(), _without_global_hooks(), _module_by_module(), _uncompiled_blocks(module)):
            stack.enter_context(context)
        replicas = stack.enter_context(replicas_of(module, meta_replica if is_meta else clone_replica, opaque))
        args, kwargs = replicas.of((args, {**(kwargs or {})}))
        stack.enter_context(_random_states(replicas.devices))
        stack.enter_context(_eval_mode(replicas.modules))
        _filter_hooks(replicas, with_own_hooks)
        for part in replicas.modules:
            if isinstance(part, opaque):
                part.__dict__["forward"] = part.dry_forward
            part.__dict__["_compiled_call_impl"] = partial(_call_and_record, part, recorder) if recorder else None
        with nullcontext() if not is_meta or is_in_dispatch_mode() else MetaShapes():  # a mode counts all operations
            return module(*args, **kwargs)


def first_dry_run(module: nn.Module, run: Callable[[bool, bool], Result]) -> Result:
    """Returns run(is_meta, with_own_hooks) of the first call that raises no error; raises the error of the last one.

    The meta device comes first, then copies of the tensors: a module that creates tensors itself, or reads values, needs
    these. On each, the second call is with the module's own hooks, if it has any.
    """
    ways = list(product((True, False), (False, True) if _has_hooks(module) else (False,)))
    for way in ways[:-1]:
        with suppress(Exception):
            return run(*way)
    return run(*ways[-1])


@contextmanager
def _eval_mode(modules: Sequence[nn.Module]) -> Iterator[None]:
    """Sets eval mode. Scripted modules are set back here; `Replicas` restores the modes of others."""
    scripted = [(module, module.training) for module in modules if "training" not in module.__dict__]
    for module in modules:
        module.training = False
    try:
        yield
    finally:
        for module, mode in scripted:
            module.training = mode


def _call_and_record(module: nn.Module, recorder: Recorder, *args: Any, **kwargs: Any) -> Any:
    output = module._call_impl(*args, **kwargs)
    with torch._C.DisableTorchFunction():  # every size that is read would pass through `MetaShapes`
        recorder(module, args, kwargs, output)
    return output


def _has_hooks(module: nn.Module) -> bool:
    """True if a module inside has a hook."""
    return any(getattr(part, name, None) for part in module.modules() for name in HOOKS)


def _filter_hooks(replicas: Replicas, with_own_hooks: bool) -> None:
    """Removes all hooks but those that compute a weight and, with `with_own_hooks`, those of the network and its libraries.

    A hook belongs to the network if it is a method of an object that the network holds.
    """
    libraries = {library_of(kind) for kind in set(map(type, replicas.modules))} - {""} if with_own_hooks else set()
    for module, name in product(replicas.modules, HOOKS):
        table: dict[int, Any] = module.__dict__.get(name, {})
        for key, hook in list(table.items()) if table else ():
            owner = _owner(hook)
            is_own = with_own_hooks and (replicas.holds(owner) or library_of(owner) in libraries)
            if not is_own and not _computes(owner):
                del table[key]


def library_of(value: Any) -> str:
    """The name of the installed package that defines a class or a function; "" for torch and for code of the user."""
    name = (getattr(value, "__module__", None) or "").partition(".")[0]
    file = getattr(sys.modules.get(name), "__file__", None) or ""
    return name if name != "torch" and SITE_PACKAGES & set(Path(file).parts) else ""


def _owner(hook: Any) -> Any:
    """The object of which a hook is a method; the hook itself if it is no method."""
    while isinstance(hook, partial):
        hook = hook.func
    return getattr(hook, "__self__", hook)


def _computes(owner: Any) -> bool:
    """True for weight_norm, spectral_norm and pruning methods, also for classes derived from them; and for this package."""
    names = [kind.__module__ for kind in type(owner).__mro__] + [getattr(owner, "__module__", None) or ""]
    return any(name.startswith(("torch.nn.utils.", f"{__package__.partition('.')[0]}.")) for name in names)


@contextmanager
def _without_global_hooks() -> Iterator[None]:
    """Removes the hooks that are registered for all modules, and registers them again at the end."""
    tables = [table for name, table in vars(torch_module).items() if name.startswith("_global_") and isinstance(table, dict)]
    saved = [(table, dict(table)) for table in tables if table]
    for table, _ in saved:
        table.clear()
    try:
        yield
    finally:
        for table, hooks in saved:
            table.clear()
            table.update(hooks)


@contextmanager
def _module_by_module() -> Iterator[None]:
    """Runs compiled parts uncompiled, and the layers of torch's transformers one by one as in training."""
    is_fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        # the import of the compiler takes a second
        with torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(is_fast)


@contextmanager
def _uncompiled_blocks(module: nn.Module) -> Iterator[None]:
    """Lets blocks run their module trees: their programs would be compiled for this run alone."""
    programs = {block: block.lowered for block in module.modules() if isinstance(block, Block)}
    for block in programs:
        block.__dict__["lowered"] = None
    try:
        yield
    finally:
        for block, lowered in programs.items():
            block.__dict__["lowered"] = lowered


@contextmanager
def _random_states(devices: Iterable[torch.device]) -> Iterator[None]:
    """Restores the states of the random generators of torch, Python and numpy at the end."""
    numpy = sys.modules.get("numpy")
    states = random.getstate(), numpy.random.get_state() if numpy else None
    accelerators = [device for device in devices if device.type not in ("cpu", "meta")]
    kind = accelerators[0].type if accelerators else "cuda"
    indices = sorted({device.index or 0 for device in accelerators if device.type == kind})
    try:
        with torch.random.fork_rng(indices, device_type=kind):
            yield
    finally:
        random.setstate(states[0])
        if numpy:
            numpy.random.set_state(states[1])
