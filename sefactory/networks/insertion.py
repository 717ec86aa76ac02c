"""Inserts blocks into a network that is already built; its weights and state-dict keys stay as they are."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..block import Block
from ..errors import ConfigError
from .adapter import ResidualAdapter
from .attachment import attach_block, inserted_block, is_plain_sequential
from .block_plans import BlockPlans, NarrowPlace
from .holder import CHILD, ORIGINAL, InsertionPoint, Where
from .layouts import CHANNELS_FIRST, LayoutName
from .options import InsertionSpec, Skip, Start
from .preparation import Placement, prepare
from .recipe import note_recipe
from .selectors import STAGE, select
from .tracing import Example, example_input, tensor_shape, trace
from .verification import trace_modules, trace_places

Prepared = tuple[Block | ResidualAdapter, Placement]


@dataclass(frozen=True)
class Report:
    """What an insertion did: the inserted blocks, and the state-dict keys that are unchanged, new and no longer there.

    `skipped` has (path, reason) of the places that `skip` left out.
    """

    places: tuple[Placement, ...]
    kept: tuple[str, ...]
    new: tuple[str, ...]
    missing: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...] = ()

    @property
    def parameters(self) -> int:
        """Parameters of all inserted blocks."""
        return sum(place.parameters for place in self.places)

    @property
    def macs(self) -> int:
        """Multiply-adds that the blocks add to one forward pass."""
        return sum(place.macs for place in self.places)

    @property
    def key_counts(self) -> str:
        """`22 keys kept, 10 new, 0 missing`."""
        return f"{len(self.kept)} keys kept, {len(self.new)} new, {len(self.missing)} missing"

    def __str__(self) -> str:
        lines = [f"{p.path}  {p.where}  {p.block}  {'x'.join(map(str, p.shape[1:]))}  +{p.parameters:,}" for p in self.places]
        lines += [f"{path}  skipped  {reason}" for path, reason in self.skipped]
        return "\n".join([*lines, f"+{self.parameters:,} parameters, +{self.macs:,} multiply-adds; {self.key_counts}"])


def insert(
    model: nn.Module,
    config: Any,
    at: str | Sequence[str],
    *,
    where: Where = "after",
    start: Start = "identity",
    input_size: Sequence[int] | None = None,
    example: Example | None = None,
    overrides: Sequence[str] = (),
    grid: str | None = None,
    carry: str | None = None,
    layout: LayoutName | None = None,
    tokens: int | None = None,
    skip: Skip | None = None,
    search: Sequence[str | Path] = (),
) -> Report:
    """Inserts a block at every module that `at` selects: a path (`layer*.*.bn3`), a class (`SqueezeExcite`), `stage:-1`.

    Channel counts are inferred from one forward pass of `example` (a tensor, a tuple of positional arguments, or a dict of
    keyword arguments), or of zeros of `input_size` (C, H, W). Checkpoints of the network without blocks still load with
    strict=True.

    - `where`: the block gets the module's output (`after`), its input (`before`), or takes its place (`replace`).
    - `start`: with `identity` the output of the network is unchanged at initialisation: y = original + alpha (block(x) -
      original), with a learned alpha that starts at 0. With `own` y = block(x).
    - `carry`: a key map of the config's `official:`, by which the weights of a replaced module are copied into the block.
      `let.r` is set from their width.
    - `layout`: `BCHW`, `BHWC` or `BNC` (tokens). By default the modules at the place tell it. `tokens` is the number of class
      and register tokens before those of the grid; they pass unchanged.
    - `skip`: with `narrow`, places that have too few channels for the block are left out; the report lists them.
    - `grid`: `W` if feature maps are (B, C, W).

    Raises ConfigError, and then nothing of the network is changed.
    """
    spec = InsertionSpec(config, at, where, start, overrides, grid, carry, layout, tokens, skip, search)
    return insert_all(model, [spec], example_input(model, input_size, example))


def insert_all(model: nn.Module, specs: Sequence[InsertionSpec], example: Example) -> Report:
    """Inserts the blocks of all specs, or none. Shapes come from one forward pass of `example`. Raises ConfigError."""
    with _random_state_restored_on_error():
        prepared, skipped = _prepare_all(model, specs, example)
        before = model.state_dict(keep_vars=True)
        _attach_all(model, prepared, example)
        after = model.state_dict(keep_vars=True)
        note_recipe(model)
    kept = tuple(key for key, tensor in before.items() if after.get(key) is tensor)
    new = tuple(key for key, tensor in after.items() if before.get(key) is not tensor)
    missing = tuple(key for key, tensor in before.items() if after.get(key) is not tensor)
    return Report(tuple(place for _, place in prepared), kept, new, missing, skipped)


def _attach_all(model: nn.Module, prepared: Sequence[Prepared], example: Example) -> None:
    """Attaches all blocks, or none. Raises ConfigError if the network does not run with them or bypasses one."""
    undo: list[Callable[[], None]] = []
    needs_trace = any(_differs_from_probe(model, place) for _, place in prepared)
    try:
        for child, place in prepared:
            undo.append(attach_block(model, child, InsertionPoint(place.path, place.where, place.layout)))
        if needs_trace:
            blocks, paths = [child for child, _ in prepared], [place.path for _, place in prepared]
            if (fault := trace_modules(model, blocks, paths, example).fault) is not None:
                raise fault
    except BaseException:
        for detach in reversed(undo):
            detach()
        raise


def _differs_from_probe(model: nn.Module, place: Placement) -> bool:
    """True if the block stands in another way than its probe did: for a module that is gone, or in a holder."""
    is_step = is_plain_sequential(model.get_submodule(place.path)) and place.layout != CHANNELS_FIRST
    return is_step or (place.where == "replace" and place.start == "own")


@contextmanager
def _random_state_restored_on_error() -> Iterator[None]:
    """Restores torch's random state after an error, so that a refused insertion changes no later random number."""
    state = torch.get_rng_state()
    try:
        yield
    except BaseException:
        torch.set_rng_state(state)
        raise


def _prepare_all(
    model: nn.Module, specs: Sequence[InsertionSpec], example: Example
) -> tuple[list[Prepared], tuple[tuple[str, str], ...]]:
    """The blocks of all specs with their lines of the report, not attached yet; and the places that are left out."""
    targets = _select_all(model, specs, example)
    calls, fault = trace_places(model, [InsertionPoint(path, spec.where) for path, spec in targets], example)
    plans = BlockPlans()
    prepared: list[Prepared] = []
    skipped: list[tuple[str, str]] = []
    for path, spec in targets:
        try:
            prepared.append(prepare(model, path, spec, calls, tensor_shape(example), plans))
        except NarrowPlace as narrow:
            cure = "" if spec.skip or len(targets) == 1 else "; or set skip to narrow, which leaves such places out"
            if spec.skip is None or len(targets) == len(skipped) + 1:
                raise ConfigError([(where, text + cure) for where, text in narrow.error.faults]) from None
            skipped.append((path, narrow.error.faults[0][1]))
    if fault is not None and skipped:  # it may be that of a place that is left out
        fault = trace_places(model, [InsertionPoint(place.path, place.where) for _, place in prepared], example).fault
    if fault is not None:
        raise fault
    return prepared, tuple(skipped)


def _select_all(model: nn.Module, specs: Sequence[InsertionSpec], example: Example) -> list[tuple[str, InsertionSpec]]:
    """The paths that all specs select. Stages are found by a trace of their own."""
    patterns = [(pattern, spec) for spec in specs for pattern in ([spec.at] if isinstance(spec.at, str) else spec.at)]
    calls = trace(model, example) if any(STAGE.fullmatch(pattern) for pattern, _ in patterns) else {}
    targets = [(path, spec) for pattern, spec in patterns for path in select(model, pattern, calls)]
    check_targets(model, [path for path, _ in targets])
    gone = [path for path, spec in targets if spec.where == "replace" and spec.start == "own"]
    inside = [(path, outer) for path, _ in targets for outer in gone if path.startswith(f"{outer}.")]
    if inside:
        raise ConfigError([(path, f"is inside {outer}, which a block replaces; select one of them") for path, outer in inside])
    return targets


def check_targets(model: nn.Module, paths: Sequence[str]) -> None:
    """Raises ConfigError for a module that is selected twice, has a block already, or is part of one."""
    faults = []
    for path in dict.fromkeys(paths):
        names = path.split(".")
        modules = [model.get_submodule(".".join(names[: i + 1])) for i in range(len(names))]
        if paths.count(path) > 1:
            faults.append((path, "is selected twice"))
        elif inserted_block(modules[-1]) is not None:
            cure = "insert a list of blocks instead, such as [cbam, senet]; sefactory.remove takes a block out"
            faults.append((path, f"has a block already; {cure}"))
        elif any(isinstance(module, Block | ResidualAdapter) for module in modules):
            faults.append((path, "is part of a block"))
        elif any(isinstance(module, torch.jit.ScriptModule) for module in modules[:-1]):
            faults.append((path, "is part of a scripted module, which cannot be changed; insert the block at that module"))
        elif taken := [name for name in (CHILD, ORIGINAL) if hasattr(modules[-1], name)]:
            cure = f"insert the block at the module that contains {path}"
            faults.append((path, f"has an attribute {taken[0]!r} of its own, which is a name of inserted blocks; {cure}"))
    if faults:
        raise ConfigError(faults)
