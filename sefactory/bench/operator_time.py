"""The forward time of each operator inside a module."""

from collections.abc import Mapping
from contextlib import ExitStack
from statistics import median

from torch import Tensor, nn
from torch.utils.benchmark import timer as now  # waits for the accelerator first
from torch.utils.hooks import RemovableHandle

RUNS = 7


def operator_seconds(module: nn.Module, x: Tensor, operators: Mapping[str, str]) -> dict[str, float]:
    """Seconds of one forward by operator name, the median of 7 runs; modules of one name are summed.

    `operators` maps a path within `module` to the name of the operator there.
    """
    timings: dict[str, list[float]] = {name: [] for name in operators.values()}
    with ExitStack() as hooks:
        for path, name in operators.items():
            for hook in _add_hooks(module.get_submodule(path), timings[name]):
                hooks.enter_context(hook)
        for _ in range(1 + RUNS):  # the first run warms up
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
