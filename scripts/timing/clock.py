"""Times several steps interleaved call by call (A B A B ...), so that a slow phase of the machine affects all of them.

With three or more steps, each round has a random order. In a fixed order, a step that always follows one with the same
kernels finds them in the caches and is about 10 % faster than in a network. No step directly follows itself.
"""

import gc
import itertools
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from statistics import median, quantiles
from typing import Literal

import torch

WARMUP_ROUNDS, MAX_ROUNDS = 3, 3000
BURST_S = 4e-3
"""On a GPU a timing is a burst of calls of about this length: launches overlap, as they do in a network."""
CLOCKS = {"wall": time.perf_counter, "cpu": time.thread_time, "cuda": time.perf_counter}
"""The clock of the host. On a GPU, building and launching are measured in wall time."""


@dataclass(frozen=True)
class Step:
    """What is timed, and what runs before each timing without being timed."""

    run: Callable[[], object]
    setup: Callable[[], object]


@dataclass(frozen=True)
class Effort:
    """At least `rounds` timings of every step, and more (at most 3000) until `seconds` are over.

    `clock` is wall, cuda, or cpu: the time of this thread alone, for a machine that has other work.
    """

    rounds: int = 15
    seconds: float = 3.0
    clock: Literal["wall", "cpu", "cuda"] = "wall"


@dataclass(frozen=True)
class Time:
    """Seconds of a call: median and interquartile range. The field names are keys of the JSON file."""

    median: float
    iqr: float

    @classmethod
    def from_timings(cls, timings: list[float]) -> "Time":
        """The median and interquartile range of some timings."""
        if len(timings) < 2:
            return cls(median(timings), 0.0)
        low, middle, high = quantiles(timings, n=4, method="inclusive")
        return cls(middle, high - low)


@dataclass(frozen=True)
class Timings:
    """The time of each step, the ratio of each two, and the number of rounds.

    `ratios["a/b"]` is the median over the rounds of a's time / b's time. The two timings of a round are neighbours, so that
    a slow phase of the machine is in both. Of a compiled block and itself, ratios of medians are 0.89 to 1.05.
    """

    times: dict[str, Time]
    ratios: dict[str, float]
    rounds: int

    @classmethod
    def from_rounds(cls, timings: Mapping[str, list[float]]) -> "Timings":
        """The result of the timings of each step, one for each round."""
        times = {name: Time.from_timings(seconds) for name, seconds in timings.items()}
        pairs = itertools.permutations(timings, 2)
        ratios = {f"{a}/{b}": median(x / y for x, y in zip(timings[a], timings[b], strict=True)) for a, b in pairs}
        return cls(times, ratios, len(next(iter(timings.values()), ())))


def time_interleaved(steps: Mapping[str, Step], effort: Effort) -> Timings:
    """Times each step. Warm-up rounds determine the number of rounds, and on a GPU the calls per timing."""
    clock = _time_on_gpu if effort.clock == "cuda" else partial(_time_on_host, CLOCKS[effort.clock])
    warmup = {name: min(clock(step, 1) for _ in range(WARMUP_ROUNDS)) for name, step in steps.items()}
    calls = {name: max(1, round(BURST_S / seconds)) if effort.clock == "cuda" else 1 for name, seconds in warmup.items()}
    round_s = sum(warmup[name] * calls[name] for name in steps)
    rounds = max(effort.rounds, min(MAX_ROUNDS, int(effort.seconds / max(round_s, 1e-9))))
    timings: dict[str, list[float]] = {name: [] for name in steps}
    rng, names, last = random.Random(0), list(steps), ""
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            names = rng.sample(names, len(names))
            if names[0] == last and len(names) > 1:
                names.append(names.pop(0))
            for last in names:
                timings[last].append(clock(steps[last], calls[last]))
    finally:
        gc.enable()
    return Timings.from_rounds(timings)


def _time_on_host(now: Callable[[], float], step: Step, calls: int) -> float:
    step.setup()
    start = now()
    for _ in range(calls):
        step.run()
    return (now() - start) / calls


def _time_on_gpu(step: Step, calls: int) -> float:
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    start.record()
    for _ in range(calls):
        step.setup()
        step.run()
    end.record()
    torch.cuda.synchronize()
    return float(start.elapsed_time(end)) / 1e3 / calls
