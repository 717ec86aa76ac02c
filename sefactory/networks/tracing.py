"""Records the shapes of all modules of a network during one forward pass."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from ..bench.dry_run import dry_run, has_own_hooks
from ..errors import ConfigError, join_words, short_repr
from ..shapes import Shape
from .holder import named_places

Example = Tensor | tuple[Any, ...] | dict[str, Any]
"""The input of a network: a tensor, a tuple of positional arguments, or a dict of keyword arguments."""
EXAMPLE = "a tensor, a tuple of positional arguments, or a dict of keyword arguments"


class CallRecord(NamedTuple):
    """One call of a module in a forward pass. A shape is None if the value is not a tensor.

    `results` are the shapes of all tensors of the output, also in lists, tuples and dicts; `order` counts the calls of the
    whole network in the order in which they return.
    """

    input_shape: Shape | None
    """Of the first argument."""
    has_single_argument: bool
    output_shape: Shape | None
    results: tuple[Shape, ...] = ()
    order: int = 0


def trace(model: nn.Module, example: Example) -> dict[str, list[CallRecord]]:
    """The calls of every module in one forward pass in eval mode, in the order of their outputs. The model is not changed.

    Runs on the meta device; if the network cannot, with copies of its tensors on its own device. Hooks run only if the
    network does not run without them, and only those that belong to it. Raises ConfigError if nothing of this succeeds.
    """
    args, kwargs = ((), example) if isinstance(example, dict) else (example if isinstance(example, tuple) else (example,), {})
    last_error: Exception | None = None
    for is_meta in (True, False):  # networks that create tensors themselves, or read values, do not run on the meta device
        for with_own_hooks in (False, True) if has_own_hooks(model) else (False,):
            try:
                return _record_calls(model, args, kwargs, is_meta, with_own_hooks)
            except Exception as error:
                _check_initialised(model)
                last_error = error
    text = str(last_error).strip().split("\n")[0] or type(last_error).__name__
    where, given = ("input_size", f"{tuple(example.shape)}") if isinstance(example, Tensor) else ("example", "the example")
    raise ConfigError([(where, f"the network does not run on {given}: {text}")]) from last_error


def _record_calls(
    model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], is_meta: bool, with_own_hooks: bool
) -> dict[str, list[CallRecord]]:
    """The calls of every module in a dry run, by the path of the module."""
    records: dict[str, list[CallRecord]] = {}
    paths = {module: path for path, module in named_places(model)}
    orders = count()

    def record(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: Any) -> None:
        if module in paths:
            shapes = _shape(args[0] if args else None), len(args) + len(kwargs) == 1, _shape(output)
            call = CallRecord(*shapes, tuple(tuple(y.shape) for y in tensors_in(output)), next(orders))
            records.setdefault(paths[module], []).append(call)

    options = {"is_meta": is_meta, "with_own_hooks": with_own_hooks, "runs_blocks": False}
    dry_run(model, args, kwargs, recorder=record, **options)
    return records


def _check_initialised(model: nn.Module) -> None:
    """Raises ConfigError for a parameter whose shape torch infers at the first forward."""
    for path, module in model.named_modules():
        for name, tensor in (*module._parameters.items(), *module._buffers.items()):
            if tensor is not None and is_lazy(tensor):
                cure = "run the network once before blocks are inserted"
                raise ConfigError([(path or "the network", f"{name} of {type(module).__name__} has no shape yet; {cure}")])


def _shape(value: Any) -> Shape | None:
    return tuple(value.shape) if isinstance(value, Tensor) else None


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
    return _shape(values[0]) or ()
