"""Measures any modules side by side: time, memory, and the distance from what the machine could do.

A `Comparison` of some `Case`s at one shape is run as long as its caller likes; `rows` has what was measured so far.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn
from torch.utils.benchmark import Measurement, Timer

from .machine import (
    Loaded,
    Machine,
    Options,
    Shape,
    clear,
    environment,
    first_line,
    load,
    measure_machine,
    standard_input,
    threads,
)
from .memory import operator_seconds, peak_bytes, saved_bytes

__all__ = [
    "Case",
    "Comparison",
    "Machine",
    "Options",
    "Row",
    "environment",
    "roofline_bound",
    "measure_machine",
    "refused_row",
]

Kind = Literal["forward", "training"]
KINDS: tuple[Kind, Kind] = ("forward", "training")


@dataclass(frozen=True)
class Case:
    """One module to measure, with what is known of it without running it.

    `macs` are the multiply-adds of one forward at the measured shape, `elements` its element-wise, pooling and norm
    work. `operators` names the leaf operators whose time is split: path within the module ("" is the module) to name.
    """

    name: str
    module: nn.Module
    parameters: int
    macs: int
    elements: int
    operators: Mapping[str, str]


@dataclass(frozen=True)
class Row:
    """What is known of one block at one shape; None is what was not measured.

    Times are seconds, medians with interquartile ranges: forward in eval mode without gradients, train forward and
    backward. `rounds` counts the timings behind forward_s; train_s has as many or one fewer. Ratios are to the
    baseline at the same shape. `split` maps operator to forward seconds, always of the uncompiled module, in eval mode.
    `refused` says why a block was not built, `error` (prefixed "forward: " or "training: ") what it raised.
    An axis that the input lacks is None.
    """

    block: str
    shape: str
    batch: int
    channels: int
    depth: int | None
    height: int | None
    width: int
    parameters: int | None = None
    macs: int | None = None
    elements: int | None = None
    saved_bytes: int | None = None
    peak_bytes: int | None = None
    forward_s: float | None = None
    forward_iqr_s: float | None = None
    train_s: float | None = None
    train_iqr_s: float | None = None
    rounds: int = 0
    forward_ratio: float | None = None
    train_ratio: float | None = None
    forward_floor_s: float | None = None
    train_floor_s: float | None = None
    forward_over_floor: float | None = None
    train_over_floor: float | None = None
    split: dict[str, float] = field(default_factory=dict)
    refused: str | None = None
    error: str | None = None


def refused_row(block: str, shape: Shape, reason: str) -> Row:
    """The row of a block that cannot be built at this shape."""
    return Row(block, "x".join(map(str, shape)), *sides(shape), refused=reason)


def sides(shape: Shape) -> tuple[int, int, int | None, int | None, int]:
    """Batch, channels, depth, height, width of an input.

    >>> sides((2, 64, 7))
    (2, 64, None, None, 7)
    """
    batch, channels, *outer, width = shape
    height = outer[-1] if outer else None
    depth = outer[0] if len(outer) > 1 else None
    return batch, channels, depth, height, width


def roofline_bound(case: Case, x: Tensor, y: Tensor, machine: Machine, train: bool) -> float:
    """Seconds below which no implementation of x -> y gets: max(bytes / bandwidth, operations / rate).

    Forward reads x and the parameters and writes y, and takes 2 operations per multiply-add. Training has 2.5 times
    the bytes (it also reads the gradient and x, and writes the gradient) and 3 times the operations.
    """
    traffic = x.nbytes + y.nbytes + case.parameters * x.element_size()
    operations = 2 * case.macs
    if train:
        return max(2.5 * traffic / machine.bytes_per_second, 3 * operations / machine.flops_per_second)
    return max(traffic / machine.bytes_per_second, operations / machine.flops_per_second)


class Comparison:
    """Times several cases interleaved (A B C A B C ...), so that a machine that slows down slows all of them.

    The modules are copied: neither weights, statistics nor mode of the caller's change. ValueError for two cases of
    one name, or an operator path that its module does not have.
    """

    def __init__(self, cases: Sequence[Case], shape: Shape, options: Options, machine: Machine, baseline: str | None) -> None:
        _check(cases)
        self.total = options.rounds * len(KINDS) * len(cases)
        self._shape, self._rounds, self._baseline = shape, options.rounds, baseline
        x = standard_input(shape, options)
        self._subjects = [_Subject(case, x, options, machine) for case in cases]

    def run(self) -> Iterator[str]:
        """Yields the name of a case after each of its timings, `total` times in all, also for one that has failed.

        A case is prepared (compiled, its memory measured, its calls per timing chosen) within its first timing of a
        kind, so that whenever the caller stops, `rows` has what was measured.
        """
        for _ in range(self._rounds):
            for kind in KINDS:
                for subject in self._subjects:
                    subject.measure(kind)
                    yield subject.case.name

    def rows(self) -> list[Row]:
        """One row per case in the order given, from the timings taken so far."""
        baseline = next((subject for subject in self._subjects if subject.case.name == self._baseline), None)
        return [self._row(subject, baseline) for subject in self._subjects]

    def _row(self, subject: "_Subject", baseline: "_Subject | None") -> Row:
        forward_s, forward_iqr_s = subject.time("forward")
        train_s, train_iqr_s = subject.time("training")
        forward_floor_s, train_floor_s = (subject.floors.get(kind) for kind in KINDS)
        return Row(
            subject.case.name,
            "x".join(map(str, self._shape)),
            *sides(self._shape),
            parameters=subject.case.parameters,
            macs=subject.case.macs,
            elements=subject.case.elements,
            saved_bytes=subject.saved,
            peak_bytes=subject.peak,
            forward_s=forward_s,
            forward_iqr_s=forward_iqr_s,
            train_s=train_s,
            train_iqr_s=train_iqr_s,
            rounds=len(subject.timings["forward"]),
            forward_ratio=_ratio(forward_s, baseline.time("forward")[0] if baseline else None),
            train_ratio=_ratio(train_s, baseline.time("training")[0] if baseline else None),
            forward_floor_s=forward_floor_s,
            train_floor_s=train_floor_s,
            forward_over_floor=_ratio(forward_s, forward_floor_s),
            train_over_floor=_ratio(train_s, train_floor_s),
            split=dict(subject.split),
            error="; ".join(f"{kind}: {reason}" for kind, reason in subject.failed.items()) or None,
        )


class _Subject:
    """One case under measurement: what is known of it so far."""

    def __init__(self, case: Case, x: Tensor, options: Options, machine: Machine) -> None:
        self.case = case
        self.timings: dict[Kind, list[Measurement]] = {kind: [] for kind in KINDS}
        self.floors: dict[Kind, float] = {}
        self.split: dict[str, float] = {}
        self.saved: int | None = None
        self.peak: int | None = None
        self.failed: dict[Kind, str] = {}
        self._x, self._options, self._machine = x, options, machine
        self._loaded: Loaded | None = None
        self._timers: dict[Kind, tuple[Timer, int]] = {}

    def measure(self, kind: Kind) -> None:
        """One timing; nothing once this kind, or forward, has failed. What the module raises is noted, not raised."""
        if kind in self.failed or "forward" in self.failed:
            return
        try:
            with threads(self._options.threads), torch.set_grad_enabled(kind == "training"):
                self._time_once(kind)
        except Exception as error:  # of any kind: the module is somebody's, and the other cases go on
            self.failed[kind] = first_line(error)
        finally:
            clear(self._loaded.leaves if self._loaded else [self._x])

    def time(self, kind: Kind) -> tuple[float | None, float | None]:
        """Median and interquartile range in seconds of the timings so far."""
        if not self.timings[kind]:
            return None, None
        merged = Measurement.merge(self.timings[kind])[0]
        return merged.median, merged.iqr

    def _time_once(self, kind: Kind) -> None:
        self._loaded = loaded = self._loaded or load(self.case.module, self._x, self._options)
        loaded.module.train(kind == "training")
        if kind not in self._timers:
            self._timers[kind] = self._prepare(kind, loaded)
        timer, number = self._timers[kind]
        self.timings[kind].append(timer.timeit(number))

    def _prepare(self, kind: Kind, loaded: Loaded) -> tuple[Timer, int]:
        self.floors[kind] = roofline_bound(self.case, loaded.x, loaded.cotangent, self._machine, kind == "training")
        step = loaded.train if kind == "training" else loaded.forward
        timer = Timer("step()", globals={"step": step}, num_threads=self._options.threads)
        number = _calls(timer, self._options.seconds)
        if kind == "training":
            self._measure_memory(loaded)
        else:
            self.split = operator_seconds(loaded.module, loaded.x, self.case.operators)
        return timer, number

    def _measure_memory(self, loaded: Loaded) -> None:
        owned = [*loaded.module.parameters(), *loaded.module.buffers()]
        clear(loaded.leaves)
        self.saved = saved_bytes(loaded.forward, owned)
        # the allocations of compiled code do not pass the dispatcher, so that on the CPU nobody sees them
        if loaded.x.device.type == "cuda" or not self._options.compile:
            self.peak = peak_bytes(loaded.train, loaded.x, [*owned, loaded.cotangent])


def _calls(timer: Timer, seconds: float) -> int:
    """How many calls take about `seconds`; at least one."""
    number = max(1, round(seconds / timer.timeit(1).median))
    # one call of a few microseconds says little: a tenth of the calls it suggests says more
    return number if number < 20 else max(1, round(seconds / timer.timeit(number // 10).median))


def _check(cases: Sequence[Case]) -> None:
    names = [case.name for case in cases]
    if len(set(names)) < len(names):
        raise ValueError(f"two cases of one name: {', '.join(names)}")
    for case in cases:
        unknown = case.operators.keys() - dict(case.module.named_modules()).keys()
        if unknown:
            raise ValueError(f"{case.name} has no module at {', '.join(sorted(unknown))}")


def _ratio(seconds: float | None, reference: float | None) -> float | None:
    return seconds / reference if seconds is not None and reference else None
