"""One module with one input on its device, ready to run forward and backward, and the forward time of its operators."""

import copy
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median
from types import FunctionType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.benchmark import timer as now  # waits for the accelerator first
from torch.utils.hooks import RemovableHandle

from ..shapes import Shape
from .machine import DTYPES, Options

CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}
"""Memory format by number of dimensions."""
OPERATOR_RUNS = 7


@dataclass(frozen=True)
class Workload:
    """A copy of a module with one input.

    `function` is the module or its compiled form, `grad_output` the gradient of its output, `leaves` are the tensors
    that get a gradient.
    """

    module: nn.Module
    function: Callable[[Tensor], Tensor]
    x: Tensor
    grad_output: Tensor
    leaves: list[Tensor]

    def forward(self) -> Tensor:
        """The output for x."""
        return self.function(self.x)

    def training_step(self) -> None:
        """Computes the gradients of x and the parameters for `grad_output`."""
        clear_gradients(self.leaves)
        torch.autograd.backward(self.function(self.x), self.grad_output)


def prepare_workload(module: nn.Module, x: Tensor, options: Options) -> Workload:
    """A copy of the module on the device of x and in its dtype. TypeError if it does not return one tensor."""
    module = copy.deepcopy(module).eval().to(device=x.device, dtype=x.dtype)
    for parameter in module.parameters() if options.channels_last else ():
        parameter.data = parameter.data.to(memory_format=CHANNELS_LAST.get(parameter.dim(), torch.preserve_format))
    function = _compile(module) if options.compile else module
    with torch.no_grad():
        y = function(x)
    if not isinstance(y, Tensor):
        raise TypeError(f"returned {type(y).__name__}, not one tensor")
    random = torch.Generator(x.device).manual_seed(options.seed + 1)
    return Workload(module, function, x, torch.empty_like(y).normal_(generator=random), [x, *module.parameters()])


def _compile(module: nn.Module) -> Callable[[Tensor], Tensor]:
    def run(x: Tensor) -> Any:
        return module(x)

    # torch.compile keeps at most eight variants for each code object and then silently runs eagerly. Modules of one class
    # share the code object of their forward, so each module gets its own copy.
    own_code = FunctionType(run.__code__.replace(), run.__globals__, run.__name__, None, run.__closure__)
    return torch.compile(own_code, dynamic=False)


def random_input(shape: Shape, options: Options) -> Tensor:
    """Standard normal values that require a gradient. They are the same on every device."""
    x = torch.randn(shape, generator=torch.Generator().manual_seed(options.seed))
    memory_format = CHANNELS_LAST.get(len(shape), torch.contiguous_format) if options.channels_last else torch.contiguous_format
    return x.to(options.device, DTYPES[options.dtype], memory_format=memory_format).requires_grad_()


def clear_gradients(leaves: Sequence[Tensor]) -> None:
    """Sets the gradients of these tensors to None."""
    for leaf in leaves:
        leaf.grad = None


def operator_seconds(module: nn.Module, x: Tensor, operators: Mapping[str, str]) -> dict[str, float]:
    """Seconds of one forward by operator name, the median of 7 runs; modules of one name are summed.

    `operators` maps a path within `module` to the name of the operator there.
    """
    timings: dict[str, list[float]] = {name: [] for name in operators.values()}
    with ExitStack() as hooks:
        for path, name in operators.items():
            for hook in _add_hooks(module.get_submodule(path), timings[name]):
                hooks.enter_context(hook)
        for _ in range(1 + OPERATOR_RUNS):  # the first run warms up
            for seconds in timings.values():
                seconds.append(0.0)
            module(x)
    return {name: median(seconds[1:]) for name, seconds in timings.items()}


def _add_hooks(module: nn.Module, timings: list[float]) -> tuple[RemovableHandle, RemovableHandle]:
    """Hooks that add the time of each call of the module to the last entry of `timings`."""
    starts: list[float] = []

    def before(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        starts.append(now())

    def after(module: nn.Module, args: tuple[Tensor, ...], result: object) -> None:
        timings[-1] += now() - starts.pop()

    return module.register_forward_pre_hook(before), module.register_forward_hook(after)
