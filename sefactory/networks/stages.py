"""Where the stages of a network end, from the sizes of the feature maps in one forward pass."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from torch import nn

from ..errors import ConfigError
from ..shapes import Shape
from .holder import CHILD, named_places, unwrap
from .tracing import CallRecord, CallRecords

FALL = 1.5
"""Sizes of two stages differ by at least this factor: convolutions without padding change a size by less."""
TOKEN_PARAMETER_RATIO = 4
"""Most of a network computes with tokens if these modules have more parameters than the others by this factor."""


class Step(NamedTuple):
    """One call of a module on the way through a network.

    `scope` is the module that makes the call. `size` and `channels` are those of the only feature map of the result,
    `is_sequence` is True for tokens (B, N, C).
    """

    path: str
    scope: str
    order: int
    size: Shape | None
    channels: int
    is_sequence: bool


def stage_ends(model: nn.Module, calls: CallRecords, where: str) -> list[str]:
    """The paths of the last modules of all stages.

    They are those of timm's `feature_info` if the network, or a module inside, has it. Otherwise:

    1. The network is a series of modules. An encoder, within which feature maps shrink more than once, counts as the
       series of its children. Other modules count as a whole.
    2. The backbone is the longest part of the series in which maps only shrink: upsampling begins a decoder.
    3. A stage is a run of modules whose maps have one size. Its end is the last module that is called for this size alone.
    4. The last stage ends within the module that calls the last downsampling. What follows outside, such as projections,
       position embeddings and heads, is no part of it. Nor are logits: maps of a 1x1 convolution with as many channels as
       the result of the network, which has another size.

    The network itself is no stage. Raises ConfigError at `where` if most of the network computes with tokens.
    """
    return _noted_ends(model, calls) or _traced_ends(model, calls, where)


def _noted_ends(model: nn.Module, calls: CallRecords) -> list[str]:
    """The modules of timm's `feature_info` that the forward pass calls, or modules inside of those that return several maps."""
    for path, module in named_places(model):
        info = getattr(module, "feature_info", None)
        entries = getattr(info, "info", info)  # a list, or timm's FeatureInfo with a list
        if isinstance(entries, list) and all(isinstance(entry, Mapping) for entry in entries):
            names = [f"{path}.{entry['module']}".removeprefix(".") for entry in entries if entry.get("module")]
            if ends := dict.fromkeys(_single_map_end(name, calls) for name in names if name in calls):
                return list(ends)
    return []


def _single_map_end(path: str, calls: CallRecords) -> str:
    """The module at a path if it returns one tensor; else one inside that returns the smallest of its maps.

    Of these it is the outermost one, and the last one of those. A module in the first half of the calls, such as a
    downsampling, is no end of a stage. Nor are tokens beside a map, and parts of an image in the batch axis.
    """
    call = calls[path][0]
    results = [shape for shape in call.results if shape]  # without scalars
    rank = max(map(len, results), default=0)
    if call.output_shape is not None or rank < 3:
        return path
    batch = min(shape[0] for shape in results)
    maps = [shape for shape in results if len(shape) == rank and shape[0] == batch]
    smallest = min(maps, key=lambda shape: math.prod(shape[2:]) if rank > 3 else shape[1], default=None)
    inner = {other: calls[other] for other in calls if other.startswith(f"{path}.")}
    orders = [record.order for records in inner.values() for record in records]
    middle = (min(orders) + max(orders)) / 2 if orders else 0
    inside = [
        other
        for other, records in inner.items()
        if {record.output_shape for record in records} == {smallest} and records[-1].order >= middle
    ]
    return min(reversed(inside), key=lambda other: other.count("."), default=path)


def _traced_ends(model: nn.Module, calls: CallRecords, where: str) -> list[str]:
    steps = _Series(model, calls).steps()
    runs = _backbone(steps, calls)
    _check_tokens(model, steps, runs, where)
    if not runs:
        return []
    last = [step for step in runs[-1] if f"{step.scope}.".startswith(f"{runs[-1][0].scope}.") or not runs[-1][0].scope]
    runs[-1] = _without_logits(model, last, calls)
    return [end for run in runs if (end := _end(run, calls))]


class _Series:
    """The calls of a network as a series of steps."""

    def __init__(self, model: nn.Module, calls: CallRecords) -> None:
        self._modules, self._calls = dict(named_places(model)), calls
        leaves = (calls[path][0].input_shape for path in calls if not self._children(path))
        image = next((shape for shape in leaves if shape and len(shape) >= 3), ())
        self._rank, self._image = len(image) or -1, image[2:]

    def steps(self) -> list[Step]:
        """The steps of the whole network, in the order in which they return."""
        return sorted(self._inner_steps("", ""), key=lambda step: step.order)

    def _children(self, path: str) -> list[str]:
        """The paths of the children, without inserted blocks."""
        paths = (
            f"{path}.{name}".removeprefix(".") for name, _ in unwrap(self._modules[path]).named_children() if name != CHILD
        )
        return [child for child in paths if child in self._modules]

    def _inner_steps(self, path: str, scope: str) -> Iterator[Step]:
        """The steps of a module's children. A child that is not called, such as a ModuleList, counts as its children."""
        for child in self._children(path):
            if child not in self._calls:
                is_list = isinstance(unwrap(self._modules[child]), nn.ModuleList | nn.ModuleDict)
                yield from self._inner_steps(child, scope if is_list else child)
            elif self._is_encoder(child):
                yield from self._inner_steps(child, child)
            else:
                yield from (self._step(child, scope, call) for call in self._calls[child])

    def _step(self, path: str, scope: str, call: CallRecord) -> Step:
        maps = [shape for shape in call.results if self._map(shape)[0]]
        size, channels = self._map(maps[0] if len(maps) == 1 else None)
        if size and max(size) == 1 and self._is_pooled(path):
            size = None
        is_sequence = bool(call.results) and len(call.results[0]) == 3 != self._rank
        return Step(path, scope, call.order, size, channels, is_sequence)

    def _is_pooled(self, path: str) -> bool:
        """True for a module whose map of one pixel does not come from a layer with weights: a global pooling, or behind one."""
        for inner in self._calls:  # in the order in which they return
            if f"{inner}.".startswith(f"{path}.") and not self._children(inner):
                call = self._calls[inner][0]
                size, before = self._map(call.output_shape)[0], self._map(call.input_shape)[0]
                if size and before and max(size) == 1:
                    return max(before) == 1 or next(unwrap(self._modules[inner]).parameters(), None) is None
        return True

    def _map(self, shape: Shape | None) -> tuple[Shape | None, int]:
        """The spatial sizes and channels of a feature map; (None, 0) for other shapes.

        The channels are the last axis if the other axes are proportional to the image only then.
        """
        if shape is None or len(shape) != self._rank:
            return None, 0
        if not self._is_proportional(shape[2:]) and self._is_proportional(shape[1:-1]):
            return shape[1:-1], shape[-1]
        return shape[2:], shape[1]

    def _is_proportional(self, size: Shape) -> bool:
        """True if the last two axes of the image, or its only one, shrank by one factor."""
        factors = [whole / n for whole, n in zip(self._image[-2:], size[-2:], strict=True)]
        return max(factors) / min(factors) < FALL

    def _is_encoder(self, path: str) -> bool:
        """True if there are maps of a size between that of the module's input and that of its result."""
        call = self._calls[path][0]
        if call.input_shape is not None and len(call.input_shape) != self._rank:
            return False
        calls = (call for inner in self._calls if inner.startswith(f"{path}.") for call in self._calls[inner])
        shapes = [call.output_shape for call in sorted(calls, key=lambda call: call.order)]
        inner = [size for shape in shapes if (size := self._map(shape)[0]) and max(size) > 1]
        if not inner:
            return False
        results = [size for shape in call.results if (size := self._map(shape)[0])]
        start, end = self._map(call.input_shape)[0] or inner[0], min(results or inner, key=math.prod)
        axes = {axis for size in set(inner) for axis in zip(start, size, end, strict=True)}
        return any(a >= FALL * b and b >= FALL * c for a, b, c in axes)


def shrinks(before: Shape, after: Shape) -> bool:
    """True if an axis is smaller by a factor of at least `FALL`, and none is greater by as much.

    >>> shrinks((56, 56), (28, 28)), shrinks((149, 149), (147, 147)), shrinks((8, 56), (8, 28)), shrinks((8, 7), (4, 14))
    (True, False, True, False)
    """
    pairs = list(zip(before, after, strict=True))
    return any(a >= FALL * b for a, b in pairs) and not any(b >= FALL * a for a, b in pairs)


def _backbone(steps: Sequence[Step], calls: CallRecords) -> list[list[Step]]:
    """The longest series of runs of maps of one size, each smaller than the last one."""
    series: list[list[list[Step]]] = []
    last: Shape | None = None
    for step in steps:
        if step.size is None:
            continue
        if last is None or any(n >= FALL * m for n, m in zip(step.size, last, strict=True)):
            series.append([[]])
        elif shrinks(last, step.size):
            series[-1].append([])
        series[-1][-1].append(step)
        last = step.size
    return max(series, key=lambda runs: sum(_end(run, calls) is not None for run in runs), default=[])


def _end(run: Sequence[Step], calls: CallRecords) -> str | None:
    """The last module of a run whose calls all return the same shape."""
    return next((step.path for step in reversed(run) if len({call.output_shape for call in calls[step.path]}) == 1), None)


def _without_logits(model: nn.Module, run: list[Step], calls: CallRecords) -> list[Step]:
    """The run without the last steps, if they begin with a 1x1 convolution to the channels of the network's result."""
    shapes = [shape for call in calls.get("", ()) for shape in call.results]
    counts = {shape[1] for shape in shapes if len(shape) > 1 and shape[2:] != run[-1].size}
    start = len(run)
    while start and run[start - 1].channels == run[-1].channels in counts:
        start -= 1
    weight = getattr(unwrap(model.get_submodule(run[start].path)), "weight", None) if 0 < start < len(run) else None
    is_pointwise = weight is not None and weight.dim() > 2 and weight[0, 0].numel() == 1
    return run[:start] if is_pointwise else run


def _check_tokens(model: nn.Module, steps: Sequence[Step], runs: Sequence[Sequence[Step]], where: str) -> None:
    """Raises ConfigError if the modules that return tokens have most of the parameters."""
    sequences = [step.path for step in steps if step.is_sequence]
    maps = {step.path for run in runs for step in run}
    counts = [
        sum(p.numel() for path in set(paths) for p in model.get_submodule(path).parameters()) for paths in (sequences, maps)
    ]
    if sequences and counts[0] > TOKEN_PARAMETER_RATIO * counts[1]:
        text = f"its stages are tokens (B, N, C), not feature maps: {sequences[-1]} and others; give a path or a class"
        raise ConfigError([(where, f"the network has no stages; {text}")])
