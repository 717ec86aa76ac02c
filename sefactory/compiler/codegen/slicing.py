"""What lies side by side as steps: parts of an axis, strips of positions end to end."""

from collections.abc import Callable

import torch
from torch import Tensor

from .. import ir as ops
from ..graph import Node
from .layout import broadcast_layout
from .program import Emitter, Slots


def concat(op: ops.Concat, value: Node, w: Emitter) -> None:
    """The inputs end to end on C."""
    layout = broadcast_layout([(w.layout(x), x.sizes) for x in value.inputs], value.sizes.axes)
    layout = layout if "C" in layout else value.sizes.axes
    dim = 1 + layout.index("C")
    w.made(value, w.nary(lambda *maps: torch.cat(maps, dim), [w.slot(x, layout) for x in value.inputs]), layout, fresh=True)


def part(op: ops.Slice, value: Node, w: Emitter) -> None:
    """A piece of one axis; of one of size 1, the whole. With it all pieces that make up the axis, where they do."""
    (x,) = value.inputs
    layout = w.layout(x)
    if x.sizes[op.over] == 1:
        w.made(value, w.slot(x), layout)
        return
    dim, start, length = 1 + layout.index(op.over), op.start, op.length
    pieces = _pieces(x, op.over, w)
    if not pieces:
        w.made(value, w.unary(lambda t: t.narrow(dim, start, length), w.slot(x)), layout)
        return
    lengths = [length for _, length in pieces]
    cuts = _parted(w, w.slot(x), dim, len(lengths), lambda _: lengths)
    for slot, same in zip(cuts, pieces.values(), strict=True):
        for piece in same:
            w.made(piece, slot, layout)


def _pieces(x: Node, over: str, w: Emitter) -> dict[tuple[int, int], list[Node]]:
    """The parts of an axis by start and length, where they are the whole of it, end to end; else none.

    The gradient of all of them is one concatenation; of one by itself it is a map of zeros but for that piece.
    """
    found: dict[tuple[int, int], list[Node]] = {}
    for reader in w.readers[id(x)]:
        if isinstance(reader.op, ops.Slice) and reader.op.over == over:
            found.setdefault((reader.op.start, reader.op.length), []).append(reader)
    starts, ends = [start for start, _ in sorted(found)], [start + length for start, length in sorted(found)]
    whole = len(found) > 1 and [*starts, x.sizes[over]] == [0, *ends]
    return {at: found[at] for at in sorted(found)} if whole else {}


def cut(op: ops.ChannelSplit, value: Node, w: Emitter) -> None:
    """C in parts that lie on S."""
    (x,) = value.inputs
    layout = w.layout(x).replace("S", "")
    layout = layout if "C" in layout else f"C{layout}"
    at, parts = 1 + layout.index("C"), op.parts

    def run(t: Tensor) -> Tensor:
        shape = t.shape
        return t.view(*shape[:at], parts, shape[at] // parts, *shape[at + 1 :])

    w.made(value, w.unary(run, w.slot(x, layout)), layout.replace("C", "SC"))


def _strip(x: Node, w: Emitter) -> int:
    """The slot of a value with its positions on one axis."""
    lead = "SC" if x.sizes["S"] != 1 else "C"
    space = "".join(axis for axis in x.sizes.spatial_axes if x.sizes[axis] != 1)
    if len(space) <= 1:
        return w.slot(x, lead + (space or x.sizes.spatial_axes[-1]))
    return w.unary(lambda t: t.flatten(1 + len(lead)), w.slot(x, lead + space))


def join(op: ops.ConcatPositions, value: Node, w: Emitter) -> None:
    """The positions of all inputs, end to end."""
    strips = [_strip(x, w) for x in value.inputs]
    lead = "SC" if value.sizes["S"] != 1 else "C"
    w.made(value, w.nary(lambda *maps: torch.cat(maps, -1), strips), f"{lead}H")


def split(op: ops.SplitPositions, value: Node, w: Emitter) -> None:
    """All parts at once; what follows finds those of its siblings."""
    trunk, *branches = value.inputs
    lead = "SC" if trunk.sizes["S"] != 1 else "C"
    made = w.layout(trunk)
    layout = made if made.startswith(f"{lead}H") else f"{lead}H"  # behind H are axes of size 1
    if id(trunk) not in w.parts:
        strips = [_strip(x, w) for x in branches]
        lengths = lambda slots: [slots[i].shape[-1] for i in strips]  # noqa: E731
        w.parts[id(trunk)] = _parted(w, w.slot(trunk, layout), len(lead) + 1, len(strips), lengths, *strips)
    slot, branch = w.parts[id(trunk)][op.index], branches[op.index]
    space = "".join(axis for axis in value.sizes.spatial_axes if value.sizes[axis] != 1)
    if len(space) > 1:
        there, at = w.slot(branch, ("SC" if branch.sizes["S"] != 1 else "C") + space), len(lead) + 1
        slot = w.binary(lambda t, y: t.reshape(t.shape[:at] + y.shape[-len(space) :]), slot, there)
        w.made(value, slot, lead + space)
        return
    axis = space or value.sizes.spatial_axes[-1]
    rest = [other for other in value.sizes.spatial_axes if other != axis]
    w.made(value, slot, lead + axis + "".join(rest[: len(layout) - len(lead) - 1]))


def _parted(w: Emitter, whole: int, dim: int, count: int, lengths: Callable[[Slots], list[int]], *read: int) -> list[int]:
    """The slots of so many parts, end to end, of lengths that may be read off other slots."""
    out = [w.new() for _ in range(count)]

    def step(slots: Slots) -> None:
        for o, part in zip(out, slots[whole].split_with_sizes(lengths(slots), dim), strict=True):
            slots[o] = part

    w.put(step, whole, *read)
    return out
