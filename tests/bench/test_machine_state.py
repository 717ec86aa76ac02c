"""The load, the runnable processes and the clock rate, from files as Linux writes them and without them."""

import os
from pathlib import Path

import pytest

from sefactory.bench import machine_state
from sefactory.bench.machine_state import clock_mhz, load_average, runnable_processes


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty system: proc/ and cpus/."""
    monkeypatch.setattr(machine_state, "PROC", tmp_path / "proc")
    monkeypatch.setattr(machine_state, "CPUS", tmp_path / "cpus")
    (tmp_path / "proc").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    "text, runnable",
    [("0.44 0.83 0.65 3/108 5615\n", 3), ("12.00 9.10 4.01 17/2048 99999\n", 17), ("0.00 0.00 0.00 0/0 0\n", None), ("", None)],
)
def test_runnable_processes(text: str, runnable: int | None, system: Path) -> None:
    (system / "proc" / "loadavg").write_text(text)
    assert runnable_processes() == runnable


def test_clock_of_the_fastest_core(system: Path) -> None:
    (system / "proc" / "cpuinfo").write_text("model name\t: x\ncpu MHz\t\t: 1996.250\n\nprocessor: 1\ncpu MHz\t\t: 2900.5\n")
    assert clock_mhz() == 2900.5
    for core, rate in enumerate(("800000", "3400000")):
        folder = system / "cpus" / f"cpu{core}" / "cpufreq"
        folder.mkdir(parents=True)
        (folder / "scaling_cur_freq").write_text(rate + "\n")
    assert clock_mhz() == 3400.0


def test_a_system_that_tells_nothing(system: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "getloadavg")
    assert runnable_processes() is clock_mhz() is load_average() is None


def test_load_average(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (1.234, 5.0, 6.0))
    assert load_average() == 1.23
