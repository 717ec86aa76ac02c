"""Every check can fail: for each one there is a module that breaks it."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sefactory.shapes import Sizes
from tests.invariants import checks, export_checks
from tests.invariants.cases import OF_TWO, Case

CHECKS = {**checks.CHECKS, **export_checks.CHECKS}
COUNT = itertools.count()


class Of(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class Unused(nn.Module):
    """A parameter that takes no part."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        return x.tanh()


class Hidden(nn.Module):
    """A number that is not in the state dict, and of which copies share what they change in training."""

    seen: list[int] = []

    def __init__(self) -> None:
        super().__init__()
        self.number = next(COUNT)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.seen.append(1)
        return x + self.number + len(self.seen)


def restrided(x: Tensor) -> Tensor:
    """Reads the memory as if it were contiguous."""
    return x.as_strided(x.shape, torch.empty(x.shape).stride()) * 1


def unseeded(x: Tensor) -> Tensor:
    return x * torch.rand((), generator=torch.Generator().manual_seed(next(COUNT)), dtype=x.dtype)


def by_value(x: Tensor) -> Tensor:
    return x if float(x.sum()) > 0 else -x


def broken_graph(x: Tensor) -> Tensor:
    torch._dynamo.graph_break()
    return x.tanh()


BREAKS: dict[str, Callable[[], nn.Module]] = {
    "sizes": lambda: Of(lambda x: x[..., :-1]),
    "batch independence": lambda: Of(lambda x: x - x.mean(0)),
    "gradcheck": lambda: Of(lambda x: x * x.detach()),
    "train / eval": Unused,
    "safetensors": Hidden,
    "pickle": lambda: Of(lambda x: x),
    "deepcopy": Hidden,
    "bfloat16": lambda: Of(lambda x: (x + 1000) - 1000),
    "float16": lambda: Of(lambda x: x * 1e4 * 1e4),
    "channels_last": lambda: Of(restrided),
    "deterministic": lambda: Of(unseeded),
    "H = W = 1": lambda: Of(lambda x: x / (x.shape[-1] - 1)),
    "batch 1": lambda: Of(lambda x: x / (x.shape[0] - 1)),
    "batch 0": lambda: Of(lambda x: x - x.amax()),
    "export": lambda: Of(lambda x: x * 2 if x.shape[-1] > 9 else x),
    "compile aot_eager": lambda: Of(broken_graph),
    "compile inductor": lambda: Of(broken_graph),
    "jit.trace": lambda: Of(by_value),
    "onnxruntime": lambda: Of(by_value),
    "dynamo=False": lambda: Of(by_value),
}


def case_of(module: Callable[[], nn.Module], sizes: Sizes = OF_TWO, has_stack_axis: bool = True) -> checks.CaseFactory:
    return lambda: Case(module().double().eval(), (sizes, sizes), has_stack_axis=has_stack_axis)


def test_every_check_has_a_module_that_breaks_it() -> None:
    assert list(BREAKS) == list(CHECKS)


@pytest.mark.parametrize("title", CHECKS)
def test_a_broken_module_fails(title: str) -> None:
    failures: tuple[Any, ...] = (Exception,)  # of whatever kind: a refusal of torch is a miss as well
    with pytest.raises(failures):
        CHECKS[title](case_of(BREAKS[title]))


@pytest.mark.parametrize("title", [title for title in CHECKS if title != "compile inductor"])
def test_tanh_passes(title: str) -> None:
    CHECKS[title](case_of(nn.Tanh))


def test_another_memory_format_fails() -> None:
    with pytest.raises(AssertionError):
        checks.channels_last(case_of(lambda: Of(Tensor.contiguous), Sizes((1, *OF_TWO.extents[1:])), has_stack_axis=False))


def test_an_unclear_error_fails() -> None:
    def refuse(x: Tensor) -> Tensor:
        raise ValueError("no")

    with pytest.raises(AssertionError):
        checks.batch_of_one(case_of(lambda: nn.Sequential(nn.BatchNorm3d(2), Of(refuse))))
