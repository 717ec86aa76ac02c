"""How to measure, and on what: the options, the machine's rates, a module placed on it, the facts beside a result."""

import copy
import os
import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from types import FunctionType

import torch
from torch import Tensor, nn
from torch.utils.benchmark import Timer

Shape = tuple[int, ...]
"""B, C, then the axes of the grid."""
_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}
DTYPES = {
    "float32": torch.float32,
    "float64": torch.float64,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
COPY_BYTES = 2**28  # well beyond any last-level cache that one core can use
MATMUL_SIDE = {"cpu": 1024, "cuda": 8192}  # large enough to reach the rate, small enough for a fraction of a second


@dataclass(frozen=True)
class Options:
    """How blocks are measured.

    `seconds` is the duration that one timing aims at (a slow block is called once), `rounds` the number of timings of
    each block and kind. ValueError for an unknown dtype, an unusable device, or a count that is not positive.
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
class Machine:
    """Two measured rates: bytes per second of a copy (each byte is read once and written once: two bytes of traffic),
    and floating-point operations per second of a square matrix product in the dtype (a multiply-add is two)."""

    bytes_per_second: float
    flops_per_second: float


def measure_machine(options: Options) -> Machine:
    """The machine's rates with the options' device, dtype and threads: the fastest of many calls, as a floor needs."""
    dtype, device = DTYPES[options.dtype], torch.device(options.device)
    source = torch.ones(COPY_BYTES // dtype.itemsize, dtype=dtype, device=device)
    target = torch.ones_like(source)
    side = MATMUL_SIDE.get(device.type, MATMUL_SIDE["cpu"])
    a_NN = torch.full((side, side), 0.5, dtype=dtype, device=device)
    out_NN = torch.empty_like(a_NN)
    copy = _fastest(lambda: target.copy_(source), options.threads)
    product = _fastest(lambda: torch.mm(a_NN, a_NN, out=out_NN), options.threads)
    return Machine(bytes_per_second=2 * COPY_BYTES / copy, flops_per_second=2 * side**3 / product)


def _fastest(work: Callable[[], object], count: int) -> float:
    timer = Timer("work()", globals={"work": work}, num_threads=count)
    return min(timer.blocked_autorange(min_run_time=0.3).times)


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Runs its body with `count` threads within operators, and puts the former number back."""
    former = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(former)


@dataclass(frozen=True)
class Loaded:
    """A copy of a module on its device. `call` is the module or its compiled form, `cotangent` the gradient of y."""

    module: nn.Module
    call: Callable[[Tensor], Tensor]
    x: Tensor
    cotangent: Tensor
    leaves: list[Tensor]

    def forward(self) -> Tensor:
        return self.call(self.x)

    def train(self) -> None:
        """The gradient of sum(y * cotangent), without timing the product and the sum, which are not the module's."""
        clear(self.leaves)
        torch.autograd.backward(self.call(self.x), self.cotangent)


def load(module: nn.Module, x: Tensor, options: Options) -> Loaded:
    """A copy of the module on the device of x and in its dtype. TypeError where it does not return one tensor."""
    module = copy.deepcopy(module).eval().to(device=x.device, dtype=x.dtype)
    for parameter in module.parameters() if options.channels_last else ():
        parameter.data = parameter.data.to(memory_format=_LAST.get(parameter.dim(), torch.preserve_format))
    call = _compiled(module) if options.compile else module
    with torch.no_grad():
        y = call(x)
    if not isinstance(y, Tensor):
        raise TypeError(f"returned {type(y).__name__}, not one tensor")
    random = torch.Generator(x.device).manual_seed(options.seed + 1)
    return Loaded(module, call, x, torch.empty_like(y).normal_(generator=random), [x, *module.parameters()])


def _compiled(module: nn.Module) -> Callable[[Tensor], Tensor]:
    def run(x: Tensor) -> Tensor:
        y: Tensor = module(x)
        return y

    # A code object of its own: the compiler keeps at most eight variants per code object and then silently runs
    # eagerly, and modules of one class, at several shapes and in two modes, share that of their forward.
    own = FunctionType(run.__code__.replace(), run.__globals__, run.__name__, None, run.__closure__)
    return torch.compile(own, dynamic=False)


def standard_input(shape: Shape, options: Options) -> Tensor:
    """Standard normal values, the same on every device."""
    x = torch.randn(shape, generator=torch.Generator().manual_seed(options.seed))
    layout = _LAST.get(len(shape), torch.contiguous_format) if options.channels_last else torch.contiguous_format
    return x.to(options.device, DTYPES[options.dtype], memory_format=layout).requires_grad_()


def clear(leaves: Sequence[Tensor]) -> None:
    """Forgets the gradients."""
    for leaf in leaves:
        leaf.grad = None


def first_line(error: BaseException) -> str:
    """The first line of an error's message that says anything, at most 200 characters; its type where none does."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:200] if lines else type(error).__name__


def environment(options: Options) -> dict[str, str | int | float]:
    """What a result depends on besides the blocks: versions, processor, load, allocator, the options, the date (UTC).

    `load` is the mean number of runnable processes of the last minute, -1 where the system does not tell.
    """
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "sefactory": _version("sefactory"),
        "torch": str(torch.__version__),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _cpu_name(),
        "cores": os.cpu_count() or 1,
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else -1.0,
        "allocator": _allocator(),
        "device": _device_name(options.device),
        "dtype": options.dtype,
        "threads": options.threads,
        "compile": options.compile,
        "channels_last": options.channels_last,
        "rounds": options.rounds,
        "seconds": options.seconds,
        "seed": options.seed,
    }


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "unknown"


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # not Linux
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine() or "unknown"


def _device_name(device: str) -> str:
    return torch.cuda.get_device_name(device) if torch.device(device).type == "cuda" else device


def _allocator() -> str:
    """How malloc was tuned: page faults of a default malloc can double the time of a training step."""
    preloaded = [Path(name).name for name in os.environ.get("LD_PRELOAD", "").replace(":", " ").split()]
    tuned = [f"{key}={value}" for key, value in sorted(os.environ.items()) if key.startswith("MALLOC_")]
    return " ".join(preloaded + tuned) or "default"
