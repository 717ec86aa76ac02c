"""The options of a benchmark, the measured rates of the machine, and the environment that a result depends on."""

import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime

import torch
from torch import Tensor

from .allocator import allocator_settings, release_freed_memory
from .hardware import cpu_name, device_fault
from .machine_state import load_average
from .timing import on_device
from .versions import package_version

DTYPES: dict[str, torch.dtype] = {name: getattr(torch, name) for name in ("float32", "float64", "bfloat16", "float16")}
COPY_BYTES = 2**28  # much larger than any last-level cache
CACHED_BYTES = tuple(2**n for n in range(15, 26, 2))  # sizes of tensors that can fit into a cache
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
    rounds: int = 25
    seconds: float = 0.02
    seed: int = 0

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype: {self.dtype!r} is none of {', '.join(DTYPES)}")
        if self.threads < 1 or self.rounds < 1 or not self.seconds > 0:
            raise ValueError(f"threads={self.threads}, rounds={self.rounds}, seconds={self.seconds} must be positive")
        if reason := device_fault(self.device):
            raise ValueError(f"device: {self.device!r} {reason}")


@dataclass(frozen=True)
class MachineRates:
    """The measured rates behind a roofline bound.

    `bytes_per_second` is the bandwidth of a large copy, which reads and writes every byte: two bytes of traffic.
    `cached_bytes_per_second` has the bandwidth of smaller copies by the bytes that they read and write.
    `flops_per_second` is the rate of a square matrix product, where a multiply-add is two operations.
    """

    bytes_per_second: float
    flops_per_second: float
    cached_bytes_per_second: Mapping[int, float] = field(default_factory=dict)

    def bandwidth(self, tensors_bytes: int) -> float:
        """The fastest rate at which tensors of so many bytes together can be read and written.

        It is the highest rate of all sizes that are not smaller, and of the next smaller one: caches do not get slower with
        less data, and small copies do not reach their rate, because of the time of the call itself.
        """
        smaller = max((size for size in self.cached_bytes_per_second if size <= tensors_bytes), default=0)
        rates = (rate for size, rate in self.cached_bytes_per_second.items() if size >= smaller)
        return max([self.bytes_per_second, *rates])

    def faster(self, other: "MachineRates") -> "MachineRates":
        """The higher of each two rates: other programs only slow a measurement down."""
        cached = {
            size: max(rate, other.cached_bytes_per_second.get(size, 0.0)) for size, rate in self.cached_bytes_per_second.items()
        }
        return MachineRates(
            max(self.bytes_per_second, other.bytes_per_second), max(self.flops_per_second, other.flops_per_second), cached
        )


_rates: dict[Options, MachineRates] = {}


def measure_machine_once(options: Options) -> MachineRates:
    """The rates with these options: measured once in a process, or the last ones of `keep_rates`."""
    if options not in _rates:
        keep_rates(options, measure_machine(options))
    return _rates[options]


def keep_rates(options: Options, rates: MachineRates) -> None:
    """Sets the rates that `measure_machine_once` returns from now on."""
    _rates[options] = rates


def measure_machine(options: Options) -> MachineRates:
    """The rates with the options' device, dtype and threads, from the fastest of many calls."""
    device = torch.device(options.device)
    with on_device(device):
        rates = _measure_rates(DTYPES[options.dtype], device, options.threads)
    release_freed_memory()  # half a gigabyte, which the processes of a sweep must not keep
    return rates


def _measure_rates(dtype: torch.dtype, device: torch.device, threads: int) -> MachineRates:
    side = MATMUL_SIDE.get(device.type, MATMUL_SIDE["cpu"])
    a_NN = torch.full((side, side), 0.5, dtype=dtype, device=device)
    out_NN = torch.empty_like(a_NN)
    matmul_s = _fastest(lambda: torch.mm(a_NN, a_NN, out=out_NN), threads, 0.3)
    source = torch.ones(COPY_BYTES // dtype.itemsize, dtype=dtype, device=device)
    target = torch.ones_like(source)
    copy_s = _fastest(lambda: target.copy_(source), threads, 0.3)
    cached = {2 * size: 2 * size / _fastest_copy(source[: size // dtype.itemsize], threads) for size in CACHED_BYTES}
    return MachineRates(2 * COPY_BYTES / copy_s, 2 * side**3 / matmul_s, cached)


def _fastest_copy(source: Tensor, threads: int) -> float:
    """The time to read a tensor and to write one of its size: copied to a fixed place, or computed into new memory."""
    target = torch.ones_like(source)
    return min(
        _fastest(lambda: target.copy_(source), threads, 0.05),
        _fastest(lambda: torch.relu(source), threads, 0.05),
    )


def _fastest(function: Callable[[], object], threads: int, seconds: float) -> float:
    from torch.utils.benchmark import Timer  # here, since the import is slow and most users need no Timer

    timer = Timer("function()", globals={"function": function}, num_threads=threads)
    return min(timer.blocked_autorange(min_run_time=seconds).times)


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
        "cpu": cpu_name(),
        "cores": os.cpu_count() or 1,
        "load": -1.0 if (load := load_average()) is None else load,
        "allocator": allocator_settings(),
        **asdict(options),
        "device": torch.cuda.get_device_name(options.device) if is_cuda else options.device,
    }
