"""Where the hand-written paths may stand in for plain torch."""

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch._C import _get_tracing_state as tracing
from torch.compiler import is_compiling, is_dynamo_compiling
from torch.nn import Parameter

exporting: Callable[[], bool] = getattr(torch.compiler, "is_exporting", lambda: False)  # torch 2.6 has none
"""Whether torch.export is at work, whose programs are to hold nothing of this package."""

Asked = TypeVar("Asked", bound=Callable[..., Any])

LARGE = 256 * 1024
"""Values from which a hand-written backward pays for its Python: below, plain autograd is faster (0.95 against 1.15)."""

SMALL = 2**15
"""Values up to which a compiler is given the plain tree: lowered, 12k take up to 1.2 times as long, 200k down to 0.7 times."""

DTYPES = (torch.float32, torch.float64)


def eager(x: Tensor, more_than: int = LARGE) -> bool:
    """A large map of float32 or float64 on the CPU, however laid, seen by nothing but eager autograd.

    Compilers, exporters and tracers are asked first, as to them a comparison of sizes is part of the program. Functorch
    and forward mode cannot pass an autograd.Function; subclasses have rules of their own; autocast has casts of its own.
    0.4 us where x is small, 1 us where it is not.
    """
    if type(x) is not Tensor and type(x) is not Parameter:
        return False
    if is_compiling() or tracing() is not None or x.numel() <= more_than:
        return False
    return x.is_cpu and x.dtype in DTYPES and not transformed()


def eligible(x: Tensor, more_than: int = LARGE) -> bool:
    """The same of a contiguous map."""
    return eager(x, more_than) and x.is_contiguous()


def plain_eager(x: Tensor) -> bool:
    """True for an ordinary tensor on any device that nothing but eager autograd sees."""
    if type(x) is not Tensor and type(x) is not Parameter:
        return False
    return not is_compiling() and tracing() is None and not transformed()


def fused() -> bool:
    """Whether a compiler, and no exporter, is at work: what it is given it fuses by itself."""
    return is_dynamo_compiling() and not exporting()


def folds(x: Tensor, more_than: int) -> bool:
    """Whether a map has so many values that it is worth to change weights for it; to a compiler, but where it knows better."""
    if not is_compiling():
        return x.numel() > more_than
    if not fused():
        return True
    from torch.fx.experimental.symbolic_shapes import statically_known_true  # which a compiler has long imported

    return not statically_known_true(x.numel() <= more_than)


def asked_once(question: Asked) -> Asked:
    """A question that a compiler asks when it compiles, and whose answer it takes for a constant.

    What torch.compiler.assume_constant_result sets, without its import of the whole compiler.
    """
    question._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return question


@asked_once
def transformed() -> bool:
    """Whether functorch, forward mode or autocast is at work. A compiler asks once, and anew where that changes."""
    return bool(
        torch._C._are_functorch_transforms_active()
        or torch.autograd.forward_ad._current_level >= 0
        or torch.is_autocast_enabled("cpu")
    )
