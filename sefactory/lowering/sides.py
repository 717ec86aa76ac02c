"""What lies side by side as steps: maps on S, parts of an axis, strips of positions end to end."""

from collections.abc import Callable
from itertools import accumulate

import torch
from torch import Tensor

from ..kernels.guard import fused
from ..operators.pool import Pool
from . import operations as ops
from .graph import Value
from .layout import bare, common, view
from .program import Slots, Writer


def stacked(op: ops.Stacked, value: Value, w: Writer) -> None:
    """The inputs side by side: stacked where each is one map, else end to end on S."""
    first = value.inputs[0]
    layout = bare(w.layout(first), first.sizes).replace("S", "")
    if all(x.sizes["S"] == 1 for x in value.inputs):
        slots = [w.slot(x, layout) for x in value.inputs]
        run: Callable[..., Tensor] = lambda *maps: torch.stack(maps, 1)  # noqa: E731
        if op.pool is not None and _of_one_map(value):
            run, slots = _pooled(op.pool, value, f"S{layout}", w), [w.slot(first.inputs[0]), *slots]
        w.made(value, w.nary(run, slots), f"S{layout}")
        return
    slots = [w.slot(x, f"S{layout}") for x in value.inputs]
    w.made(value, w.nary(lambda *maps: torch.cat(maps, 1), slots), f"S{layout}")


def _of_one_map(value: Value) -> bool:
    """Whether what is stacked are still statistics of one map, which no rule has made anything else of."""
    source = value.inputs[0].inputs[0]
    return all(isinstance(x.op, ops.Reduce | ops.Spread) and x.inputs[0] is source for x in value.inputs)


def _pooled(pool: Pool, value: Value, layout: str, w: Writer) -> Callable[..., Tensor]:
    """A compiler makes one loop of several statistics only where they are written as in the plain tree: 1.12.

    Without variances of their gradients alone; then the tree has more to look at before each call than the steps.
    """
    source = value.inputs[0].inputs[0]
    before, after = view(w.layout(source), source.sizes.axes, source.sizes), view(value.sizes.axes, layout, value.sizes)
    varied = any(isinstance(x.op, ops.Spread) for x in value.inputs)

    def run(x: Tensor, *maps: Tensor) -> Tensor:
        if not fused() or not (varied or torch.is_grad_enabled()):
            return torch.stack(maps, 1)
        y: Tensor = pool(x if before is None else before(x))
        return y if after is None else after(y)

    return run


def concat(op: ops.Concat, value: Value, w: Writer) -> None:
    """The inputs end to end on C."""
    layout = common([(w.layout(x), x.sizes) for x in value.inputs], value.sizes.axes)
    layout = layout if "C" in layout else value.sizes.axes
    dim = 1 + layout.index("C")
    w.made(value, w.nary(lambda *maps: torch.cat(maps, dim), [w.slot(x, layout) for x in value.inputs]), layout, fresh=True)


def part(op: ops.Part, value: Value, w: Writer) -> None:
    """A piece of one axis; of one of size 1, the whole. Pieces that make up the axis are cut at once."""
    (x,) = value.inputs
    layout = w.layout(x)
    if x.sizes[op.over] == 1:
        w.made(value, w.slot(x), layout)
        return
    dim, start, length = 1 + layout.index(op.over), op.start, op.length
    if lengths := _pieces(x, op.over, w):
        if (id(x), op.over) not in w.pieces:
            w.pieces[id(x), op.over] = dict(zip(accumulate(lengths, initial=0), _cut_at_once(lengths, x, dim, w), strict=False))
        w.made(value, w.pieces[id(x), op.over][start], layout)
        return
    w.made(value, w.unary(lambda t: t.narrow(dim, start, length), w.slot(x)), layout)


def _pieces(x: Value, over: str, w: Writer) -> list[int]:
    """The lengths of the pieces of an axis where these are the whole of it, end to end; else none.

    The gradient of all of them is one concatenation; of one by itself it is a map of zeros but for that piece.
    """
    parts = {(r.op.start, r.op.length) for r in w.readers[id(x)] if isinstance(r.op, ops.Part) and r.op.over == over}
    lengths = [length for _, length in sorted(parts)]
    whole = len(lengths) > 1 and [start for start, _ in sorted(parts)] == list(accumulate(lengths, initial=0))[:-1]
    return lengths if whole and sum(lengths) == x.sizes[over] else []


def _cut_at_once(lengths: list[int], x: Value, dim: int, w: Writer) -> list[int]:
    i, out = w.slot(x), [w.new() for _ in lengths]

    def step(slots: Slots) -> None:
        for o, piece in zip(out, slots[i].split_with_sizes(lengths, dim), strict=True):
            slots[o] = piece

    w.put(step, i)
    return out


def cut(op: ops.Cut, value: Value, w: Writer) -> None:
    """C in parts that lie on S."""
    (x,) = value.inputs
    layout = w.layout(x).replace("S", "")
    layout = layout if "C" in layout else f"C{layout}"
    at, parts = 1 + layout.index("C"), op.parts

    def run(t: Tensor) -> Tensor:
        shape = t.shape
        return t.view(*shape[:at], parts, shape[at] // parts, *shape[at + 1 :])

    w.made(value, w.unary(run, w.slot(x, layout)), layout.replace("C", "SC"))


def _strip(x: Value, w: Writer) -> int:
    """The slot of a value with its positions on one axis."""
    lead = "SC" if x.sizes["S"] != 1 else "C"
    space = "".join(axis for axis in x.sizes.space if x.sizes[axis] != 1)
    if len(space) <= 1:
        return w.slot(x, lead + (space or x.sizes.space[-1]))
    return w.unary(lambda t: t.flatten(1 + len(lead)), w.slot(x, lead + space))


def join(op: ops.Join, value: Value, w: Writer) -> None:
    """The positions of all inputs, end to end."""
    strips = [_strip(x, w) for x in value.inputs]
    lead = "SC" if value.sizes["S"] != 1 else "C"
    w.made(value, w.nary(lambda *maps: torch.cat(maps, -1), strips), f"{lead}H")


def split(op: ops.Split, value: Value, w: Writer) -> None:
    """All parts at once; what follows finds those of its siblings."""
    trunk, *branches = value.inputs
    lead = "SC" if trunk.sizes["S"] != 1 else "C"
    made = w.layout(trunk)
    layout = made if made.startswith(f"{lead}H") else f"{lead}H"  # behind H are axes of size 1
    if id(trunk) not in w.parts:
        strips = [_strip(x, w) for x in branches]
        w.parts[id(trunk)] = _parted(w, w.slot(trunk, layout), len(lead) + 1, strips)
    slot, branch = w.parts[id(trunk)][op.index], branches[op.index]
    space = "".join(axis for axis in value.sizes.space if value.sizes[axis] != 1)
    if len(space) > 1:
        there, at = w.slot(branch, ("SC" if branch.sizes["S"] != 1 else "C") + space), len(lead) + 1
        slot = w.binary(lambda t, y: t.reshape(t.shape[:at] + y.shape[-len(space) :]), slot, there)
        w.made(value, slot, lead + space)
        return
    axis = space or value.sizes.space[-1]
    rest = [other for other in value.sizes.space if other != axis]
    w.made(value, slot, lead + axis + "".join(rest[: len(layout) - len(lead) - 1]))


def _parted(w: Writer, trunk: int, dim: int, strips: list[int]) -> list[int]:
    out = [w.new() for _ in strips]

    def step(slots: Slots) -> None:
        parts = slots[trunk].split([slots[i].shape[-1] for i in strips], dim)
        for o, part in zip(out, parts, strict=True):
            slots[o] = part

    w.put(step, trunk, *strips)
    return out
