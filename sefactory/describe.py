"""What a block is made of and what it costs: path / operator / sizes / parameters / MACs."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from .block import Block
from .expression import Value
from .lowering.rules import Rewrite
from .operators.layout import Slice, Stack, Unstack
from .structure import Steps


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
class Description:
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


def describe(block: Block, *size: int, batch: int = 1) -> Description:
    """The table of a block for maps of (batch, C, *size). Nothing is computed: sizes run on the meta device.

    >>> from sefactory import build
    >>> found = describe(build("senet", 64), 7, 7)
    >>> found.parameters, found.macs
    (580, 512)
    """
    sizes = block.sizes[0]
    grid = dict(zip(sizes.grid, size, strict=True))
    x = torch.empty(sizes.at(batch, grid), device="meta")
    work, y = _work(block.node, x)
    paths = [part.path for part in block.parts]
    held = {path: [0, 0, 0] for path in paths}
    for name, parameter in block.node.named_parameters():
        held[_owner(name, paths)][0] += parameter.numel()
    for name, (macs, elements) in work.items():
        held[_owner(name, paths)][1] += macs
        held[_owner(name, paths)][2] += elements
    lines = tuple(
        Line(part.path, part.operator, " x ".join(map(str, part.sizes[1].at(batch, grid)[1:])), *held[part.path])
        for part in block.parts
    )
    parameters, macs, elements = (sum(column) for column in zip(*held.values(), strict=True))
    rewrites = block.lowered.rewrites if block.lowered else ()
    given, left = ((batch, t.shape[2], *t.shape[-len(grid) :]) for t in (x, y))
    return Description(block.label, given, left, lines, parameters, macs, elements, block.let, rewrites)


def leaf_operators(block: Block) -> dict[str, str]:
    """Module path -> operator, for the nodes that have no nodes below them."""
    paths = [part.path for part in block.parts]
    inner = {_owner(path.rpartition(".")[0], paths) for path in paths if path}
    return {part.path: part.operator for part in block.parts if part.path not in inner}


def _owner(name: str, paths: list[str]) -> str:
    """The path of the innermost node that a module or parameter belongs to."""
    known = set(paths)
    while name not in known and name:
        name = name.rpartition(".")[0]
    return name


def _work(node: nn.Module, x_BSCHW: Tensor) -> tuple[dict[str, tuple[int, int]], Tensor]:
    """(macs, elements) of every module, from one forward in eval mode on the meta device."""
    work: dict[str, tuple[int, int]] = {}
    handles = []
    for name, module in node.named_modules():

        def note(module: nn.Module, args: tuple[Tensor, ...], y: Tensor, name: str = name) -> None:
            work[name] = _of(module, args[0], y)

        handles.append(module.register_forward_hook(note))
    state = {key: torch.empty_like(t, device="meta") for key, t in [*node.named_parameters(), *node.named_buffers()]}
    try:
        with evaluating(node), torch.no_grad():
            y: Tensor = functional_call(node, state, (x_BSCHW.to(_dtype(state)),))
    finally:
        for handle in handles:
            handle.remove()
    return work, y


def _of(module: nn.Module, x: Tensor, y: Tensor) -> tuple[int, int]:
    for name in ("macs", "elements"):
        if callable(count := getattr(module, name, None)):
            return (int(count(x, y)), 0) if name == "macs" else (0, int(count(x, y)))
    passes = isinstance(module, Steps | nn.Identity | Slice | Stack | Unstack) or any(True for _ in module.children())
    return 0, 0 if passes else x.numel()


def _dtype(state: Mapping[str, Tensor]) -> torch.dtype:
    return next((t.dtype for t in state.values() if t.is_floating_point()), torch.get_default_dtype())


@contextmanager
def evaluating(node: nn.Module) -> Iterator[None]:
    """Eval mode inside, every module's own mode again behind."""
    modes = [(module, module.training) for module in node.modules()]
    node.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
