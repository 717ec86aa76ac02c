"""One module with one input on its device, ready to run forward and backward."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import FunctionType
from typing import Any

import torch
from torch import Tensor, nn

from ..shapes import Shape
from .machine import DTYPES, Options

CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}
"""Memory format by number of dimensions."""


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


def in_new_memory(workload: Workload) -> Workload:
    """The workload with copies of its input and gradient elsewhere in memory.

    The time of a call depends on the addresses of its tensors, by 20 % or more: pages can compete for the same lines of a
    cache. With other addresses than in the round before, the rounds differ by about as much as two measurements do. Addresses
    of earlier rounds can recur: their tensors are freed, since all of them together may not fit into memory.
    """
    x = workload.x.detach().clone().requires_grad_()
    leaves = [x, *workload.module.parameters()]
    return replace(workload, x=x, grad_output=workload.grad_output.clone(), leaves=leaves)


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
