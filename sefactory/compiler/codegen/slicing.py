"""Emitters of concatenations, slices and splits."""

from collections.abc import Callable

import torch
from torch import Tensor

from .. import ir as ops
from ..graph import Node
from .emitter import Emitter, Registers
from .layout import broadcast_layout, strip_unit_axes


def emit_concat(op: ops.Concat, node: Node, emitter: Emitter) -> None:
    """The inputs concatenated on C."""
    layout = broadcast_layout([(emitter.layout(x), x.sizes) for x in node.inputs], node.sizes.axes)
    layout = layout if "C" in layout else node.sizes.axes
    dim = 1 + layout.index("C")
    inputs = [emitter.register(x, layout) for x in node.inputs]
    emitter.call(node, lambda *maps: torch.cat(maps, dim), inputs, layout, newly_allocated=True)


def emit_slice(op: ops.Slice, node: Node, emitter: Emitter) -> None:
    """A slice of one axis. If slices cover the axis, all are one split."""
    (x,) = node.inputs
    layout = emitter.layout(x)
    if x.sizes[op.over] == 1:
        emitter.record(node, emitter.register(x), layout)
        return
    dim, start, length = 1 + layout.index(op.over), op.start, op.length
    pieces = _adjacent_slices(x, op.over, emitter)
    if not pieces:
        emitter.call(node, lambda t: t.narrow(dim, start, length), [emitter.register(x)], layout)
        return
    lengths = [length for _, length in pieces]
    cuts = _emit_split(emitter, emitter.register(x), dim, len(lengths), lambda _: lengths)
    for register, same in zip(cuts, pieces.values(), strict=True):
        for piece in same:
            emitter.record(piece, register, layout)


def _adjacent_slices(x: Node, over: str, emitter: Emitter) -> dict[tuple[int, int], list[Node]]:
    """The slices of an axis by start and length, if they cover it without gaps; else none.

    The gradient of a split is one concatenation. The gradient of one slice is a map of zeros around it.
    """
    found: dict[tuple[int, int], list[Node]] = {}
    for reader in emitter.readers[id(x)]:
        if isinstance(reader.op, ops.Slice) and reader.op.over == over:
            found.setdefault((reader.op.start, reader.op.length), []).append(reader)
    starts, ends = [start for start, _ in sorted(found)], [start + length for start, length in sorted(found)]
    whole = len(found) > 1 and [*starts, x.sizes[over]] == [0, *ends]
    return {at: found[at] for at in sorted(found)} if whole else {}


def emit_channel_split(op: ops.ChannelSplit, node: Node, emitter: Emitter) -> None:
    """C in parts that are stacked on S."""
    (x,) = node.inputs
    layout = emitter.layout(x).replace("S", "")
    layout = layout if "C" in layout else f"C{layout}"
    at, parts = 1 + layout.index("C"), op.parts

    def run(t: Tensor) -> Tensor:
        shape = t.shape
        return t.view(*shape[:at], parts, shape[at] // parts, *shape[at + 1 :])

    emitter.call(node, run, [emitter.register(x, layout)], layout.replace("C", "SC"))


def _on_one_axis(x: Node, emitter: Emitter) -> int:
    """The register of a node with its positions on one axis."""
    lead = "SC" if x.sizes["S"] != 1 else "C"
    space = strip_unit_axes(x.sizes.spatial_axes, x.sizes)
    if len(space) <= 1:
        return emitter.register(x, lead + (space or x.sizes.spatial_axes[-1]))
    return emitter.apply(lambda t: t.flatten(1 + len(lead)), emitter.register(x, lead + space))


def emit_concat_positions(op: ops.ConcatPositions, node: Node, emitter: Emitter) -> None:
    """The positions of all inputs, concatenated."""
    strips = [_on_one_axis(x, emitter) for x in node.inputs]
    lead = "SC" if node.sizes["S"] != 1 else "C"
    emitter.call(node, lambda *maps: torch.cat(maps, -1), strips, f"{lead}H")


def emit_split_positions(op: ops.SplitPositions, node: Node, emitter: Emitter) -> None:
    """All parts in one split. The nodes of the other parts use it as well."""
    trunk, *branches = node.inputs
    lead, current = "SC" if trunk.sizes["S"] != 1 else "C", emitter.layout(trunk)
    layout = current if current.startswith(f"{lead}H") else f"{lead}H"  # behind H are axes of size 1
    if id(trunk) not in emitter.split_registers:
        strips = [_on_one_axis(x, emitter) for x in branches]
        lengths = lambda registers: [registers[i].shape[-1] for i in strips]  # noqa: E731
        whole, dim = emitter.register(trunk, layout), 1 + len(lead)
        emitter.split_registers[id(trunk)] = _emit_split(emitter, whole, dim, len(strips), lengths, *strips)
    register, branch = emitter.split_registers[id(trunk)][op.index], branches[op.index]
    space = strip_unit_axes(node.sizes.spatial_axes, node.sizes)
    if len(space) > 1:
        there, at = emitter.register(branch, ("SC" if branch.sizes["S"] != 1 else "C") + space), len(lead) + 1
        register = emitter.apply(lambda t, y: t.reshape(t.shape[:at] + y.shape[-len(space) :]), register, there)
        emitter.record(node, register, lead + space)
        return
    axis = space or node.sizes.spatial_axes[-1]
    unit_axes = node.sizes.spatial_axes.replace(axis, "")[: len(layout) - len(lead) - 1]
    emitter.record(node, register, lead + axis + unit_axes)


def _emit_split(
    emitter: Emitter, whole: int, dim: int, count: int, lengths: Callable[[Registers], list[int]], *read: int
) -> list[int]:
    """The registers of a split. The lengths of its parts may be read from other registers."""
    out = [emitter.new_register() for _ in range(count)]

    def step(registers: Registers) -> None:
        for o, part in zip(out, registers[whole].split_with_sizes(lengths(registers), dim), strict=True):
            registers[o] = part

    emitter.emit(step, whole, *read)
    return out
