"""Builds the block for one place of a network: its layout, shapes, weights and line of the report."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import nn

from ..bench.summary import parameters, summarize
from ..block import Block
from ..build.api import BlockPlan
from ..errors import ConfigError
from ..shapes import Shape
from .adapter import ResidualAdapter, reinit_zero_weights
from .attachment import block_name, match_module
from .block_plans import BlockPlans
from .holder import Where
from .layout_inference import find_layout
from .layouts import Layout
from .official_weights import transfer_weights
from .options import InsertionSpec, Start
from .tracing import CallRecord, CallRecords, common_shape


@dataclass(frozen=True)
class Placement:
    """One inserted block: the module at `path`, the input shape of the block, and what it adds to the network."""

    path: str
    where: Where
    block: str
    shape: Shape
    start: Start
    parameters: int
    calls: int
    """How often one forward pass calls the block."""
    layout: Layout
    block_plan: BlockPlan = field(repr=False, compare=False)
    """From which the block was built."""

    @cached_property
    def macs(self) -> int:
        """Multiply-adds that the block adds to one forward pass. They are counted when they are read first."""
        with torch.device("meta"):
            block = self.block_plan.build(lower=False)
        return self.calls * summarize(block, *self.shape[2:], batch=self.shape[0]).macs


def prepare(
    model: nn.Module, path: str, spec: InsertionSpec, calls: CallRecords, input_shape: Shape, plans: BlockPlans
) -> tuple[Block | ResidualAdapter, Placement]:
    """The block for the module at a path, not attached yet, and its line of the report.

    The block gets the device, dtype, mode and, if asked for, the weights of the module. Raises ConfigError if there cannot
    be a block, and NarrowPlace for a width that is too small.
    """
    original, records = model.get_submodule(path), calls.get(path, ())
    shape, output_shape = _block_shapes(path, records, spec)
    layout = find_layout(model, path, shape, spec, calls, input_shape)
    _check_replaced(path, spec, layout, shape, output_shape)
    shape, output_shape = layout.map_shape(shape), layout.map_shape(output_shape)
    with torch.device("cpu"):  # `is_identity` runs the block, also if the network is on the meta device
        plan = plans.find(spec, original, path, shape)
        block, is_parallel = plan.build(), spec.where == "replace"
        block.label = spec.name or block.label
        _check_output(path, block, shape, output_shape)
        is_adapted = spec.start == "identity" and (is_parallel or not plans.is_identity(spec, block))
        child = ResidualAdapter(reinit_zero_weights(block), is_parallel) if is_adapted else block
    match_module(child, original, model)
    _check_dtypes(path, block, shape, records, spec)
    if spec.carry is not None:
        transfer_weights(path, block, original, spec.carry)
    place = Placement(path, spec.where, block_name(block), shape, spec.start, parameters(child), len(records), layout, plan)
    return child, place


def _check_dtypes(path: str, block: Block, shape: Shape, calls: Sequence[CallRecord], spec: InsertionSpec) -> None:
    """Raises ConfigError for maps of another dtype than that of the block."""
    for dtype in {call.output_dtype if spec.where == "after" else call.input_dtype for call in calls} - {None}:
        try:
            block.dry_forward(torch.empty(shape, dtype=dtype, device="meta"))
        except ConfigError as error:
            raise ConfigError([(path, f"with the block here, {text}") for _, text in error.faults]) from None


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


def _check_output(path: str, block: Block, shape: Shape, needed: Shape) -> None:
    output = block.output_shape(shape)
    if output != needed:
        raise ConfigError([(path, f"{block.label} maps {shape} to {output}, but the network needs {needed} here")])
