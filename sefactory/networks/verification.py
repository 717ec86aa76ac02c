"""Traces a network with probes in the places of blocks, and finds out whether it calls them."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from torch import nn

from ..errors import ConfigError
from .attachment import hold
from .holder import Holder, InsertionPoint, named_places
from .tracing import CallRecords, Example, trace


class Probe(nn.Module):
    """Returns its last argument. It stands for the block at a path while a network is traced."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def forward(self, *maps: Any) -> Any:
        return maps[-1]


class PlacesTrace(NamedTuple):
    """The calls of a network; and the error if it does not run with blocks at the places, or bypasses one of them."""

    calls: CallRecords
    fault: ConfigError | None


def trace_places(model: nn.Module, places: Sequence[InsertionPoint], example: Example) -> PlacesTrace:
    """Traces a network with probes at all places, and once more without if one of them is at fault. The model is not changed.

    Raises ConfigError if the network does not run without probes either.
    """
    probes = [Probe(place.path) for place in places]
    undo: list[Callable[[], None]] = []
    try:
        for probe, place in zip(probes, places, strict=True):
            undo.append(hold(model, probe, place))
        calls, fault = trace_modules(model, probes, [place.path for place in places], example)
        own = {path for path, module in named_places(model) if isinstance(module, Probe)}
    finally:
        for detach in reversed(undo):
            detach()
    if fault is not None:
        return PlacesTrace(trace(model, example), fault)
    return PlacesTrace({path: records for path, records in calls.items() if path not in own}, None)


def trace_modules(model: nn.Module, modules: Sequence[nn.Module], paths: Sequence[str], example: Example) -> PlacesTrace:
    """Traces a network that holds modules at some paths, and finds out whether it runs and calls them all."""
    try:
        calls = trace(model, example)
    except ConfigError as error:
        return PlacesTrace({}, _fault(error, paths))
    names = {module: path for path, module in named_places(model)}
    silent = [path for module, path in zip(modules, paths, strict=True) if names.get(module) not in calls]
    message = "the network calls this module by another reference than its parent's child, which bypasses the block"
    faults = [(path, f"{message}; insert the block at the module that contains {path}") for path in silent]
    return PlacesTrace(calls, ConfigError(faults) if faults else None)


def _fault(error: ConfigError, paths: Sequence[str]) -> ConfigError:
    """The error for a network that does not run with probes or blocks, most often since it reads an attribute at a place."""
    cause = _read_attribute(error)
    if cause is None:
        return ConfigError([(place, f"with the block here, {error.faults[0][1]}") for place in paths])
    path, text = cause
    return ConfigError([(path, f"{text}; insert the block at the module that contains {path}")])


def _read_attribute(error: BaseException) -> tuple[str, str] | None:
    """The path of a place and what is wrong, if the cause of an error is that a tensor of a holder, or a probe, was read."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, AttributeError) and isinstance(cause.obj, Holder):
            text = f"the network reads {cause.name!r} of this module and computes with it, so a block here would break it"
            return cause.obj.sefactory_place.path, text
        if isinstance(cause, AttributeError) and isinstance(cause.obj, Probe):
            return cause.obj.path, f"the network reads {cause.name!r} of the last step of this module, which would be the block"
        cause = cause.__cause__
    return None
