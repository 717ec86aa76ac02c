"""The options of a benchmark, the measured rates of the machine, and the environment that a result depends on."""

import os
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import torch

from ..errors import first_line
from .versions import package_version

DTYPES: dict[str, torch.dtype] = {name: getattr(torch, name) for name in ("float32", "float64", "bfloat16", "float16")}
COPY_BYTES = 2**28  # much larger than any last-level cache
MATMUL_SIDE = {"cpu": 1024, "cuda": 8192}  # large enough for the full rate, small enough for a fraction of a second


@dataclass(frozen=True)
class Options:
    """How blocks are measured.

    `seconds` is the duration that one timing aims at (a slow block is called once). `rounds` is the number of timings of
    each block, forward and training each. Raises ValueError for an unknown dtype, an unusable device, or a number that is
    not positive.
    """

    device: str = "cpu"
    dtype: str = "float32"
    threads: int = 1
    compile: bool = False
    channels_last: bool = False
    rounds: int = 15
    seconds: float = 0.02
    seed: int = 0

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype: {self.dtype!r} is none of {', '.join(DTYPES)}")
        if self.threads < 1 or self.rounds < 1 or not self.seconds > 0:
            raise ValueError(f"threads={self.threads}, rounds={self.rounds}, seconds={self.seconds} must be positive")
        try:
            torch.empty(0, device=self.device)
        except (RuntimeError, AssertionError, NotImplementedError) as error:
            raise ValueError(f"device: {self.device!r} cannot be used here: {first_line(error)}") from error


@dataclass(frozen=True)
class MachineRates:
    """The two measured rates behind a roofline bound.

    `bytes_per_second` is the bandwidth of a copy, which reads and writes every byte: two bytes of traffic.
    `flops_per_second` is the rate of a square matrix product, where a multiply-add is two operations.
    """

    bytes_per_second: float
    flops_per_second: float


def measure_machine(options: Options) -> MachineRates:
    """The rates with the options' device, dtype and threads, from the fastest of many calls."""
    dtype, device = DTYPES[options.dtype], torch.device(options.device)
    source = torch.ones(COPY_BYTES // dtype.itemsize, dtype=dtype, device=device)
    target = torch.ones_like(source)
    side = MATMUL_SIDE.get(device.type, MATMUL_SIDE["cpu"])
    a_NN = torch.full((side, side), 0.5, dtype=dtype, device=device)
    out_NN = torch.empty_like(a_NN)
    copy_s = _fastest(lambda: target.copy_(source), options.threads)
    matmul_s = _fastest(lambda: torch.mm(a_NN, a_NN, out=out_NN), options.threads)
    return MachineRates(bytes_per_second=2 * COPY_BYTES / copy_s, flops_per_second=2 * side**3 / matmul_s)


def _fastest(function: Callable[[], object], threads: int) -> float:
    from torch.utils.benchmark import Timer  # here, since the import is slow and most users need no Timer

    timer = Timer("function()", globals={"function": function}, num_threads=threads)
    return min(timer.blocked_autorange(min_run_time=0.3).times)


def environment(options: Options) -> dict[str, str | int | float]:
    """What a result depends on besides the blocks: date (UTC), versions, processor, load, allocator, and the options.

    `load` is the mean number of runnable processes of the last minute, -1 on a system that does not report it.
    """
    is_cuda = torch.device(options.device).type == "cuda"
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "sefactory": package_version("sefactory"),
        "torch": str(torch.__version__),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _cpu_name(),
        "cores": os.cpu_count() or 1,
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else -1.0,
        "allocator": _allocator(),
        **asdict(options),
        "device": torch.cuda.get_device_name(options.device) if is_cuda else options.device,
    }


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # not Linux
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine() or "unknown"


def _allocator() -> str:
    """The tuning of malloc. With the default, page faults can double the time of a training step."""
    preloaded = [Path(name).name for name in os.environ.get("LD_PRELOAD", "").replace(":", " ").split()]
    tuned = [f"{key}={value}" for key, value in sorted(os.environ.items()) if key.startswith("MALLOC_")]
    return " ".join(preloaded + tuned) or "default"
