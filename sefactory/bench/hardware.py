"""The processor of this machine, and whether a device can be used."""

import platform
from pathlib import Path

import torch

from ..errors import first_line


def cpu_name() -> str:
    """The name of the processor, as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # not Linux
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine() or "unknown"


def device_fault(device: str) -> str:
    """Why a device cannot be used; an empty text if it can."""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        return f"cannot be used here: {first_line(error)}"
    return ""
