"""The clock waits for the device that is measured."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

from sefactory.bench import attribution, case_run, machine, timing
from sefactory.bench.machine import Options
from sefactory.bench.timing import on_device
from tests.bench.modules import Gate, case, measured


@pytest.fixture
def current(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The current device of a simulated machine with two GPUs, and the ones before it."""
    indices = [0]
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cuda"))
    monkeypatch.setattr(torch.accelerator, "current_device_index", lambda: indices[-1])
    monkeypatch.setattr(torch.accelerator, "set_device_index", indices.append)
    return indices


def test_the_measured_device_is_the_current_one(current: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[int] = []
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "synchronize", lambda: waited.append(current[-1]))
    with on_device(torch.device("cuda:1")):
        timing.time_calls(lambda: None, 1)
    timing.time_calls(lambda: None, 1)
    assert waited == [1, 1, 0, 0]


def test_the_former_device_returns_after_an_error(current: list[int]) -> None:
    with pytest.raises(KeyError), on_device(torch.device("cuda:1")):
        raise KeyError
    assert current == [0, 1, 0]


@pytest.mark.parametrize("device", ["cpu", "cpu:0", "cuda"])
def test_other_devices_change_nothing(current: list[int], device: str) -> None:
    with on_device(torch.device(device)):
        assert current == [0]


def test_without_an_accelerator_nothing_changes(current: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: None)
    with on_device(torch.device("cuda:1")):
        assert current == [0]


def test_everything_is_timed_on_its_device(monkeypatch: pytest.MonkeyPatch) -> None:
    entered: list[torch.device] = []
    outside: list[str] = []

    @contextmanager
    def enter(device: torch.device) -> Iterator[None]:
        entered.append(device)
        yield
        entered.pop()

    def clock(name: str) -> float:
        outside.extend([] if entered else [name])
        return clocks[name]()

    clocks = {"timing": timing.wall_clock, "attribution": attribution.now}
    monkeypatch.setattr(timing, "wall_clock", lambda: clock("timing"))
    monkeypatch.setattr(attribution, "now", lambda: clock("attribution"))
    monkeypatch.setattr(
        machine, "_fastest", lambda function, threads, seconds: outside.extend([] if entered else ["machine"]) or 1.0
    )
    for module in (case_run, machine):
        monkeypatch.setattr(module, "on_device", enter)
    (row,) = measured(case("a", Gate()))
    assert row.train_s and machine.measure_machine(Options()).bytes_per_second and not outside and not entered
