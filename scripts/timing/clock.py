"""Time of several steps, interleaved call by call: A B A B, so that what slows the machine slows all of them.

The order of three and more is drawn anew for each round: one that always follows a step with the same kernels finds them in
the caches, and takes a tenth less. None follows itself, as in a network other work lies between two calls.
"""

import gc
import itertools
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Literal

import numpy as np
import torch

WARM, MOST = 3, 3000
BURST_S = 4e-3
"""On a GPU a timing is a burst of calls of about this length: launches overlap, as they do in a network."""


@dataclass(frozen=True)
class Step:
    """What is timed, and what is done before each timing, untimed."""

    run: Callable[[], object]
    between: Callable[[], object]


@dataclass(frozen=True)
class Effort:
    """At least `rounds` timings of every step, and more (at most 3000) while `seconds` are not over.

    `clock` is wall, or cpu: the time of this thread alone, for a machine that has other work, or cuda.
    """

    rounds: int = 15
    seconds: float = 3.0
    clock: Literal["wall", "cpu", "cuda"] = "wall"


@dataclass(frozen=True)
class Time:
    """Seconds of a call: median and interquartile range."""

    median: float
    iqr: float

    @classmethod
    def of(cls, timings: list[float]) -> "Time":
        low, high = np.percentile(timings, (25, 75))
        return cls(median(timings), float(high - low))


@dataclass(frozen=True)
class Timed:
    """The time of each step, of each two (`a/b`) the median over the rounds of a's time to b's, and how many rounds.

    The two of a round lie side by side: what the machine does for a while, at half its clock say, is in both, where of two
    medians the one may be from before and the other from behind it. Of a block and itself, compiled, medians are 0.89 to 1.05.
    """

    times: dict[str, Time]
    ratios: dict[str, float]
    rounds: int

    @classmethod
    def of(cls, timings: Mapping[str, list[float]]) -> "Timed":
        both = itertools.permutations(timings, 2)
        ratios = {f"{a}/{b}": float(np.median(np.divide(timings[a], timings[b]))) for a, b in both}
        return cls({name: Time.of(found) for name, found in timings.items()}, ratios, len(next(iter(timings.values()), ())))


def interleaved(steps: Mapping[str, Step], effort: Effort) -> Timed:
    """Times each step. The first rounds warm up and say how long one takes."""
    clock = _cuda if effort.clock == "cuda" else partial(_read, READ[effort.clock])
    warm = {name: min(clock(step, 1) for _ in range(WARM)) for name, step in steps.items()}
    calls = {name: max(1, round(BURST_S / seconds)) if effort.clock == "cuda" else 1 for name, seconds in warm.items()}
    expected = sum(warm[name] * calls[name] for name in steps)
    count = max(effort.rounds, min(MOST, int(effort.seconds / max(expected, 1e-9))))
    timings: dict[str, list[float]] = {name: [] for name in steps}
    order, names, last = random.Random(0), list(steps), ""
    gc.collect()
    gc.disable()
    try:
        for _ in range(count):
            names = order.sample(names, len(names))
            if names[0] == last and len(names) > 1:
                names.append(names.pop(0))
            for last in names:
                timings[last].append(clock(steps[last], calls[last]))
    finally:
        gc.enable()
    return Timed.of(timings)


READ = {"wall": time.perf_counter, "cpu": time.thread_time, "cuda": time.perf_counter}
"""The clock of the host: on a GPU what it builds and launches is wall time."""


def _read(now: Callable[[], float], step: Step, calls: int) -> float:
    step.between()
    start = now()
    for _ in range(calls):
        step.run()
    return (now() - start) / calls


def _cuda(step: Step, calls: int) -> float:
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    start.record()
    for _ in range(calls):
        step.between()
        step.run()
    end.record()
    torch.cuda.synchronize()
    return float(start.elapsed_time(end)) / 1e3 / calls
