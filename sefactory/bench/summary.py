"""What a block consists of and what it costs: path, operator, sizes, parameters, multiply-adds, elementwise operations.

Everything comes from forwards on the meta device, which compute shapes alone.
"""

from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..block import Block
from ..compiler.passes.rewrite import Rewrite
from ..config.expressions import Value
from ..operators.containers import Sequential
from ..operators.layout import Slice, Stack, Unstack
from .dry_run import dry_run

FREE = (Sequential, nn.Identity, Slice, Stack, Unstack)
"""Modules that compute nothing themselves."""
WORK_OF = {"unit": "apply", "parallel": "fuse"}
"""What a node does itself, apart from the nodes inside it."""


class Work(NamedTuple):
    """The multiply-adds and the elementwise operations of one module in one forward."""

    macs: int = 0
    elementwise_ops: int = 0


@dataclass(frozen=True)
class NodeSummary:
    """One node: the parameters, multiply-adds and elementwise operations of the node itself, without the nodes below it.

    The field names are keys of `sefactory show format=json`. `macs` are the multiply-adds of convolutions, linear maps,
    attention and clustering; every weight of a kernel counts, at the borders too. `elements` are the elementwise
    operations: the values that pooling, norms, activations, gates and fuses read.
    """

    path: str
    operator: str
    sizes: str
    parameters: int
    macs: int
    elements: int


@dataclass(frozen=True)
class Summary:
    """All nodes of a block for one input shape, the root first, with their totals and the values of `let` at each path.

    `rewrites` are the rewrites of the compiler: where, by which rule, and the equation that makes both sides equal.
    """

    block: str
    input: tuple[int, ...]
    output: tuple[int, ...]
    lines: tuple[NodeSummary, ...]
    parameters: int
    macs: int
    elements: int
    let: Mapping[str, Mapping[str, Value]]
    rewrites: tuple[Rewrite, ...] = ()


def summarize(block: Block, *size: int, batch: int = 1) -> Summary:
    """The summary of a block for an input (batch, C, *size), from one forward on the meta device.

    >>> from sefactory import build
    >>> summary = summarize(build("senet", 64), 7, 7)
    >>> summary.parameters, summary.macs
    (580, 512)
    """
    sizes = block.sizes[0]
    spatial = dict(zip(sizes.grid, size, strict=True))
    x_BSCHW = torch.empty(sizes.shape(batch, spatial), device="meta")
    works, y_shape = trace_work(block.node, x_BSCHW)
    costs = _node_costs(block, works)
    lines = tuple(
        NodeSummary(part.path, part.operator, " x ".join(map(str, part.sizes[1].shape(batch, spatial)[1:])), *costs[part.path])
        for part in block.parts
    )
    parameters, macs, elements = map(sum, zip(*costs.values(), strict=True))
    rewrites = block.lowered.rewrites if block.lowered else ()
    x_shape, y_shape = ((batch, shape[2], *shape[-len(spatial) :]) for shape in (x_BSCHW.shape, y_shape))
    return Summary(block.label, x_shape, y_shape, lines, parameters, macs, elements, block.let, rewrites)


def _node_costs(block: Block, works: Mapping[str, Work]) -> dict[str, list[int]]:
    """Parameters, multiply-adds and elementwise operations of each node itself, by path."""
    costs = {part.path: [0, 0, 0] for part in block.parts}
    for name, parameter in block.node.named_parameters():
        costs[enclosing_node(name, costs)][0] += parameter.numel()
    for name, work in works.items():
        cost = costs[enclosing_node(name, costs)]
        cost[1] += work.macs
        cost[2] += work.elementwise_ops
    return costs


def node_names(block: Block) -> dict[str, str]:
    """Path to operator name of each node. A unit is named by what it does itself, "apply multiply", a parallel "fuse sum"."""
    names = {}
    for part in block.parts:
        kind, _, mode = part.operator.partition(", ")
        names[part.path] = f"{WORK_OF[kind]} {mode}" if mode else kind
    return names


def enclosing_node(name: str, paths: Container[str]) -> str:
    """The path of the innermost node that contains a module or parameter."""
    while name not in paths and name:
        name = name.rpartition(".")[0]
    return name


def trace_work(node: nn.Module, x_BSCHW: Tensor) -> tuple[dict[str, Work], tuple[int, ...]]:
    """The work of every module by path, and the shape of the output, from one forward in eval mode on the meta device."""
    works: dict[str, Work] = {}
    paths = {module: path for path, module in node.named_modules()}

    def record(module: nn.Module, args: tuple[Any, ...], _: Mapping[str, Any], y: Any) -> None:
        if module in paths:
            works[paths[module]] = _work(module, args[0], y)

    tensors = (*node.parameters(), *node.buffers())
    dtype = next((tensor.dtype for tensor in tensors if tensor.is_floating_point()), torch.get_default_dtype())
    y: Tensor = dry_run(node, (x_BSCHW.to(dtype),), recorder=record)
    return works, tuple(y.shape)


def _work(module: nn.Module, x: Tensor, y: Tensor) -> Work:
    """What the module's own `macs` or `elements` method counts; else one operation for each input of a leaf module."""
    if callable(count := getattr(module, "macs", None)):
        return Work(macs=int(count(x, y)))
    if callable(count := getattr(module, "elements", None)):
        return Work(elementwise_ops=int(count(x, y)))
    has_children = any(True for _ in module.children())
    return Work() if has_children or isinstance(module, FREE) else Work(elementwise_ops=x.numel())


def parameters(model: nn.Module) -> int:
    """The number of parameters."""
    return sum(parameter.numel() for parameter in model.parameters())
