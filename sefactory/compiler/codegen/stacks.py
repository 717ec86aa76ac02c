"""Emitters of stacks of feature maps on S, and of what reads them.

On devices other than the CPU, and without gradients, the inputs are written into the stack, so that nothing is copied.
"""

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

import torch
from torch import Tensor

from ...kernels.dispatch import is_eager
from ...operators.precision import HALF, is_autocast_enabled
from .. import ir as ops
from ..graph import Node
from .convolution import conv_layout
from .emitter import Emitter, Registers, Step, TensorFunction, call_step
from .layout import strip_unit_axes


def emit_stack(op: ops.Stack, node: Node, emitter: Emitter) -> None:
    """The inputs side by side: stacked if each is one map, else concatenated on S."""
    first = node.inputs[0]
    layout = strip_unit_axes(emitter.layout(first), first.sizes).replace("S", "")
    if any(x.sizes["S"] != 1 for x in node.inputs):
        inputs = [emitter.register(x, f"S{layout}") for x in node.inputs]
        emitter.call(node, lambda *maps: torch.cat(maps, 1), inputs, f"S{layout}")
        return
    register, layout = emitter.stacks.get(id(node)) or (None, _stack_layout(node, layout, emitter))
    inputs = [emitter.register(x, layout) for x in node.inputs]
    o, count = emitter.new_register(), len(node.inputs)

    def step(registers: Registers) -> None:
        whole, written = (None, 0) if register is None else registers[register] or (None, 0)
        registers[o] = whole if written == count else torch.stack([registers[i] for i in inputs], 1)

    emitter.emit(step, *inputs, *([] if register is None else [register]))
    emitter.record(node, o, f"S{layout}", newly_allocated=True)


def _stack_layout(node: Node, layout: str, emitter: Emitter) -> str:
    """The layout of the inputs: that of the convolution that alone reads the stack, so that it copies nothing."""
    readers = emitter.readers[id(node)]
    if len(readers) != 1 or not isinstance(readers[0].op, ops.ConvOp):
        return layout
    wanted = conv_layout(readers[0].op, node.sizes)
    return wanted[1:] if wanted[:1] == "S" and sorted(wanted[1:]) == sorted(layout) else layout


# ---- Inputs that are written into their stack ------------------------------------------------------------------------


def can_write(x: Tensor) -> bool:
    """True if results of x may be written into a stack. On the CPU a copy of a small tensor costs less than this question."""
    return not (x.is_cpu or torch.is_grad_enabled()) and is_eager(x) and not is_autocast_enabled(x)


class StackPlace(NamedTuple):
    """The place of one input in its stack. The register holds (stack, number of inputs written)."""

    register: int
    position: int
    length: int
    layout: str

    def output(self, registers: Registers, x: Tensor, layout: str, dims: Sequence[int]) -> Tensor | None:
        """A view of the stack for a result of x without `dims`, in this layout. None if it has to be stacked later."""
        if not can_write(x):
            return None
        shape = [n for dim, n in enumerate(x.shape) if dim not in dims]
        if registers[self.register] is None:
            sides = [shape[1 + layout.index(axis)] for axis in self.layout]
            registers[self.register] = x.new_empty(shape[0], self.length, *sides), 0
        whole, written = registers[self.register]
        y: Tensor = whole.select(1, self.position).permute(0, *[1 + self.layout.index(axis) for axis in layout])
        if whole.dtype != x.dtype or list(y.shape) != shape:
            return None
        registers[self.register] = whole, written + 1
        return y


def step_into_stack(
    node: Node, o: int, layout: str, emitter: Emitter, run: TensorFunction, run_out: TensorFunction, dims: Sequence[int] = ()
) -> Step:
    """The step that puts run(x), which is x without `dims`, into register o; x is the input of the node.

    Where the node has a place in a stack, run_out(x, out=place) writes the result there.
    """
    place, source = stack_place(node, layout, emitter), emitter.register(node.inputs[0])
    if place is None:
        return call_step(run, o, (source,))

    def step(registers: Registers) -> None:
        x = registers[source]
        y = place.output(registers, x, layout, dims)
        registers[o] = run(x) if y is None else run_out(x, out=y)

    return step


def stack_place(node: Node, layout: str, emitter: Emitter) -> StackPlace | None:
    """The place of a node in the stack that alone reads it, if all inputs of the stack can be written there; else None."""
    readers = emitter.readers[id(node)]
    if len(readers) != 1 or not isinstance(readers[0].op, ops.Stack):
        return None
    (stack,) = readers
    if any(x.sizes != node.sizes or x.sizes["S"] != 1 or len(emitter.readers[id(x)]) > 1 for x in stack.inputs):
        return None
    are_statistics = all(isinstance(x.op, ops.Reduce) and x.inputs == node.inputs for x in stack.inputs)
    if not are_statistics and any(x.op != ops.Pointwise("relu") for x in stack.inputs):
        return None
    if id(stack) not in emitter.stacks:
        stack_layout = _stack_layout(stack, strip_unit_axes(layout, node.sizes), emitter)
        emitter.stacks[id(stack)] = emitter.new_map_register(), stack_layout
    register, stack_layout = emitter.stacks[id(stack)]
    if sorted(stack_layout) != sorted(layout):
        return None
    return StackPlace(register, stack.inputs.index(node), len(stack.inputs), stack_layout)


# ---- What reads a stack ----------------------------------------------------------------------------------------------


def emit_mean_of_sum(op: ops.MeanOfSum, node: Node, emitter: Emitter) -> None:
    """The sum over S and some axes, times 1 / n. Its gradient is broadcast; that of a mean is written."""
    (x,) = node.inputs
    layout = emitter.layout(x)
    over = tuple(1 + i for i, axis in enumerate(layout) if axis in op.over)
    at = 1 + layout.index("S")

    def run(t: Tensor) -> Tensor:
        if t.dtype in HALF:
            return t.mean(over, keepdim=True).sum((at, *over))
        return t.sum((at, *over)) * (1 / max(prod([t.shape[dim] for dim in over]), 1))

    emitter.call(node, run, [emitter.register(x)], "".join(axis for axis in layout if axis not in f"S{op.over}"))


def emit_weighted_sum(op: ops.WeightedSum, node: Node, emitter: Emitter) -> None:
    """sum_S w x. Without gradients two maps are one linear interpolation, since the weights sum to one."""
    x, weights = node.inputs
    layout, is_pair = f"S{emitter.layout(x).replace('S', '')}", x.sizes["S"] == 2

    def run(t: Tensor, p: Tensor) -> Tensor:
        if is_pair and t.dtype == p.dtype and not torch.is_grad_enabled():
            return torch.lerp(t.select(1, 1), t.select(1, 0), p.select(1, 0))
        return (t * p).sum(1)

    emitter.call(node, run, [emitter.register(x, layout), emitter.register(weights, layout)], layout[1:], newly_allocated=True)
