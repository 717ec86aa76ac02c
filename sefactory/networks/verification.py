"""Checks that a network calls the blocks that were inserted into it."""

from collections.abc import Sequence

from torch import nn

from ..errors import ConfigError
from .holder import Holder, named_places
from .tracing import Example, trace


def check_calls(model: nn.Module, children: Sequence[nn.Module], paths: Sequence[str], example: Example) -> None:
    """Raises ConfigError if one forward pass of the network reads a tensor of a holder, or does not call a block."""
    try:
        calls = trace(model, example)
    except ConfigError as error:
        path, name = _read_tensor(error) or ("", "")
        if not path:
            text = error.faults[0][1]
            raise ConfigError([(place, f"with the block here, {text}") for place in paths]) from None
        message = f"the network reads {name!r} of this module and computes with it, so a block here would break it"
        raise ConfigError([(path, f"{message}; insert the block at the module that contains {path}")]) from None
    names = {id(module): path for path, module in named_places(model)}
    silent = [path for child, path in zip(children, paths, strict=True) if names.get(id(child)) not in calls]
    if silent:
        message = "the network calls this module by another reference than its parent's child, which bypasses the block"
        raise ConfigError([(path, f"{message}; insert the block at the module that contains {path}") for path in silent])


def _read_tensor(error: BaseException) -> tuple[str, str] | None:
    """The path and the tensor's name, if the cause of an error is that a tensor of a holder was read."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, AttributeError) and isinstance(cause.obj, Holder):
            return cause.obj.path, str(cause.name)
        cause = cause.__cause__
    return None
