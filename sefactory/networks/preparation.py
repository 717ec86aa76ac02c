"""Builds the block for one place of a network: its layout, shapes, weights and line of the report."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from ..bench.summary import parameters, summarize
from ..block import Block
from ..build.api import build
from ..errors import ConfigError
from ..shapes import GRIDS, Shape
from .adapter import ResidualAdapter, wrap
from .holder import Where
from .layout_inference import find_layout
from .layouts import CHANNELS_FIRST, Layout
from .official_weights import ratio_override, transfer_weights
from .options import InsertionSpec, Start
from .tracing import CallRecord, common_shape

GRID_OF = {2 + len(grid): grid for grid in GRIDS}
"""Rank of a feature map -> spatial axes."""
WIDER = 16
"""A place is too narrow if the block can be built for this many times its channels."""
Costs = dict[tuple[int, Shape, int], int]
"""The multiply-adds of the blocks of one spec (its id) for one input shape, with one number of parameters."""


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
    layout: Layout = CHANNELS_FIRST


class NarrowPlace(Exception):
    """A block cannot be built at the width of a place, but it can at a larger one. `error` says why."""

    def __init__(self, error: ConfigError) -> None:
        super().__init__(str(error))
        self.error = error


def prepare(
    model: nn.Module,
    path: str,
    spec: InsertionSpec,
    calls: Mapping[str, Sequence[CallRecord]],
    input_shape: Shape,
    costs: Costs,
) -> tuple[Block | ResidualAdapter, Placement]:
    """The block for the module at a path, not attached yet, and its line of the report.

    The block gets the device, dtype, mode and, if asked for, the weights of the module. Its multiply-adds are looked up in
    `costs`, or counted and added to it. Raises ConfigError if there cannot be a block, and NarrowPlace for a width that is
    too small.
    """
    original = model.get_submodule(path)
    shape, output_shape = _block_shapes(path, calls.get(path, []), spec)
    layout = find_layout(model, path, shape, spec, calls, input_shape)
    _check_replaced(path, spec, layout, shape, output_shape)
    shape, output_shape = layout.map_shape(shape), layout.map_shape(output_shape)
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
    name, macs = block.label.removesuffix(".yaml"), _multiply_adds(block, spec, shape, costs)
    return child, Placement(path, spec.where, name, shape, spec.start, parameters(child), macs, layout)


def _multiply_adds(block: Block, spec: InsertionSpec, shape: Shape, costs: Costs) -> int:
    """The multiply-adds of a block, counted once for all blocks that are alike."""
    key = id(spec), shape, parameters(block)
    if key not in costs:
        costs[key] = summarize(block, *shape[2:], batch=shape[0]).macs
    return costs[key]


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


def _check_replaced(path: str, spec: InsertionSpec, layout: Layout, shape: Shape, output_shape: Shape) -> None:
    """Raises ConfigError where a block cannot take the place of a module: it takes and returns channels first."""
    if layout.name == "BCHW" or spec.where != "replace":
        return
    if spec.start == "own":
        message = f"its map has the layout {layout.name}, in which a block runs beside the module; set start to identity"
        raise ConfigError([(path, message)])
    if shape != output_shape:
        raise ConfigError([(path, f"it maps {shape} to {output_shape}, but a block keeps the shape of layout {layout.name}")])


def _build_block(original: nn.Module, spec: InsertionSpec, path: str, shape: Shape) -> Block:
    """The block for feature maps of this shape; with a fixed spatial size only if it cannot be built without."""
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
            fault = ConfigError([(f"{place} (for {path}, C = {channels})", text) for place, text in error.faults])
            raise (NarrowPlace(fault) if _builds_at(spec, WIDER * channels, grid) else fault) from None


def _builds_at(spec: InsertionSpec, channels: int, grid: str) -> bool:
    """True if the block can be built for this number of channels."""
    with suppress(ConfigError):
        build(spec.config, channels, grid=grid, overrides=spec.overrides, search=spec.search)
        return True
    return False


def _check_output(path: str, block: Block, shape: Shape, needed: Shape) -> None:
    spatial = dict(zip(block.sizes[0].grid, shape[2:], strict=True))
    batch, _, channels, *size = block.sizes[1].shape(shape[0], spatial)
    output = (batch, channels, *size[-len(spatial) :])
    if output != needed:
        raise ConfigError([(path, f"{block.label} maps {shape} to {output}, but the network needs {needed} here")])
