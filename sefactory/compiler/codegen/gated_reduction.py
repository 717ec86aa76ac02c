"""Steps for the statistics of a map and for its gates, with one shared backward where the map is large."""

from collections.abc import Callable, Sequence
from functools import partial, reduce

import torch
from torch import Tensor
from torch.compiler import is_compiling

from ...kernels.broadcast_mean import broadcast_mean, broadcasts_gradient
from ...kernels.dispatch import contiguous_fast_path
from ...kernels.gated_reduction import Combine, MapContext, apply_gates, reduce_map
from ...kernels.gated_reduction import select as select_map
from ...kernels.reduction import EXTREMA, Request
from .. import ir as ops
from ..graph import Node
from .emitter import Emitter, Registers, Step
from .layout import broadcast_layout, strip_unit_axes
from .pooling import finish_variance, variance_function
from .stacks import step_into_stack

Statistic = ops.Reduce | ops.Variance
FUNCTIONS: dict[str, Callable[..., Tensor]] = {"mean": torch.mean, "sum": torch.sum, "max": torch.amax, "min": torch.amin}


def emit_reduction(op: Statistic, node: Node, emitter: Emitter) -> None:
    """One statistic, and with it all others of its map if they share a backward."""
    (x,) = node.inputs
    layout = emitter.layout(x)
    if strip_unit_axes(op.over, x.sizes):
        if map_context(x, emitter) is None:
            o = emitter.new_register()
            emitter.emit(_statistic_step(node, o, layout, emitter), emitter.register(x))
            emitter.record(node, o, _kept_axes(op, layout))
    elif isinstance(op, ops.Reduce):  # over axes of size 1
        emitter.record(node, emitter.register(x), layout)
    else:
        finish = finish_variance(op)
        emitter.call(node, lambda t: finish(t - t, 1), [emitter.register(x)], layout)


def _statistic_step(node: Node, o: int, layout: str, emitter: Emitter) -> Step:
    """The step that puts a statistic into register o, and into its place in a stack where it has one."""
    op, dims = _statistic(node), _dims(node, layout)
    if isinstance(op, ops.Variance):
        run = run_out = variance_function(op, dims)
    else:
        run = run_out = partial(FUNCTIONS[op.by], dim=dims)
        if op.by == "mean":
            run = lambda x: broadcast_mean(x, dims) if broadcasts_gradient(x) else run_out(x)  # noqa: E731
    return step_into_stack(node, o, _kept_axes(op, layout), emitter, run, run_out, dims)


def map_context(x: Node, emitter: Emitter) -> int | None:
    """The register of a map's MapContext, which is None at run time where the map is small. None if the map has no use for one.

    The first call writes the step that takes all statistics of the map.
    """
    if id(x) not in emitter.contexts:
        statistics = _shared_statistics(x, emitter.layout(x), emitter)
        emitter.contexts[id(x)] = None if statistics is None else _reduce_map(x, statistics, emitter)
    return emitter.contexts[id(x)]


def _shared_statistics(x: Node, layout: str, emitter: Emitter) -> list[Node] | None:
    """The statistics of a map in this layout. None where a shared backward gains nothing."""
    readers = emitter.readers[id(x)]
    statistics = [r for r in readers if isinstance(r.op, Statistic) and _dims(r, layout)]
    is_slow = any(_statistic(r).by in ("var", *EXTREMA) for r in statistics)
    is_map = set(x.sizes.grid) <= set(strip_unit_axes(layout, x.sizes))
    return statistics if is_map and (is_slow or len(statistics) > 1 or any(_gates(r, x) for r in readers)) else None


def _first_gates(x: Node, emitter: Emitter) -> tuple[int, Combine]:
    """How many gates the first step that gates x applies, and how it combines them."""
    first = next((r for r in emitter.readers[id(x)] if _gates(r, x)), None)
    if first is None:
        return 0, "product"
    return (len(first.inputs) - 1, first.op.kind) if isinstance(first.op, ops.Gate) else (1, "product")


def _gates(reader: Node, x: Node) -> bool:
    """True if a node applies gates that are smaller than it to a map."""
    if isinstance(reader.op, ops.Select):
        return any(other is x for other in reader.inputs[:2])
    if not isinstance(reader.op, ops.Gate) or reader.inputs[0] is not x:
        return False
    return all(gate.sizes != x.sizes for gate in reader.inputs[1:])


def _statistic(node: Node) -> Statistic:
    assert isinstance(node.op, Statistic)
    return node.op


def _dims(node: Node, layout: str) -> tuple[int, ...]:
    """The dimensions of its map that a statistic is over; none where all of them have size 1."""
    (x,), over = node.inputs, _statistic(node).over
    return tuple(1 + i for i, axis in enumerate(layout) if axis in over) if strip_unit_axes(over, x.sizes) else ()


def _kept_axes(op: Statistic, layout: str) -> str:
    return "".join(axis for axis in layout if axis not in op.over)


def _reduce_map(x: Node, statistics: list[Node], emitter: Emitter) -> int:
    """Writes the step that takes the statistics of a map; returns the register of its context."""
    source, context, layout = emitter.register(x), emitter.new_map_register(), emitter.layout(x)
    outputs = [emitter.new_register() for _ in statistics]
    requests: list[Request] = [(_statistic(node).by, _dims(node, layout)) for node in statistics]
    gates, combine = _first_gates(x, emitter)
    plain_steps = [_statistic_step(node, o, layout, emitter) for node, o in zip(statistics, outputs, strict=True)]
    finishers = [finish_variance(node.op) if isinstance(node.op, ops.Variance) else None for node in statistics]

    def step(registers: Registers) -> None:
        x = registers[source]
        if not contiguous_fast_path(x):
            for plain_step in plain_steps:
                plain_step(registers)
            return
        registers[context], results = reduce_map(x, requests, gates, combine)
        for o, (_, dims), finish, y in zip(outputs, requests, finishers, results, strict=True):
            y = y.squeeze(dims)
            registers[o] = y if finish is None else finish(y, x.numel() // max(y.numel(), 1))

    emitter.emit(step, source, nodes=statistics)
    for node, o in zip(statistics, outputs, strict=True):
        emitter.record(node, o, _kept_axes(_statistic(node), layout))
    return context


def emit_gate(op: ops.Gate, node: Node, emitter: Emitter) -> None:
    """Applies gates to their map, by its context where it has one."""
    x, *gates = node.inputs
    layout, context_register = emitter.layout(x), map_context(x, emitter) if _gates(node, x) else None
    inputs, run = [emitter.register(x), *[emitter.register(gate, layout) for gate in gates]], _plain_gate(op, node, emitter)
    if context_register is None or (emitter.frozen and emitter.may_overwrite(x)):
        emitter.call(node, run, inputs, layout, newly_allocated=emitter.frozen)
        return
    o, kind, scale, is_single = emitter.new_register(), op.kind, op.scale, len(gates) == 1
    overwrites = is_single and emitter.may_overwrite_in_inference(x, node)

    def step(registers: Registers) -> None:
        context = registers[context_register]
        if context is None:
            registers[o] = run(*[registers[i] for i in inputs])
            return
        x, gates = registers[inputs[0]], [registers[i].contiguous() for i in inputs[1:]]  # permuted gates broadcast slowly
        if overwrites and not torch.is_grad_enabled() and gates[0].dtype == x.dtype:
            registers[o] = x.mul_(*_scaled(gates, kind, scale))
        elif is_single and not torch.is_grad_enabled():
            registers[o] = run(x, *gates)
        else:
            registers[o] = apply_gates(context, _scaled(gates, kind, scale), kind)

    emitter.emit(step, context_register, *inputs)
    emitter.record(node, o, layout, newly_allocated=emitter.frozen)


def _scaled(gates: list[Tensor], kind: str, scale: float) -> list[Tensor]:
    """The gates times the scale: each summand, or one factor."""
    if scale == 1:
        return gates
    return [gate * scale for gate in gates] if kind == "sum" else [gates[0] * scale, *gates[1:]]


def _plain_gate(op: ops.Gate, node: Node, emitter: Emitter) -> Callable[..., Tensor]:
    """x g, x g1 g2 ..., x (g1 + g2 + ...), each times the scale."""
    scale = op.scale
    if len(node.inputs) == 2 and scale == 1:
        return Tensor.mul_ if emitter.frozen and emitter.may_overwrite(node.inputs[0]) else torch.mul
    if op.kind == "sum":
        return lambda x, *gates: x * _scaled_sum(gates, scale)
    if scale != 1:
        return lambda x, *gates: x * (reduce(torch.mul, gates) * scale)
    return lambda x, *gates: reduce(torch.mul, gates, x)


def _scaled_sum(gates: Sequence[Tensor], scale: float) -> Tensor:
    """scale (g1 + g2 + ...). Without gradients each gate is scaled, which is smaller than the sum."""
    if scale == 1:
        return reduce(torch.add, gates)
    if torch.is_grad_enabled() or is_compiling():
        return reduce(torch.add, gates) * scale
    first, *others = sorted(gates, key=Tensor.numel)
    return reduce(partial(torch.add, alpha=scale), others, first * scale)


def emit_select(op: ops.Select, node: Node, emitter: Emitter) -> None:
    """a s + b (1 - s), by the contexts of both maps where they have them."""
    a, b, s = node.inputs
    layout = broadcast_layout([(emitter.layout(x), x.sizes) for x in (a, b)], node.sizes.axes)
    inputs, o = [emitter.register(x, layout) for x in (a, b, s)], emitter.new_register()
    overwrites = emitter.may_overwrite_in_inference(b, node)
    has_context = [emitter.layout(x) == layout and s.sizes != x.sizes for x in (a, b)]
    contexts = [map_context(x, emitter) if has else None for x, has in zip((a, b), has_context, strict=True)]

    def step(registers: Registers) -> None:
        a, b, s = (registers[i] for i in inputs)
        first, second = (None if i is None else registers[i] for i in contexts)
        if not isinstance(first, MapContext) or not isinstance(second, MapContext) or s.dtype != a.dtype:
            registers[o] = torch.lerp(b, a, s) if a.dtype == b.dtype == s.dtype else a * s + b * (1 - s)
        elif overwrites and not torch.is_grad_enabled():
            registers[o] = b.lerp_(a, s)
        else:
            registers[o] = select_map(first, second, s)

    emitter.emit(step, *inputs, *[i for i in contexts if i is not None])
    emitter.record(node, o, layout, newly_allocated=emitter.frozen)
