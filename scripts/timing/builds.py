"""How long building takes: every shipped config, and variants on the meta device."""

import gc
import itertools
import random
from collections.abc import Callable, Iterator
from statistics import median

import torch
from torch import Tensor, nn

import sefactory as sf
from sefactory.bench.summary import summarize

from .clock import CLOCKS
from .variants import SEED, build_variant, combinations

META_SIDE, META_S = 14, 5.0
BUILDS = 15


def build_seconds(clock: str, names: list[str] | None = None, channels: int = 256) -> dict[str, float]:
    """Seconds of sf.build by config: the median of 15 builds, less the time to allocate and initialize the tensors."""
    gc.collect()
    gc.disable()
    try:
        return {name: median(_overheads(clock, name, channels)) for name in names or sf.configs()}
    finally:
        gc.enable()


def _overheads(clock: str, name: str, channels: int) -> Iterator[float]:
    tensors = list(sf.build(name, channels).state_dict().values())  # reads the file and warms up
    for _ in range(BUILDS):
        build_s = _seconds(clock, lambda: sf.build(name, channels))
        yield build_s - _seconds(clock, lambda: _initialize(tensors))


def _initialize(tensors: list[Tensor]) -> None:
    """Allocates and initializes tensors as the constructors of torch's layers do."""
    for tensor in tensors:
        copy = torch.empty(tensor.shape, dtype=tensor.dtype)
        if tensor.dim() > 1:
            nn.init.kaiming_uniform_(copy, a=5**0.5)
        else:
            nn.init.zeros_(copy)


def _seconds(clock: str, function: Callable[[], object]) -> float:
    start = CLOCKS[clock]()
    function()
    return CLOCKS[clock]() - start


def meta_builds_per_minute(clock: str, seconds: float = META_S, channels: int = 256) -> dict[str, float]:
    """How many variants a minute are built and summarized on the meta device. Refused variants take time but do not count."""
    names = combinations()
    order = itertools.cycle(random.Random(SEED).sample(names, len(names)))
    built = refused = 0
    start = CLOCKS[clock]()
    while (elapsed := CLOCKS[clock]() - start) < seconds:
        try:
            with torch.device("meta"):
                summarize(build_variant(next(order), channels, META_SIDE), META_SIDE, META_SIDE)
            built += 1
        except sf.ConfigError:
            refused += 1
    return {"per_minute": 60 * built / elapsed, "built": built, "refused": refused, "seconds": elapsed}
