"""Times calls by the clock, and notes how long the calling thread ran meanwhile."""

import timeit
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import thread_time as thread_clock
from typing import NamedTuple

import torch
from torch.utils.benchmark import timer as wall_clock  # waits for the current accelerator first


class Timing(NamedTuple):
    """`seconds` of one call; all calls together took `wall_s`, and the thread ran for `ran_s` of these."""

    seconds: float
    wall_s: float
    ran_s: float


@contextmanager
def on_device(device: torch.device) -> Iterator[None]:
    """Makes an accelerator the current one inside. The clocks wait for the current accelerator and for no other."""
    accelerator = torch.accelerator.current_accelerator()
    if device.index is None or accelerator is None or device.type != accelerator.type:
        yield
        return
    former = torch.accelerator.current_device_index()
    torch.accelerator.set_device_index(device.index)
    try:
        yield
    finally:
        torch.accelerator.set_device_index(former)


def time_calls(step: Callable[[], object], calls: int) -> Timing:
    """The mean time of so many calls, after a fifth as many that are not timed, which fill the caches; at least one."""
    for _ in range(max(1, calls // 5)):
        step()
    started = thread_clock()
    wall_s = timeit.Timer(step, timer=wall_clock).timeit(calls)
    return Timing(wall_s / calls, wall_s, thread_clock() - started)


def calls_per_timing(step: Callable[[], object], seconds: float) -> int:
    """The number of calls that take about `seconds`; at least one."""
    calls = max(1, round(seconds / time_calls(step, 1).seconds))  # its first call, which may compile, is not timed
    # the first calls of a block are slow, and the time of a single short one is inaccurate: measure again with half of them
    return calls if calls < 4 else max(1, round(seconds / time_calls(step, calls // 2).seconds))


def waiting_share(timings: Sequence[Timing]) -> float | None:
    """The share of the time in which the calling thread did not run; None without timings."""
    wall_s = sum(timing.wall_s for timing in timings)
    return max(0.0, 1 - sum(timing.ran_s for timing in timings) / wall_s) if wall_s else None
