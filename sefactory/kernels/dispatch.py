"""Where a kernel of this package stands in for ATen: `cpu_fast_path` in eager torch, `use_custom_op` under torch.compile."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch._C import _get_tracing_state
from torch.compiler import is_compiling, is_dynamo_compiling, is_exporting
from torch.nn import Parameter

is_jit_tracing: Callable[[], Any] = _get_tracing_state
"""The recorder of torch.jit.trace, which the ONNX exporter with dynamo=False uses too; None where nothing is traced."""

Function = TypeVar("Function", bound=Callable[..., Any])

LARGE = 256 * 1024
"""Values above which a backward written in Python is faster than plain autograd."""
LANES = {"AVX2": 8, "AVX512": 16}.get(torch.backends.cpu.get_cpu_capability(), 0)
"""float32 values of a register. 0: convolutions run as in ATen."""
SMALL = 2**15
"""Values up to which inductor's code for the module tree is as fast as that for the program, and has fewer guards."""


def is_eager(x: Tensor) -> bool:
    """True for an ordinary tensor that only eager autograd sees: no compiler, exporter, tracer or function transform.

    Function transforms and forward mode cannot differentiate an autograd.Function, tensor subclasses have rules of their
    own, and autocast inserts casts.
    """
    return _is_plain_tensor(x) and not is_transformed()


def cpu_fast_path(x: Tensor, above: int = LARGE) -> bool:
    """True for a CPU tensor of float32 or float64 with more than `above` values that only eager autograd sees.

    A compiler or tracer is ruled out before the sizes are compared: it would record the comparison as a guard.
    """
    if not _is_plain_tensor(x) or x.numel() <= above:
        return False
    return x.is_cpu and x.dtype in (torch.float32, torch.float64) and not is_transformed()


def contiguous_fast_path(x: Tensor, above: int = LARGE) -> bool:
    """`cpu_fast_path` of a contiguous tensor."""
    return cpu_fast_path(x, above) and x.is_contiguous()


def _is_plain_tensor(x: Tensor) -> bool:
    return (type(x) is Tensor or type(x) is Parameter) and not is_compiling() and is_jit_tracing() is None


def is_in_dispatch_mode() -> bool:
    """True inside a mode such as FakeTensorMode. torch's `is_in_torch_dispatch_mode` is changed by other threads as well."""
    return torch._C._len_torch_dispatch_stack() > 0


@contextmanager
def jit_tracing_paused() -> Iterator[None]:
    """torch.jit.trace records nothing inside, and sizes are numbers instead of tensors."""
    recorder = is_jit_tracing()
    torch._C._set_tracing_state(None)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        torch._C._set_tracing_state(recorder)  # type: ignore[attr-defined]


def under_inductor() -> bool:
    """True while torch.compile traces, and torch.export does not."""
    return is_dynamo_compiling() and not is_exporting()


def prefers_module_tree(x: Tensor) -> bool:
    """True under torch.compile in training and for small maps: inductor then makes as fast code of the module tree.

    Inside function transforms the program runs: torch cannot compile every module tree there.
    """
    is_inductor = is_dynamo_compiling() and not is_exporting()  # `under_inductor` without its call: this runs in every forward
    return is_inductor and not is_transformed() and (torch.is_grad_enabled() or x.numel() <= SMALL)


def use_custom_op(x: Tensor, above: int) -> bool:
    """True for a float32 CPU tensor with more than `above` values under torch.compile, outside function transforms."""
    is_plain = under_inductor() and not is_transformed()
    return is_plain and x.device.type == "cpu" and x.dtype == torch.float32 and x.numel() > above


def assume_constant_result(function: Function) -> Function:
    """torch.compiler.assume_constant_result, without importing the compiler: dynamo calls the function once, when it traces."""
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return function


@assume_constant_result
def is_transformed() -> bool:
    """True inside torch.func transforms, forward mode or autocast. Dynamo traces again when one of these changes."""
    return bool(
        torch._C._are_functorch_transforms_active()
        or torch.autograd.forward_ad._current_level >= 0
        or torch.is_autocast_enabled("cpu")
    )
