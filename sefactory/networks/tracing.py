"""Records the shapes of all modules of a network during one forward pass."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..bench.summary import eval_mode, meta_forward
from ..errors import ConfigError, join_words, short_repr
from ..shapes import Shape


class CallRecord(NamedTuple):
    """One call of a module in a forward pass. A shape is None if the value is not a tensor."""

    input_shape: Shape | None
    """Of the first argument."""
    has_single_argument: bool
    output_shape: Shape | None


def trace(model: nn.Module, example: Tensor) -> dict[str, list[CallRecord]]:
    """The calls of every module in one forward pass in eval mode, in the order of their outputs. The model is not changed.

    Runs on the meta device; if the network cannot, on its own device. Raises ConfigError if that fails too.
    """
    with suppress(Exception):  # networks that create tensors themselves, or read values of tensors
        return _record_calls(model, lambda: meta_forward(model, example))
    try:
        return _record_calls(model, lambda: model(example))
    except Exception as error:
        text = str(error).strip().split("\n")[0] or type(error).__name__
        raise ConfigError([("input_size", f"the network does not run on {tuple(example.shape)}: {text}")]) from None


def _record_calls(model: nn.Module, run: Callable[[], Any]) -> dict[str, list[CallRecord]]:
    """The calls of every module during `run`, by the path of the module."""
    records: dict[str, list[CallRecord]] = {}

    def record(path: str, module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        call = CallRecord(_shape(args[0] if args else None), len(args) + len(kwargs) == 1, _shape(output))
        records.setdefault(path, []).append(call)

    with ExitStack() as hooks, eval_mode(model), torch.no_grad():
        for path, module in model.named_modules():
            hooks.enter_context(module.register_forward_hook(partial(record, path), with_kwargs=True))
        run()
    return records


def _shape(value: Any) -> Shape | None:
    return tuple(value.shape) if isinstance(value, Tensor) else None


def common_shape(path: str, shapes: Sequence[Shape | None], what: str) -> Shape:
    """The shape that all calls of the module at a path have in common; `what` is "input" or "output".

    Raises ConfigError if there is no call, a value that is not a tensor, or more than one shape.
    """
    if not shapes:
        raise ConfigError([(path, "the forward pass never calls this module")])
    if len(set(shapes)) > 1:
        raise ConfigError([(path, f"its {what} differs in shape between calls: {join_words(map(str, dict.fromkeys(shapes)))}")])
    if shapes[0] is None:
        raise ConfigError([(path, f"its {what} is not a single tensor")])
    return shapes[0]


def example_input(model: nn.Module, input_size: Any, example: Tensor | None) -> Tensor:
    """The input of the traced forward pass: `example`, or zeros of `input_size`, or of the size that timm notes on a model."""
    if example is not None:
        return example
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
