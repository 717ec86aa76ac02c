"""Traces a network with probes in the places of blocks, and finds out whether it calls them."""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn

from ..errors import ConfigError
from .attachment import hold
from .holder import Holder, InsertionPoint, named_places
from .tracing import CallRecords, Example, trace


class Probe(nn.Module):
    """Returns its last argument. It stands for a block while a network is traced."""

    def forward(self, x: Tensor, original: Tensor | None = None) -> Tensor:
        return x if original is None else original


class PlacesTrace(NamedTuple):
    """The calls of a network; and the error if it does not run with blocks at the places, or bypasses one of them."""

    calls: CallRecords
    fault: ConfigError | None


def trace_places(model: nn.Module, places: Sequence[InsertionPoint], example: Example) -> PlacesTrace:
    """Traces a network with probes at all places, and once more without if one of them is at fault. The model is not changed.

    Raises ConfigError if the network does not run without probes either.
    """
    probes = [Probe() for _ in places]
    undo = []
    try:
        for probe, place in zip(probes, places, strict=True):
            undo.append(hold(model, probe, place))
        calls = trace(model, example)
        fault = _bypassed(model, probes, [place.path for place in places], calls)
        own = {path for path, module in named_places(model) if isinstance(module, Probe)}
    except ConfigError as error:
        fault = _fault(error, [place.path for place in places])
    finally:
        for detach in reversed(undo):
            detach()
    if fault is not None:
        return PlacesTrace(trace(model, example), fault)
    return PlacesTrace({path: records for path, records in calls.items() if path not in own}, None)


def _bypassed(model: nn.Module, probes: Sequence[Probe], paths: Sequence[str], calls: CallRecords) -> ConfigError | None:
    """The error for probes that the network does not call."""
    names = {module: path for path, module in named_places(model)}
    silent = [path for probe, path in zip(probes, paths, strict=True) if names.get(probe) not in calls]
    message = "the network calls this module by another reference than its parent's child, which bypasses the block"
    faults = [(path, f"{message}; insert the block at the module that contains {path}") for path in silent]
    return ConfigError(faults) if faults else None


def _fault(error: ConfigError, paths: Sequence[str]) -> ConfigError:
    """The error for a network that does not run with probes: one of its modules reads a tensor of a holder, or another."""
    path, name = _read_tensor(error) or ("", "")
    if not path:
        return ConfigError([(place, f"with the block here, {error.faults[0][1]}") for place in paths])
    message = f"the network reads {name!r} of this module and computes with it, so a block here would break it"
    return ConfigError([(path, f"{message}; insert the block at the module that contains {path}")])


def _read_tensor(error: BaseException) -> tuple[str, str] | None:
    """The path and the tensor's name, if the cause of an error is that a tensor of a holder was read."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, AttributeError) and isinstance(cause.obj, Holder):
            return cause.obj.sefactory_place.path, str(cause.name)
        cause = cause.__cause__
    return None
