"""How each operation of the graph becomes steps: in which layout it takes its inputs, and which function of torch it is."""

from collections.abc import Callable
from functools import reduce
from typing import Any

import torch
from torch import Tensor
from torch.compiler import is_dynamo_compiling

from ..kernels.guard import eligible, exporting
from ..operators.pool import Pool
from . import graph as g
from .activations import FREELY, FUNCTIONS, OVERWRITING
from .attend import attend
from .descriptors import gather, project
from .graph import Value
from .layout import bare, common, solid, view
from .maps import dense, norm, window
from .positions import coarsened, enlarged, window_mean
from .program import Program, Slots, Writer
from .units import gate, hard, reduction, select


def program(root: Value, frozen: bool = False) -> Program:
    """The program of a graph: it takes (B, C, ...) and leaves (B, C', ...)."""
    writer = Writer(root, frozen)
    for value in writer.values:
        if id(value) not in writer.layouts:
            WRITERS[type(value.op)](value.op, value, writer)
    sizes = root.sizes
    return writer.program(writer.slot(root, f"C{sizes.grid}"))


def _source(op: g.Source, value: Value, w: Writer) -> None:
    w.made(value, w.new(), f"C{value.sizes.grid}")


def _plain(op: g.Plain, value: Value, w: Writer) -> None:
    axes = value.sizes.axes
    w.made(value, w.nary(op.call, [w.slot(x, axes) for x in value.inputs]), axes)


def _stacked(op: g.Stacked, value: Value, w: Writer) -> None:
    first = value.inputs[0]
    layout = bare(w.layout(first), first.sizes).replace("S", "")
    if all(x.sizes["S"] == 1 for x in value.inputs):
        slots = [w.slot(x, layout) for x in value.inputs]
        stacked: Callable[..., Tensor] = lambda *maps: torch.stack(maps, 1)  # noqa: E731
        if op.pool is not None and _of_one_map(value) and not hard(value.inputs, w.layout(first.inputs[0])):
            stacked, slots = _pooled(op.pool, value, f"S{layout}", w), [w.slot(first.inputs[0]), *slots]
        w.made(value, w.nary(stacked, slots), f"S{layout}")
        return
    slots = [w.slot(x, f"S{layout}") for x in value.inputs]
    w.made(value, w.nary(lambda *maps: torch.cat(maps, 1), slots), f"S{layout}")


def _of_one_map(value: Value) -> bool:
    """Whether what is stacked are still statistics of one map, which no rule has made anything else of."""
    source = value.inputs[0].inputs[0]
    return all(isinstance(x.op, g.Reduce | g.Spread) and x.inputs[0] is source for x in value.inputs)


def _pooled(pool: Pool, value: Value, layout: str, w: Writer) -> Callable[..., Tensor]:
    """A compiler makes one loop of several statistics only where they are written as in the plain tree: 1.12.

    Without variances of their gradients alone; then the tree has more to look at before each call than the steps.
    """
    source = value.inputs[0].inputs[0]
    before, after = view(w.layout(source), source.sizes.axes, source.sizes), view(value.sizes.axes, layout, value.sizes)
    varied = any(isinstance(x.op, g.Spread) for x in value.inputs)

    def run(x: Tensor, *maps: Tensor) -> Tensor:
        if not is_dynamo_compiling() or exporting() or not (varied or torch.is_grad_enabled()):
            return torch.stack(maps, 1)
        y: Tensor = pool(x if before is None else before(x))
        return y if after is None else after(y)

    return run


PAIRS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "sum": torch.add,
    "product": torch.mul,
    "max": torch.maximum,
    "min": torch.minimum,
    "difference": torch.sub,
    "quotient": torch.div,
}


def _combined(op: g.Combined, value: Value, w: Writer) -> None:
    layout = common([(w.layout(x), x.sizes) for x in value.inputs], value.sizes.axes)
    pair = PAIRS[op.kind]
    whole = [set(solid(x.sizes)) for x in value.inputs]
    grown = op.kind == "sum" and all(later <= whole[0] | whole[1] for later in whole[2:])
    again: Callable[[Tensor, Tensor], Tensor] = Tensor.add_ if grown else pair

    def run(*maps: Tensor) -> Tensor:
        return reduce(again, maps[2:], pair(maps[0], maps[1]))

    slots = [w.slot(x, layout) for x in value.inputs]
    if len(slots) == 2:
        into = next((i for i, x in enumerate(value.inputs) if x.sizes == value.sizes and w.own(x)), None)
        slot = w.binary(pair if into is None else _into(op.kind, into), *slots)
    else:
        slot = w.nary(run, slots)
    w.made(value, slot, layout, fresh=op.kind == "sum")


def _into(kind: str, place: int) -> Callable[[Tensor, Tensor], Tensor]:
    """The pair written into one of the two, where that is large and has no gradient."""
    pair = PAIRS[kind]
    if kind not in ("sum", "product"):
        return pair
    over: Callable[[Tensor, Tensor], Tensor] = Tensor.add_ if kind == "sum" else Tensor.mul_

    def run(a: Tensor, b: Tensor) -> Tensor:
        if torch.is_grad_enabled() or a.dtype != b.dtype or not eligible(a if place == 0 else b):
            return pair(a, b)
        return over(a, b) if place == 0 else over(b, a)

    return run


def _scaled(op: g.Scaled, value: Value, w: Writer) -> None:
    (x,) = value.inputs
    scale, shift = op.scale, op.shift

    def run(t: Tensor) -> Tensor:
        t = t * scale if scale != 1 else t
        return t + shift if shift else t

    w.made(value, w.unary(run, w.slot(x)), w.layout(x), fresh=scale != 1 or shift != 0)


def _gained(op: g.Gained, value: Value, w: Writer) -> None:
    (x,) = value.inputs
    gain = op.gain
    w.made(value, w.unary(lambda t: t * gain.weight, w.slot(x)), w.layout(x))


def _pointwise(op: g.Pointwise, value: Value, w: Writer) -> None:
    (x,) = value.inputs
    own, plain = w.own(x), FUNCTIONS[op.name]
    if own and (w.frozen or op.name in OVERWRITING) and op.name in FREELY:
        run = FREELY[op.name]
    else:
        run = _freely(plain, FREELY[op.name]) if own and op.name in FREELY else plain
    w.made(value, w.unary(run, w.slot(x)), w.layout(x), fresh=w.frozen)


def _freely(plain: Callable[[Tensor], Tensor], over: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Overwrites where there are no gradients."""
    return lambda x: plain(x) if torch.is_grad_enabled() else over(x)


def _softmax(op: g.Softmax, value: Value, w: Writer) -> None:
    (x,) = value.inputs
    layout = w.layout(x) if op.over in w.layout(x) else x.sizes.axes
    dim = 1 + layout.index(op.over)
    w.made(value, w.unary(lambda t: t.softmax(dim), w.slot(x, layout)), layout)


def _part(op: g.Part, value: Value, w: Writer) -> None:
    (x,) = value.inputs
    layout = w.layout(x)
    if x.sizes[op.over] == 1:
        w.made(value, w.slot(x), layout)
        return
    dim, start, length = 1 + layout.index(op.over), op.start, op.length
    w.made(value, w.unary(lambda t: t.narrow(dim, start, length), w.slot(x)), layout)


def _cut(op: g.Cut, value: Value, w: Writer) -> None:
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


def _join(op: g.Join, value: Value, w: Writer) -> None:
    strips = [_strip(x, w) for x in value.inputs]
    lead = "SC" if value.sizes["S"] != 1 else "C"
    w.made(value, w.nary(lambda *maps: torch.cat(maps, -1), strips), f"{lead}H")


def _split(op: g.Split, value: Value, w: Writer) -> None:
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


WRITERS: dict[type[g.Op], Callable[[Any, Value, Writer], None]] = {
    g.Source: _source,
    g.Plain: _plain,
    g.Reduce: reduction,
    g.Spread: reduction,
    g.Gather: gather,
    g.Project: project,
    g.Stacked: _stacked,
    g.Combined: _combined,
    g.Scaled: _scaled,
    g.Gained: _gained,
    g.Dense: dense,
    g.Window: window,
    g.WindowMean: window_mean,
    g.Coarsened: coarsened,
    g.Enlarged: enlarged,
    g.Norm: norm,
    g.Pointwise: _pointwise,
    g.Softmax: _softmax,
    g.Part: _part,
    g.Cut: _cut,
    g.Attend: attend,
    g.Gate: gate,
    g.Select: select,
    g.Join: _join,
    g.Split: _split,
}
