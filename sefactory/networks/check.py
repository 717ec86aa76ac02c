"""Checks that the inserted blocks of a network are still there and run."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from .attachment import INSERTED_PATHS, block_name, block_of, inserted_block, is_replacement
from .holder import CHILD, named_places
from .tracing import CallRecord, Example, example_input, trace


@dataclass(frozen=True)
class BlockStatus:
    """One inserted block: its place, its name, how often one forward pass calls it, and what is wrong; `fault` may be ""."""

    path: str
    block: str
    calls: int
    fault: str = ""

    def __str__(self) -> str:
        return f"{self.path}  {self.block}  {self.fault or f'{self.calls} calls'}"


def check(
    model: nn.Module, *, input_size: Sequence[int] | None = None, example: Example | None = None
) -> tuple[BlockStatus, ...]:
    """Returns the state of every block that was inserted into a network, by one forward pass that changes nothing.

    A block has a fault if a tool took it out, or if the forward pass does not call it. The input is given as in `insert`.
    Raises ConfigError if the network does not run.

    >>> import sefactory as sf
    >>> net = nn.Sequential(nn.Conv2d(3, 32, 1), nn.ReLU())
    >>> report = sf.insert(net, "senet", "0", input_size=(3, 8, 8))
    >>> print(*check(net, input_size=(3, 8, 8)))
    0  senet  1 calls
    >>> net[0] = net[0].original
    >>> print(*check(net, input_size=(3, 8, 8)))
    0  senet  is gone: a Conv2d without a block stands here; run the tool before the insertion, or insert the block again
    """
    calls = trace(model, example_input(model, input_size, example))
    places = dict(named_places(model))
    recorded = _recorded(model)
    found = [*recorded, *(path for path, module in places.items() if path not in recorded and inserted_block(module))]
    return tuple(_status(path, recorded.get(path, ""), places.get(path), calls) for path in found)


def _recorded(model: nn.Module) -> dict[str, str]:
    """The paths of all insertions, and the names of the blocks, from the modules into which they were inserted."""
    paths: dict[str, str] = {}
    for prefix, module in named_places(model):
        for path, name in module.__dict__.get(INSERTED_PATHS, {}).items():
            paths[f"{prefix}.{path}" if prefix else path] = name
    return paths


def _status(path: str, name: str, module: nn.Module | None, calls: dict[str, list[CallRecord]]) -> BlockStatus:
    """The state of the block at a path; `module` is what stands there now."""
    cure = "run the tool before the insertion, or insert the block again"
    if module is None:
        return BlockStatus(path, name, 0, f"is gone with its module; {cure}")
    child = inserted_block(module)
    if child is None:
        return BlockStatus(path, name, 0, f"is gone: a {type(module).__name__} without a block stands here; {cure}")
    count = len(calls.get(path if is_replacement(child) else f"{path}.{CHILD}", ()))
    fault = "" if count else "the forward pass does not call it; insert the block at a module that it calls"
    return BlockStatus(path, block_name(block_of(child)), count, fault)
