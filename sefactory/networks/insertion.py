"""Blocks into a network that is already built: behind, before or in place of its modules, with its weights and its names."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..bench.summary import summarize
from ..block import Block
from ..build.api import build
from ..errors import ConfigError, did_you_mean, join_words, short_repr
from ..shapes import GRIDS
from .adapter import CHILD, ResidualAdapter, starting
from .hooks import put
from .report import START, WHERE, Placement, Report, Start, Where
from .selectors import PATTERN, CallRecord, Shape, example_of, is_pattern, one_shape, select, trace
from .transfer import carry_over, width_override

GRID_OF = {2 + len(grid): grid for grid in GRIDS}


@dataclass(frozen=True)
class Entry:
    """What is to be put where: a block's config, the modules that `at` selects, and how it starts there."""

    config: Any
    at: str | Sequence[str]
    where: Where = "after"
    start: Start = "identity"
    overrides: Sequence[str] = ()
    grid: str | None = None
    carry: str | None = None


def insert(
    model: nn.Module,
    config: Any,
    at: str | Sequence[str],
    *,
    where: Where = "after",
    start: Start = "identity",
    input_size: Sequence[int] | None = None,
    example: Tensor | None = None,
    overrides: Sequence[str] = (),
    grid: str | None = None,
    carry: str | None = None,
    search: Iterable[str | Path] = (),
) -> Report:
    """Puts a block at every module that `at` selects: paths (`layer*.*.bn3`), a class (`SqueezeExcite`), `stage:-1`.

    Widths are read off one forward, of `example` or of zeros of `input_size` (C, H, W). `start: identity` leaves the
    output of the network as it is: y = former + mix (block(x) - former) with a learned mix that starts at 0; `own` is the
    block by itself. The network's own checkpoints load strictly as before. `carry` names a key map of the config's
    `official:` by which a replaced module's weights go into the block, whose `let.r` then follows from their width.
    `grid` is W where maps are (B, C, W).
    Raises ConfigError, and then nothing of the network is changed.
    """
    entry = Entry(config, at, where, start, overrides, grid, carry)
    return insert_all(model, [entry], input_size=input_size, example=example, search=search)


def insert_all(
    model: nn.Module,
    entries: Sequence[Entry],
    *,
    input_size: Sequence[int] | None = None,
    example: Tensor | None = None,
    search: Iterable[str | Path] = (),
) -> Report:
    """`insert` for several blocks at once: all of them, or none."""
    for entry in entries:
        _check_words(entry)
    traced = trace(model, example_of(model, input_size, example))
    places = [(path, entry) for entry in entries for path in _selected(model, entry, traced)]
    _check_sites(model, [path for path, _ in places])
    made = [_made(model, path, entry, traced.get(path, CallRecord()), search) for path, entry in places]
    before = model.state_dict(keep_vars=True)
    for (path, entry), (child, _) in zip(places, made, strict=True):
        put(model, path, child, entry.where)
    after = model.state_dict(keep_vars=True)
    return Report(
        tuple(_placed(path, entry, *found) for (path, entry), found in zip(places, made, strict=True)),
        kept=tuple(key for key in before if after.get(key) is before[key]),
        new=tuple(key for key in after if before.get(key) is not after[key]),
        missing=tuple(key for key in before if after.get(key) is not before[key]),
    )


def _selected(model: nn.Module, entry: Entry, traced: Mapping[str, CallRecord]) -> list[str]:
    patterns = [entry.at] if isinstance(entry.at, str) else entry.at
    return [path for pattern in patterns for path in select(model, pattern, traced)]


def _made(
    model: nn.Module, path: str, entry: Entry, calls: CallRecord, search: Iterable[str | Path]
) -> tuple[Block | ResidualAdapter, Shape]:
    """What goes to one place, and the shape of what comes into it."""
    shape, left = _shapes(path, calls, entry)
    with torch.device("cpu"):  # how a block begins is seen from its values, whatever the network is on
        block = _block(model, entry, path, shape, search)
        _check_shape(path, block, shape, left)
        child = starting(block, entry.where == "replace") if entry.start == "identity" else block
    _match(model, path, child)
    if entry.carry is not None:
        carry_over(path, block, model.get_submodule(path), entry.carry)
    return child, shape


def _check_words(entry: Entry) -> None:
    faults = []
    for name, given, allowed in (("where", entry.where, WHERE), ("start", entry.start, START)):
        if given not in allowed:
            faults.append(
                (name, f"{short_repr(given)}; allowed: one of {join_words(allowed)}{did_you_mean(str(given), allowed)}")
            )
    if not is_pattern(entry.at):
        faults.append(("at", f"{short_repr(entry.at)}; it is {PATTERN}"))
    if entry.grid is not None and entry.grid not in GRIDS:
        faults.append(
            ("grid", f"{short_repr(entry.grid)}; it is one of {join_words(GRIDS)}{did_you_mean(str(entry.grid), GRIDS)}")
        )
    if not isinstance(entry.overrides, list | tuple) or not all(isinstance(item, str) for item in entry.overrides):
        faults.append(("overrides", f"{short_repr(entry.overrides)}; they are a list of path=value"))
    if not isinstance(entry.carry, str | None):
        faults.append(("carry", f"{short_repr(entry.carry)}; it is the name of a key map of the config"))
    if entry.carry is not None and entry.where != "replace":
        faults.append(("carry", f"takes the weights of a replaced module, and where is {short_repr(entry.where)}"))
    if faults:
        raise ConfigError(faults)


def _check_sites(model: nn.Module, paths: Sequence[str]) -> None:
    """Refuses a module that is selected twice, and one that has a block or is part of one."""
    faults = []
    for path in dict.fromkeys(paths):
        names = path.split(".")
        above = [model.get_submodule(".".join(names[:i])) for i in range(1, len(names) + 1)]
        if paths.count(path) > 1:
            faults.append((path, "is selected twice"))
        elif hasattr(above[-1], CHILD):
            faults.append((path, "has a block already"))
        elif any(isinstance(module, Block | ResidualAdapter) for module in above):
            faults.append((path, "is part of a block"))
    if faults:
        raise ConfigError(faults)


def _shapes(path: str, calls: CallRecord, entry: Entry) -> tuple[Shape, Shape]:
    """What comes into the block, and what has to come out of it."""
    left = one_shape(path, calls.left, "its result")
    if entry.where == "after":
        return left, left
    taken = one_shape(path, calls.taken, "its argument")
    if entry.where == "replace" and entry.start == "own" and not all(calls.alone):
        raise ConfigError([(path, "is called with more than one argument, and a block takes one")])
    return taken, taken if entry.where == "before" else left


def _block(model: nn.Module, entry: Entry, path: str, shape: Shape, search: Iterable[str | Path]) -> Block:
    """The block for one place; on the grid of the trace where it needs a fixed one."""
    sequence = GRID_OF.get(len(shape)) == "W"
    if len(shape) not in GRID_OF or (sequence and entry.grid != "W"):
        hint = "; say grid: W for (B, C, W)" if sequence else ""
        raise ConfigError([(path, f"holds {shape}, no map (B, C, H, W){hint}")])
    if len(shape) == 4 and shape[1] == shape[2] != shape[3]:
        said = "looks like (B, H, W, C), and a block takes (B, C, H, W); if it is none, trace with an input_size of other sides"
        raise ConfigError([(path, f"holds {shape}, which {said}")])
    axes, overrides = GRID_OF[len(shape)], [*entry.overrides]
    if entry.carry is not None:
        former = model.get_submodule(path)
        overrides += width_override(entry.config, entry.overrides, search, former, shape[1], entry.carry)
    make = partial(build, entry.config, shape[1], grid=axes, overrides=overrides, search=search)
    try:
        return make()
    except ConfigError as free:
        told = dict(zip(axes, shape[2:], strict=True))
        try:
            return make(depth=told.get("D"), height=told.get("H"), width=told.get("W"))
        except ConfigError:
            raise ConfigError([(f"{place} (for {path}, C = {shape[1]})", text) for place, text in free.faults]) from None


def _check_shape(path: str, block: Block, shape: Shape, left: Shape) -> None:
    side = dict(zip(block.sizes[0].grid, shape[2:], strict=True))
    inner = block.sizes[1].shape(shape[0], side)
    found = (inner[0], inner[2], *inner[-len(side) :])
    if found != left:
        raise ConfigError([(path, f"{block.label} makes {found} of {shape}, and the network needs {left} there")])


def _match(model: nn.Module, path: str, child: nn.Module) -> None:
    """Gives a block the device, dtype and mode of its place."""
    former = model.get_submodule(path)
    tensor = next(former.parameters(), None)
    tensor = next(model.parameters(), None) if tensor is None else tensor
    if tensor is not None:
        child.to(tensor.device, tensor.dtype)
    child.train(former.training)


def _placed(path: str, entry: Entry, child: Block | ResidualAdapter, shape: Shape) -> Placement:
    block = child.block if isinstance(child, ResidualAdapter) else child
    found = summarize(block, *shape[2:], batch=shape[0])
    name = block.label.removesuffix(".yaml")
    parameters = sum(parameter.numel() for parameter in child.parameters())  # a mix is one of them
    return Placement(path, entry.where, name, shape, entry.start, parameters, found.macs)
