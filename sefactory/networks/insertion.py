"""Inserts blocks into a network that is already built; its weights and state-dict keys stay as they are."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..bench.summary import parameters, summarize
from ..block import Block
from ..build.api import build
from ..errors import ConfigError
from ..shapes import GRIDS, Shape
from .adapter import ResidualAdapter, wrap
from .attachment import attach_block, inserted_block
from .holder import CHILD, ORIGINAL, Where
from .official_weights import ratio_override, transfer_weights
from .options import InsertionSpec, Start
from .selectors import select
from .tracing import CallRecord, Example, common_shape, example_input, trace
from .verification import check_calls

GRID_OF = {2 + len(grid): grid for grid in GRIDS}
"""Rank of a feature map -> spatial axes."""


@dataclass(frozen=True)
class Placement:
    """One inserted block: the module at `path`, the input shape of the block, and what it adds to the network."""

    path: str
    where: Where
    block: str
    shape: Shape
    start: Start
    parameters: int
    macs: int


@dataclass(frozen=True)
class Report:
    """What an insertion did: the inserted blocks, and the state-dict keys that are unchanged, new and no longer there."""

    places: tuple[Placement, ...]
    kept: tuple[str, ...]
    new: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def parameters(self) -> int:
        """Parameters of all inserted blocks."""
        return sum(place.parameters for place in self.places)

    @property
    def macs(self) -> int:
        """Multiply-adds that the blocks add to one forward pass."""
        return sum(place.macs for place in self.places)

    @property
    def key_counts(self) -> str:
        """`22 keys kept, 10 new, 0 missing`."""
        return f"{len(self.kept)} keys kept, {len(self.new)} new, {len(self.missing)} missing"

    def __str__(self) -> str:
        lines = [f"{p.path}  {p.where}  {p.block}  {'x'.join(map(str, p.shape[1:]))}  +{p.parameters:,}" for p in self.places]
        return "\n".join([*lines, f"+{self.parameters:,} parameters, +{self.macs:,} multiply-adds; {self.key_counts}"])


def insert(
    model: nn.Module,
    config: Any,
    at: str | Sequence[str],
    *,
    where: Where = "after",
    start: Start = "identity",
    input_size: Sequence[int] | None = None,
    example: Example | None = None,
    overrides: Sequence[str] = (),
    grid: str | None = None,
    carry: str | None = None,
    search: Iterable[str | Path] = (),
) -> Report:
    """Inserts a block at every module that `at` selects: a path (`layer*.*.bn3`), a class (`SqueezeExcite`), `stage:-1`.

    Channel counts are inferred from one forward pass of `example` (a tensor, a tuple of positional arguments, or a dict of
    keyword arguments), or of zeros of `input_size` (C, H, W). Checkpoints of the network without blocks still load with
    strict=True.

    - `where`: the block gets the module's output (`after`), its input (`before`), or takes its place (`replace`).
    - `start`: with `identity` the output of the network is unchanged at initialisation: y = original + alpha (block(x) -
      original), with a learned alpha that starts at 0. With `own` y = block(x).
    - `carry`: a key map of the config's `official:`, by which the weights of a replaced module are copied into the block.
      `let.r` is set from their width.
    - `grid`: `W` if feature maps are (B, C, W).

    Raises ConfigError, and then nothing of the network is changed.
    """
    spec = InsertionSpec(config, at, where, start, overrides, grid, carry, search)
    return insert_all(model, [spec], example_input(model, input_size, example))


def insert_all(model: nn.Module, specs: Sequence[InsertionSpec], example: Example) -> Report:
    """Inserts the blocks of all specs, or none. Shapes come from one forward pass of `example`. Raises ConfigError."""
    calls = trace(model, example)
    targets = [(path, spec) for spec in specs for path in _select(model, spec, calls)]
    check_targets(model, [path for path, _ in targets])
    prepared = [_prepare(model, path, spec, calls.get(path, [])) for path, spec in targets]
    before = model.state_dict(keep_vars=True)
    _attach(model, prepared, example)
    after = model.state_dict(keep_vars=True)
    kept = tuple(key for key, tensor in before.items() if after.get(key) is tensor)
    new = tuple(key for key, tensor in after.items() if before.get(key) is not tensor)
    missing = tuple(key for key, tensor in before.items() if after.get(key) is not tensor)
    return Report(tuple(place for _, place in prepared), kept, new, missing)


def _attach(model: nn.Module, prepared: Sequence[tuple[Block | ResidualAdapter, Placement]], example: Example) -> None:
    """Attaches all blocks, or none if the network does not run with them or bypasses one. Raises ConfigError."""
    undo: list[Callable[[], None]] = []
    try:
        for child, place in prepared:
            undo.append(attach_block(model, place.path, child, place.where))
        check_calls(model, [child for child, _ in prepared], [place.path for _, place in prepared], example)
    except BaseException:
        for detach in reversed(undo):
            detach()
        raise


def _select(model: nn.Module, spec: InsertionSpec, calls: Mapping[str, Sequence[CallRecord]]) -> list[str]:
    patterns = [spec.at] if isinstance(spec.at, str) else spec.at
    return [path for pattern in patterns for path in select(model, pattern, calls)]


def _prepare(
    model: nn.Module, path: str, spec: InsertionSpec, calls: Sequence[CallRecord]
) -> tuple[Block | ResidualAdapter, Placement]:
    """The block for the module at a path, not attached yet, and its line of the report.

    The block gets the device, dtype, mode and, if asked for, the weights of the module.
    """
    original = model.get_submodule(path)
    shape, output_shape = _block_shapes(path, calls, spec)
    with torch.device("cpu"):  # `wrap` runs the block, also if the network is on the meta device
        block = _build_block(original, spec, path, shape)
        _check_output(path, block, shape, output_shape)
        child = wrap(block, spec.where == "replace") if spec.start == "identity" else block
    tensor = next((p for module in (original, model) for p in module.parameters()), None)
    if tensor is not None:
        child.to(tensor.device, tensor.dtype)
    child.train(original.training)
    if spec.carry is not None:
        transfer_weights(path, block, original, spec.carry)
    name, macs = block.label.removesuffix(".yaml"), summarize(block, *shape[2:], batch=shape[0]).macs
    return child, Placement(path, spec.where, name, shape, spec.start, parameters(child), macs)


def check_targets(model: nn.Module, paths: Sequence[str]) -> None:
    """Raises ConfigError for a module that is selected twice, has a block already, or is part of one."""
    faults = []
    for path in dict.fromkeys(paths):
        names = path.split(".")
        modules = [model.get_submodule(".".join(names[: i + 1])) for i in range(len(names))]
        if paths.count(path) > 1:
            faults.append((path, "is selected twice"))
        elif inserted_block(modules[-1]) is not None:
            cure = "insert a list of blocks instead, such as [cbam, senet]; sefactory.remove takes a block out"
            faults.append((path, f"has a block already; {cure}"))
        elif any(isinstance(module, Block | ResidualAdapter) for module in modules):
            faults.append((path, "is part of a block"))
        elif taken := [name for name in (CHILD, ORIGINAL) if hasattr(modules[-1], name)]:
            cure = f"insert the block at the module that contains {path}"
            faults.append((path, f"has an attribute {taken[0]!r} of its own, which is a name of inserted blocks; {cure}"))
    if faults:
        raise ConfigError(faults)


def _block_shapes(path: str, calls: Sequence[CallRecord], spec: InsertionSpec) -> tuple[Shape, Shape]:
    """The input shape of the block, and the output shape that the network needs."""
    output = common_shape(path, [call.output_shape for call in calls], "output")
    if spec.where == "after":
        return output, output
    shape = common_shape(path, [call.input_shape for call in calls], "input")
    if spec.where == "replace" and spec.start == "own" and not all(call.has_single_argument for call in calls):
        message = "is called with more than one argument, but a block takes one; start: identity keeps the module"
        raise ConfigError([(path, message)])
    return shape, shape if spec.where == "before" else output


def _build_block(original: nn.Module, spec: InsertionSpec, path: str, shape: Shape) -> Block:
    """The block for feature maps of this shape; with a fixed spatial size only if it cannot be built without."""
    _check_layout(path, shape, spec.grid)
    grid, channels, overrides = GRID_OF[len(shape)], shape[1], [*spec.overrides]
    if spec.carry is not None:
        overrides += ratio_override(spec, original, channels)
    build_for_grid = partial(build, spec.config, channels, grid=grid, overrides=overrides, search=spec.search)
    try:
        return build_for_grid()
    except ConfigError as error:
        sizes = dict(zip(grid, shape[2:], strict=True))
        try:
            return build_for_grid(depth=sizes.get("D"), height=sizes.get("H"), width=sizes.get("W"))
        except ConfigError:
            raise ConfigError([(f"{place} (for {path}, C = {channels})", text) for place, text in error.faults]) from None


def _check_layout(path: str, shape: Shape, grid: str | None) -> None:
    """Raises ConfigError for a shape that is not (B, C, H, W), (B, C, D, H, W) or, if asked for, (B, C, W)."""
    is_sequence = len(shape) == 3
    if len(shape) not in GRID_OF or (is_sequence and grid != "W"):
        cure = "; if it is (B, C, W), set grid to W" if is_sequence else ""
        raise ConfigError([(path, f"its feature map has shape {shape}, not (B, C, H, W){cure}")])
    if len(shape) == 4 and shape[1] == shape[2] != shape[3]:
        message = "which looks like (B, H, W, C), but a block takes (B, C, H, W); if it is that, trace with another input_size"
        raise ConfigError([(path, f"its feature map has shape {shape}, {message}")])


def _check_output(path: str, block: Block, shape: Shape, needed: Shape) -> None:
    spatial = dict(zip(block.sizes[0].grid, shape[2:], strict=True))
    batch, _, channels, *size = block.sizes[1].shape(shape[0], spatial)
    output = (batch, channels, *size[-len(spatial) :])
    if output != needed:
        raise ConfigError([(path, f"{block.label} maps {shape} to {output}, but the network needs {needed} here")])
