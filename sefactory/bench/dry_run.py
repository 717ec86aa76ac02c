"""Runs a module for its shapes: on the meta device, or on copies of its tensors. Nothing of the module changes."""

import random
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

from ..block import Block
from .meta_shapes import MetaShapes
from .replicas import Replicas, clone_replica, meta_replica, replicas_of

Recorder = Callable[[nn.Module, tuple[Any, ...], Mapping[str, Any], Any], None]
"""Called after each call of a module: (module, args, kwargs, output)."""
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
    runs_blocks: bool = True,
) -> Any:
    """The output of one forward pass in eval mode without gradients, with replicas of all tensors.

    Every attribute of every module and the random states are the same afterwards. Hooks of the user do not run, only
    those by which torch computes a weight (weight norm, spectral norm, pruning) and this package runs its blocks. With
    `with_own_hooks` those run too that are methods of the modules, or of objects that the modules hold, and functions of
    the libraries that define the modules. Without `runs_blocks`, blocks return a tensor of the shape of their result, and
    no module inside runs.
    """
    with ExitStack() as stack:
        for context in (torch.no_grad(), _without_global_hooks(), _module_by_module(), _uncompiled_blocks(module)):
            stack.enter_context(context)
        opaque = () if runs_blocks else (Block,)
        replicas = stack.enter_context(replicas_of(module, meta_replica if is_meta else clone_replica, opaque))
        args, kwargs = replicas.of((args, {**(kwargs or {})}))
        stack.enter_context(_random_states(replicas.devices))
        stack.enter_context(_eval_mode(replicas.modules))
        _filter_hooks(replicas, with_own_hooks)
        for part in replicas.modules:
            if isinstance(part, opaque):
                part.__dict__["forward"] = partial(_block_shape, part, part.forward)
            part.__dict__["_compiled_call_impl"] = partial(_call_and_record, part, recorder) if recorder else None
        with nullcontext() if not is_meta or is_in_torch_dispatch_mode() else MetaShapes():  # a mode counts all operations
            return module(*args, **kwargs)


@contextmanager
def _eval_mode(modules: Sequence[nn.Module]) -> Iterator[None]:
    """Sets eval mode. At the end only scripted modules are set back, which keep their modes elsewhere than in attributes."""
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
    recorder(module, args, kwargs, output)
    return output


def _block_shape(block: Block, forward: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """x, or zeros, of the shape of the block's result. `forward` raises the error for an input that the block refuses."""
    source, result = block.sizes
    if x.dim() != 2 + len(source.grid) or x.shape[1] != source.number("C"):
        return forward(x)
    batch, _, channels, *size = result.shape(x.shape[0], dict(zip(source.grid, x.shape[2:], strict=True)))
    shape = (batch, channels, *size[-len(source.grid) :])
    return x if x.shape == shape else x.new_zeros(shape)


def has_own_hooks(module: nn.Module) -> bool:
    """True if a module inside has hooks with which it may run in another way."""
    return any(getattr(part, name, None) for part in module.modules() for name in HOOKS)


def _filter_hooks(replicas: Replicas, with_own_hooks: bool) -> None:
    """Removes the hooks that do not run. Those whose object was reached belong to the network, as do its libraries."""
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
