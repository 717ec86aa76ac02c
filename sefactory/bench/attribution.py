"""The forward time of a module by the nodes of its config.

A block runs as in use, and a clock is read after each step of its program: the time of a step belongs to the node that it was
emitted for. Where no program runs, hooks read the clock before and after each node: the time of a node is then that of the
module itself, without the nodes below it.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from itertools import pairwise
from statistics import median

from torch import Tensor, nn
from torch.utils.benchmark import timer as now  # waits for the current accelerator first

from ..block import Block
from ..compiler.codegen.emitter import Lap
from .summary import enclosing_node

RUNS = 7


def node_shares(module: nn.Module, x: Tensor, paths: Collection[str]) -> dict[str, float]:
    """The share of one forward by path, of the nodes that run: the medians of 7 runs, relative to the sum of all medians.

    The shares sum to at most 1. The rest is spent outside the nodes, for example in the checks of the input.
    """
    module(x)  # compiles the program
    runs: list[tuple[dict[str, float], float]] = []
    with _clock(module, paths) as laps:
        for _ in range(RUNS):
            laps.clear()
            start = now()
            module(x)
            total = now() - start
            runs.append((seconds := _seconds_by_path(laps, paths), total - sum(seconds.values())))
    medians = {path: median(seconds[path] for seconds, _ in runs) for path in runs[0][0]}
    total = sum(medians.values()) + median(outside for _, outside in runs)
    return {path: node_s / total for path, node_s in medians.items()}


def sum_by_operator(nodes: Mapping[str, float], operators: Mapping[str, str]) -> dict[str, float]:
    """The sum of the nodes of each operator; `operators` maps a path to the name of its operator."""
    totals: dict[str, float] = {}
    for path, value in nodes.items():
        totals[operators[path]] = totals.get(operators[path], 0.0) + value
    return totals


def _seconds_by_path(laps: Sequence[Lap], paths: Collection[str]) -> dict[str, float]:
    """The seconds of each node, which include those of modules and steps below it that are no nodes.

    The time of a step that does the work of several nodes is divided equally among them.
    """
    seconds: dict[str, float] = {}
    for (_, start), (sources, end) in pairwise(laps):
        for source in sources:
            path = enclosing_node(source, paths)
            if path in paths:
                seconds[path] = seconds.get(path, 0.0) + (end - start) / len(sources)
    return seconds


def _clock(module: nn.Module, paths: Collection[str]) -> AbstractContextManager[list[Lap]]:
    """Reads the clock at every run of the module inside."""
    if not isinstance(module, Block):
        return _hooks(module, paths)
    if module.lowered is None or not module.lowered.guards_hold():
        return _hooks(module.node, paths)
    return module.lowered.timed(now)


@contextmanager
def _hooks(root: nn.Module, paths: Collection[str]) -> Iterator[list[Lap]]:
    """Readings of the clock before and after each call of the modules at these paths."""
    laps, running = list[Lap](), list[str]()

    def before(path: str, *_: object) -> None:
        laps.append((tuple(running[-1:]), now()))
        running.append(path)

    def after(*_: object) -> None:
        laps.append(((running.pop(),), now()))

    nodes: dict[nn.Module, str] = {}
    for path in paths:  # a module that stands at several paths gets one pair of hooks
        nodes.setdefault(root.get_submodule(path), path)
    with ExitStack() as hooks:
        for node, path in nodes.items():
            hooks.enter_context(node.register_forward_pre_hook(partial(before, path), prepend=True))
            hooks.enter_context(node.register_forward_hook(after))
        yield laps
