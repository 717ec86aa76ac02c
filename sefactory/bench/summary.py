"""What a block is made of and what it costs: path / operator / sizes / parameters / MACs."""

from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ..block import Block
from ..compiler.passes.rewrite import Rewrite
from ..config.expressions import Value
from ..config.registry import find_operator
from ..operators.containers import Sequential
from ..operators.conv import MultiScale
from ..operators.layout import Slice, Stack, Unstack
from ..shapes import Sizes

Work = dict[str, tuple[int, int]]
"""(macs, elements) of modules by path."""
OURS = ("sefactory.operators.", "torch.nn.modules.activation")


@dataclass(frozen=True)
class Line:
    """One node: `parameters`, `macs` and `elements` of what it holds itself, without the nodes below it.

    macs: multiply-adds of convolutions, linear maps, attention and clustering (one for each weight of a window, borders
    included). elements: values that pooling, norms, activations, gates and fuses read, of which macs say nothing.
    """

    path: str
    operator: str
    sizes: str
    parameters: int
    macs: int
    elements: int


@dataclass(frozen=True)
class Summary:
    """All nodes of a block from the root down, for one input, with their totals and the values of `let` at each path."""

    block: str
    input: tuple[int, ...]
    output: tuple[int, ...]
    lines: tuple[Line, ...]
    parameters: int
    macs: int
    elements: int
    let: Mapping[str, Mapping[str, Value]]
    rewrites: tuple[Rewrite, ...] = ()
    """What lowering made of the tree: where, by which rule, and its equation."""

    def as_dict(self) -> dict[str, Any]:
        """Plain containers: the schema of `sefactory show format=json`."""
        return asdict(self)


def summarize(block: Block, *size: int, batch: int = 1) -> Summary:
    """The table of a block for maps of (batch, C, *size). Nothing is computed: sizes run on the meta device.

    >>> from sefactory import build
    >>> found = summarize(build("senet", 64), 7, 7)
    >>> found.parameters, found.macs
    (580, 512)
    """
    sizes = block.sizes[0]
    grid = dict(zip(sizes.grid, size, strict=True))
    x, counted = torch.empty(sizes.shape(batch, grid), device="meta"), declared(block, batch, grid)
    work, left = measured(block.node, x) if counted is None else (counted, block.sizes[1].shape(batch, grid))
    held = {part.path: [0, 0, 0] for part in block.parts}
    for name, parameter in block.node.named_parameters():
        held[_owner(name, held)][0] += parameter.numel()
    for name, (macs, elements) in work.items():
        own = held[_owner(name, held)]
        own[1] += macs
        own[2] += elements
    lines = tuple(
        Line(part.path, part.operator, " x ".join(map(str, part.sizes[1].shape(batch, grid)[1:])), *held[part.path])
        for part in block.parts
    )
    parameters, macs, elements = (sum(column) for column in zip(*held.values(), strict=True))
    rewrites = block.lowered.rewrites if block.lowered else ()
    given, gone = ((batch, shape[2], *shape[-len(grid) :]) for shape in (x.shape, left))
    return Summary(block.label, given, gone, lines, parameters, macs, elements, block.let, rewrites)


def leaf_operators(block: Block) -> dict[str, str]:
    """Module path -> operator, for the nodes that have no nodes below them."""
    paths = {part.path for part in block.parts}
    inner = {_owner(path.rpartition(".")[0], paths) for path in paths if path}
    return {part.path: part.operator for part in block.parts if part.path not in inner}


def _owner(name: str, paths: Container[str]) -> str:
    """The path of the innermost node that a module or parameter belongs to."""
    while name not in paths and name:
        name = name.rpartition(".")[0]
    return name


def declared(block: Block, batch: int, grid: Mapping[str, int]) -> Work | None:
    """What `measured` finds, from the sizes that the nodes declare; None where only a forward can tell.

    That is so for a module that is not as the package makes it: an operator of a user, a replaced module, one with hooks.
    """
    modules = dict(block.node.named_modules())
    if not all(map(_known, modules.values())) or not all(_shipped(part.operator) for part in block.parts):
        return None
    maps: dict[tuple[int, ...], Tensor] = {}
    work: Work = {}
    for part in block.parts:
        if part.path not in modules:
            return None
        for name, module, *sizes in _within(part.path, modules[part.path], *part.sizes):
            shapes = [size.shape(batch, grid) for size in sizes]
            maps.update({shape: torch.empty(shape, device="meta") for shape in shapes if shape not in maps})
            work[name] = _of(module, maps[shapes[0]], maps[shapes[1]])
    return work


def _known(module: nn.Module) -> bool:
    """Whether a module is as the package makes it."""
    kind, hooks = type(module), module._forward_hooks or module._forward_pre_hooks
    return not hooks and (kind in (nn.Identity, nn.Sequential) or kind.__module__.startswith(OURS))


def _shipped(operator: str) -> bool:
    """Whether the word of a node is none of a user's operators."""
    found = find_operator(operator)
    return found is None or found.is_builtin


def _within(path: str, module: nn.Module, x: Sizes, y: Sizes) -> Iterator[tuple[str, nn.Module, Sizes, Sizes]]:
    """The module of a node and those that its operator made inside of it, with the sizes before and behind each."""
    yield path, module, x, y
    if isinstance(module, nn.Sequential | MultiScale):
        for name, step in module.named_children():
            out: Sizes = getattr(step, "sizes", x)
            yield from _within(f"{path}.{name}".lstrip("."), step, x, out)
            x = out if isinstance(module, nn.Sequential) else x


def measured(node: nn.Module, x_BSCHW: Tensor) -> tuple[Work, tuple[int, ...]]:
    """(macs, elements) of every module and the shape that is left, from one forward in eval mode on the meta device."""
    work: Work = {}
    handles = []
    for name, module in node.named_modules():

        def note(module: nn.Module, args: tuple[Tensor, ...], y: Tensor, name: str = name) -> None:
            work[name] = _of(module, args[0], y)

        handles.append(module.register_forward_hook(note))
    state = {key: torch.empty_like(t, device="meta") for key, t in [*node.named_parameters(), *node.named_buffers()]}
    try:
        with eval_mode(node), torch.no_grad():
            y: Tensor = functional_call(node, state, (x_BSCHW.to(_dtype(state)),))
    finally:
        for handle in handles:
            handle.remove()
    return work, tuple(y.shape)


def _of(module: nn.Module, x: Tensor, y: Tensor) -> tuple[int, int]:
    for name in ("macs", "elements"):
        if callable(count := getattr(module, name, None)):
            return (int(count(x, y)), 0) if name == "macs" else (0, int(count(x, y)))
    passes = isinstance(module, Sequential | nn.Identity | Slice | Stack | Unstack) or any(True for _ in module.children())
    return 0, 0 if passes else x.numel()


def _dtype(state: Mapping[str, Tensor]) -> torch.dtype:
    return next((t.dtype for t in state.values() if t.is_floating_point()), torch.get_default_dtype())


@contextmanager
def eval_mode(node: nn.Module) -> Iterator[None]:
    """Eval mode inside, every module's own mode again behind."""
    modes = [(module, module.training) for module in node.modules()]
    node.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
