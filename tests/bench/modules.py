"""Modules whose cost is known by hand, and short runs of the benchmark."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from sefactory.bench.benchmark import Comparison, Step
from sefactory.bench.case import Case
from sefactory.bench.machine import MachineRates, Options
from sefactory.bench.results import MODES, Row

SHAPE = (2, 4, 6, 8)
QUICK = Options(rounds=2, seconds=1e-4)
RATES = MachineRates(bytes_per_second=1e9, flops_per_second=1e10)


class Gate(nn.Module):
    """x * sigmoid(mean): of its tensors, autograd needs x and the gate."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(x.mean((2, 3), keepdim=True))


class Watched(nn.Module):
    """Tells `see` its state and input at every call, then doubles."""

    def __init__(self, see: Callable[["Watched", Tensor], object]) -> None:
        super().__init__()
        self.see = see
        self.weight = nn.Parameter(torch.tensor(2.0))

    def forward(self, x: Tensor) -> Tensor:
        self.see(self, x)
        return x * self.weight


def case(name: str, module: nn.Module, operators: dict[str, str] | None = None) -> Case:
    return Case(name, module, sum(p.numel() for p in module.parameters()), 10, 20, operators or {})


def measured(*cases: Case, options: Options = QUICK, baseline: str | None = None, shape: Any = SHAPE) -> list[Row]:
    comparison = Comparison(cases, shape, options, RATES, baseline)
    steps = [Step(case.name, mode, number) for number in range(1, options.rounds + 1) for mode in MODES for case in cases]
    taken, first = list(comparison.run()), len(MODES) * len(cases)
    assert taken[:first] == steps[:first] and sorted(taken) == sorted(steps)  # later rounds are in another order
    assert comparison.total == len(steps)
    return comparison.rows()
