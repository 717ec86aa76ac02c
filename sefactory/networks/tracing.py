"""Records the shapes of all modules of a network during one forward pass."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import count
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from ..bench.dry_run import dry_run, first_dry_run
from ..block import Block
from ..errors import ConfigError, first_line, join_words, short_repr
from ..operators.precision import is_autocast_enabled
from ..shapes import Shape
from .adapter import ResidualAdapter
from .holder import named_places

Example = Tensor | tuple[Any, ...] | dict[str, Any]
"""The input of a network: a tensor, a tuple of positional arguments, or a dict of keyword arguments."""
EXAMPLE = "a tensor, a tuple of positional arguments, or a dict of keyword arguments"


class CallRecord(NamedTuple):
    """One call of a module in a forward pass. A shape and a dtype are None if the value is not a tensor.

    A dtype is None under autocast as well, where a block takes any.

    `results` are the shapes of all tensors of the output, also in lists, tuples and dicts; `order` counts the calls of the
    whole network in the order in which they return.
    """

    input_shape: Shape | None
    """Of the first argument."""
    input_dtype: torch.dtype | None
    has_single_argument: bool
    output_shape: Shape | None
    output_dtype: torch.dtype | None
    results: tuple[Shape, ...] = ()
    order: int = 0


CallRecords = Mapping[str, Sequence[CallRecord]]
"""The calls of each module of a network, by the path of the module."""


def trace(model: nn.Module, example: Example) -> dict[str, list[CallRecord]]:
    """The calls of every module in one forward pass in eval mode, in the order of their outputs. The model is not changed.

    Runs on the meta device; if the network cannot, with copies of its tensors on its own device. Hooks run only if the
    network does not run without them, and only those that belong to it. Raises ConfigError if nothing of this succeeds.
    """
    args, kwargs = ((), example) if isinstance(example, dict) else (example if isinstance(example, tuple) else (example,), {})
    _check_initialised(model)
    try:
        return first_dry_run(model, partial(_record_calls, model, args, kwargs))
    except Exception as error:
        where, given = ("input_size", f"{tuple(example.shape)}") if isinstance(example, Tensor) else ("example", "the example")
        raise ConfigError([(where, f"the network does not run on {given}: {first_line(error)}")]) from error


def _record_calls(
    model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], is_meta: bool, with_own_hooks: bool
) -> dict[str, list[CallRecord]]:
    """The calls of every module in a dry run, by the path of the module."""
    records: dict[str, list[CallRecord]] = {}
    paths = {module: path for path, module in named_places(model)}
    orders = count()

    def record(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: Any) -> None:
        if module in paths:
            source, result = (_shape_and_dtype(value) for value in (args[0] if args else None, output))
            results = tuple(tuple(y.shape) for y in tensors_in(output))
            call = CallRecord(*source, len(args) + len(kwargs) == 1, *result, results, next(orders))
            records.setdefault(paths[module], []).append(call)

    opaque = (Block, ResidualAdapter)
    dry_run(model, args, kwargs, recorder=record, is_meta=is_meta, with_own_hooks=with_own_hooks, opaque=opaque)
    return records


def _check_initialised(model: nn.Module) -> None:
    """Raises ConfigError for a parameter whose shape torch infers at the first forward."""
    for path, module in model.named_modules():
        for name, tensor in (*module._parameters.items(), *module._buffers.items()):
            if tensor is not None and is_lazy(tensor):
                cure = "run the network once before blocks are inserted"
                raise ConfigError([(path or "the network", f"{name} of {type(module).__name__} has no shape yet; {cure}")])


def _shape_and_dtype(value: Any) -> tuple[Shape | None, torch.dtype | None]:
    if not isinstance(value, Tensor):
        return None, None
    return tuple(value.shape), None if is_autocast_enabled(value) else value.dtype


def tensors_in(value: Any) -> Iterator[Tensor]:
    """The tensor itself, or those of a list, tuple or dict."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from tensors_in(item)


def common_shape(path: str, shapes: Sequence[Shape | None], what: str) -> Shape:
    """The shape that all calls of the module at a path have in common; `what` is "input" or "output".

    Raises ConfigError if there is no call, a value that is not a tensor, or more than one shape.
    """
    if not shapes:
        raise ConfigError([(path, "the forward pass never calls this module")])
    if len(set(shapes)) > 1:
        raise ConfigError([(path, f"its {what} differs in shape between calls: {join_words(map(str, dict.fromkeys(shapes)))}")])
    if shapes[0] is None:
        raise ConfigError([(path, f"its {what} is not a single tensor; choose another module, such as one inside")])
    return shapes[0]


def example_input(model: nn.Module, input_size: Any, example: Any) -> Example:
    """The input of the traced forward pass: `example`, or zeros of `input_size`, or of the size that timm notes on a model.

    Raises ConfigError if `example` has another form than those of `Example`, or holds no tensor.
    """
    if example is None:
        return zeros_input(model, input_size)
    if not isinstance(example, Tensor | tuple | dict):
        cure = "; put the list into a tuple: (images,)" if isinstance(example, list) else ""
        raise ConfigError([("example", f"{_form(example)}; allowed: {EXAMPLE}{cure}")])
    if isinstance(example, dict) and not all(isinstance(key, str) for key in example):
        raise ConfigError(
            [("example", f"a dict with the keys {join_words(map(short_repr, example))}; allowed: names of arguments")]
        )
    if next(tensors_in(example), None) is None:
        raise ConfigError([("example", f"{_form(example)} without a tensor; allowed: {EXAMPLE}")])
    return example


def _form(value: object) -> str:
    """`a list`, `an ndarray`."""
    name = type(value).__name__
    return f"{'an' if name.startswith((*'aeiou', 'nd')) else 'a'} {name}"


def zeros_input(model: nn.Module, input_size: Any) -> Tensor:
    """Zeros of `input_size`, or of the size that timm notes on a model, in a batch of 1. Raises ConfigError without a size."""
    if input_size is None:
        timm_config = getattr(model, "pretrained_cfg", None) or getattr(model, "default_cfg", None) or {}
        input_size = timm_config.get("input_size")
    if input_size is None:
        message = "is needed to infer the channel counts from one forward pass; pass (channels, height, width)"
        raise ConfigError([("input_size", message)])
    is_size = isinstance(input_size, Sequence) and all(isinstance(n, int) and n > 0 for n in input_size)
    if not is_size or not 2 <= len(input_size) <= 4:
        raise ConfigError([("input_size", f"{short_repr(input_size)}; allowed: (channels, height, width)")])
    parameter = next(model.parameters(), torch.empty(0))
    return torch.zeros((1, *input_size), dtype=parameter.dtype, device=parameter.device)


def tensor_shape(example: Example) -> Shape:
    """The shape of the first argument if it is a tensor; () otherwise."""
    values = example if isinstance(example, tuple) else [*example.values()] if isinstance(example, dict) else [example]
    return _shape_and_dtype(values[0])[0] or ()
