"""Blocks into a network that is already built: behind, before or in place of its modules, with its weights and its names."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from .axes import GRIDS
from .blend import CHILD, Blend, folded, starts_as_identity, waken
from .block import Block
from .describe import describe
from .errors import ConfigError, nearest, shown, words
from .factory import build
from .official import load_official
from .sites import Calls, Shape, example_of, one_shape, select, trace

Where = Literal["after", "before", "replace"]
Start = Literal["identity", "own"]
WHERE, START = ("after", "before", "replace"), ("identity", "own")
GRID_OF = {2 + len(grid): grid for grid in GRIDS}
LEAST_AXES, SEQUENCE = 3, 3


@dataclass(frozen=True)
class Place:
    """One block that was inserted: where, which, for maps of which shape, and what it adds."""

    path: str
    where: Where
    block: str
    shape: Shape
    start: Start
    parameters: int
    macs: int


@dataclass(frozen=True)
class Report:
    """What an insertion did: the places, and the keys of the state dict that stayed, came and went."""

    places: tuple[Place, ...]
    kept: tuple[str, ...]
    new: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def parameters(self) -> int:
        """Parameters of all inserted blocks."""
        return sum(place.parameters for place in self.places)

    @property
    def macs(self) -> int:
        """Multiply-adds that they add to one forward."""
        return sum(place.macs for place in self.places)

    def __str__(self) -> str:
        lines = [f"{p.path}  {p.where}  {p.block}  {'x'.join(map(str, p.shape[1:]))}  +{p.parameters:,}" for p in self.places]
        keys = f"{len(self.kept)} keys kept, {len(self.new)} new, {len(self.missing)} missing"
        return "\n".join([*lines, f"+{self.parameters:,} parameters, +{self.macs:,} multiply-adds; {keys}"])


def insert(
    model: nn.Module,
    config: Any,
    at: str | Sequence[str],
    *,
    where: Where = "after",
    start: Start = "identity",
    input_size: Sequence[int] | None = None,
    example: Tensor | None = None,
    grid: str | None = None,
    overrides: Sequence[str] = (),
    search: Iterable[str | Path] = (),
    carry: str | None = None,
) -> Report:
    """Puts a block at every module that `at` selects: paths (`layer*.*.bn3`), a class (`SqueezeExcite`), `stage:-1`.

    Widths are read off one forward, of `example` or of zeros of `input_size` (C, H, W). `start: identity` leaves the
    output of the network as it is: y = former + mix (block(x) - former) with a learned mix that starts at 0; `own` is the block
    by itself. The network's own checkpoints load strictly as before. `carry` names a key map of the config's `official:`
    by which a replaced module's weights go into the block.
    Raises ConfigError, and then nothing of the network is changed.
    """
    _check_words(where, start, carry)
    x = example_of(model, input_size, example)
    traced = trace(model, x)
    patterns = [at] if isinstance(at, str) else list(at)
    paths = [path for pattern in patterns for path in select(model, pattern, traced)]
    _check_sites(model, paths)
    before = list(model.state_dict())
    made = []
    for path in paths:
        shape, left = _shapes(path, traced.get(path, Calls()), where)
        block = _block(config, path, shape, grid, overrides, search)
        _check_shape(path, block, shape, left)
        made.append((path, shape, _matched(model, path, block, carry)))
    for path, _, block in made:
        _place(model, path, block, where, start)
    after = model.state_dict()
    kept, new = [key for key in before if key in after], [key for key in after if key not in set(before)]
    missing = tuple(key for key in before if key not in after)
    places = tuple(_entry(path, where, start, block, shape) for path, shape, block in made)
    return Report(places, tuple(kept), tuple(new), missing)


def _check_words(where: str, start: str, carry: str | None) -> None:
    faults = []
    for name, given, allowed in (("where", where, WHERE), ("start", start, START)):
        if given not in allowed:
            faults.append((name, f"{shown(given)}; allowed: one of {words(allowed)}{nearest(str(given), allowed)}"))
    if carry is not None and where != "replace":
        faults.append(("carry", f"takes the weights of a replaced module, and where is {shown(where)}"))
    if faults:
        raise ConfigError(faults)


def _check_sites(model: nn.Module, paths: Sequence[str]) -> None:
    faults = []
    twice = {path for i, path in enumerate(paths) if path in paths[:i]}
    for path in dict.fromkeys(paths):
        module = model.get_submodule(path)
        if path in twice:
            faults.append((path, "is selected by two patterns"))
        elif isinstance(module, Block | Blend) or hasattr(module, CHILD):
            faults.append((path, "has a block already"))
        elif any(path.startswith(f"{other}.") for other in paths) and any(_inside(path, model) for _ in [0]):
            faults.append((path, "is part of a block that was inserted"))
    if faults:
        raise ConfigError(faults)


def _inside(path: str, model: nn.Module) -> bool:
    """Whether a path leads through a block."""
    names = path.split(".")
    return any(isinstance(model.get_submodule(".".join(names[:i])), Block | Blend) for i in range(1, len(names)))


def _shapes(path: str, calls: Calls, where: Where) -> tuple[Shape, Shape]:
    """What comes into the block, and what has to come out of it."""
    left = one_shape(path, calls.left, "its result")
    if where == "after":
        return left, left
    taken = one_shape(path, calls.taken, "its argument")
    return taken, taken if where == "before" else left


def _block(
    config: Any, path: str, shape: Shape, grid: str | None, overrides: Sequence[str], search: Iterable[str | Path]
) -> Block:
    """The block for one place; on the grid of the trace where it needs a fixed one."""
    if len(shape) not in GRID_OF or (len(shape) == SEQUENCE and grid != "W"):
        hint = "; write grid='W' for (B, C, W)" if len(shape) == SEQUENCE else ""
        raise ConfigError([(path, f"holds {shape}, no map (B, C, H, W){hint}")])
    axes = GRID_OF[len(shape)]
    try:
        return build(config, shape[1], grid=axes, overrides=overrides, search=search)
    except ConfigError as free:
        told = dict(zip(axes, shape[2:], strict=True))
        depth, height, width = (told.get(axis) for axis in "DHW")
        try:
            return build(
                config, shape[1], grid=axes, depth=depth, height=height, width=width, overrides=overrides, search=search
            )
        except ConfigError:
            faults = [(f"{place} (for {path}, C = {shape[1]})", text) for place, text in free.faults]
            raise ConfigError(faults) from None


def _check_shape(path: str, block: Block, shape: Shape, left: Shape) -> None:
    side = dict(zip(block.sizes[0].grid, shape[2:], strict=True))
    inner = block.sizes[1].at(shape[0], side)
    found = (inner[0], inner[2], *inner[-len(side) :])
    if found != left:
        raise ConfigError([(path, f"{block.label} makes {found} of {shape}, and the network needs {left} there")])


def _matched(model: nn.Module, path: str, block: Block, carry: str | None) -> Block:
    """The block with the device, dtype and mode of its place, and with the replaced module's weights where asked for."""
    former = model.get_submodule(path)
    tensor = next(former.parameters(), None)
    tensor = next(model.parameters(), None) if tensor is None else tensor
    if tensor is not None:
        block.to(tensor.device, tensor.dtype)
    if carry is not None:
        load_official(block, former.state_dict(), source=carry)
    return block.train(former.training)


def _place(model: nn.Module, path: str, block: Block, where: Where, start: Start) -> None:
    former = model.get_submodule(path)
    if where == "replace" and start == "own":
        parent, _, name = path.rpartition(".")
        _on_load(block, partial(_without_former, tuple(former.state_dict())))
        setattr(model.get_submodule(parent), name, block)
        return
    child = _starting(block, former, where, start)
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


def _starting(block: Block, former: nn.Module, where: Where, start: Start) -> nn.Module:
    """The block, or its blend with what was there."""
    if start == "own":
        return block
    tensor = next(block.parameters(), torch.empty(0))
    sizes = block.sizes[0]
    shape = [2, sizes.number("C"), *(n if isinstance(n := sizes[axis], int) else 7 for axis in sizes.grid)]
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(tensor.device, tensor.dtype)
    mode = block.training
    identity = where != "replace" and starts_as_identity(block.eval(), x)
    block.train(mode)
    if identity:
        return block
    waken(block)
    blend = Blend(block, where == "replace").train(mode)
    return blend.to(tensor.device, tensor.dtype)


def _run_after(module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:
    y: Tensor = module._modules[CHILD](output)  # type: ignore[misc]
    return y


def _run_before(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
    return (module._modules[CHILD](args[0]), *args[1:])  # type: ignore[misc]


def _run_beside(module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:
    y: Tensor = module._modules[CHILD](args[0], output)  # type: ignore[misc]
    return y


def _with_own(
    module: nn.Module,
    state: dict[str, Any],
    prefix: str,
    metadata: Any,
    strict: bool,
    missing: Any,
    unexpected: Any,
    errors: Any,
) -> None:
    """A checkpoint of the network as it was before leaves the inserted block as it is."""
    child = module._modules[CHILD]
    assert child is not None
    if not any(key.startswith(f"{prefix}{CHILD}.") for key in state):
        state.update({f"{prefix}{CHILD}.{key}": tensor for key, tensor in child.state_dict().items()})


def _without_former(
    former: tuple[str, ...],
    module: nn.Module,
    state: dict[str, Any],
    prefix: str,
    metadata: Any,
    strict: bool,
    missing: Any,
    unexpected: Any,
    errors: Any,
) -> None:
    """A checkpoint of the network as it was before: the replaced module's tensors have no place any more."""
    own = module.state_dict()
    if any(f"{prefix}{key}" in state for key in own if key not in former):
        return
    if held := [f"{prefix}{key}" for key in former if f"{prefix}{key}" in state]:
        for key in held:
            del state[key]
        state.update({f"{prefix}{key}": tensor for key, tensor in own.items()})


def _entry(path: str, where: Where, start: Start, block: Block, shape: Shape) -> Place:
    found = describe(block, *shape[2:], batch=shape[0])
    return Place(path, where, block.label.removesuffix(".yaml"), shape, start, found.parameters, found.macs)


def fold(model: nn.Module) -> list[tuple[str, str]]:
    """Folds every mix into the gate of its block; returns the places where that cannot be, with the reasons."""
    left = []
    for path, module in list(model.named_modules()):
        child = module._modules.get(CHILD)
        if isinstance(child, Blend):
            try:
                module._modules[CHILD] = folded(child)
            except ConfigError as error:
                left.append((path, error.faults[0][1]))
    return left
