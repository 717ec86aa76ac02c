"""What a machine does besides the benchmark: its load, the processes that want a core, and its clock rate."""

import os
import re
from pathlib import Path

PROC, CPUS = Path("/proc"), Path("/sys/devices/system/cpu")


def load_average() -> float | None:
    """The mean number of runnable processes of the last minute; None on a system that does not report it."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def runnable_processes() -> int | None:
    """The number of threads on the machine that run or wait for a core at this moment; None where it cannot be read.

    A load average rises slowly. This number shows another program at once.
    """
    match = re.search(r" (\d+)/\d+ ", _read(PROC / "loadavg"))
    return int(match[1]) or None if match else None  # this thread runs: a sandbox that says 0 does not know


def clock_mhz() -> float | None:
    """The clock rate of the fastest core in MHz; None where it cannot be read."""
    rates = [float(text) / 1000 for file in CPUS.glob("cpu[0-9]*/cpufreq/scaling_cur_freq") if (text := _read(file))]
    rates = rates or [float(text) for text in re.findall(r"^cpu MHz\s*:\s*([\d.]+)", _read(PROC / "cpuinfo"), re.M)]
    return max(rates, default=None)


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:  # another system, or a file that is withheld
        return ""
