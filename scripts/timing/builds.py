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

from .clock import READ
from .variants import SEED, variant, words

META_SIDE, META_S = 14, 5.0
BUILDS = 15


def build_seconds(clock: str, names: list[str] | None = None, channels: int = 256) -> dict[str, float]:
    """Seconds of sf.build for each shipped config, less what allocating and filling its tensors takes: the median of 15."""
    gc.collect()
    gc.disable()
    try:
        return {name: median(_beyond_weights(clock, name, channels)) for name in names or sf.configs()}
    finally:
        gc.enable()


def _beyond_weights(clock: str, name: str, channels: int) -> Iterator[float]:
    tensors = list(sf.build(name, channels).state_dict().values())  # reads the file and warms up
    for _ in range(BUILDS):
        build = _seconds(clock, lambda: sf.build(name, channels))
        yield build - _seconds(clock, lambda: _fill(tensors))


def _fill(tensors: list[Tensor]) -> None:
    """What a layer's constructor does for each of its tensors: memory, and random numbers for a matrix."""
    for tensor in tensors:
        fresh = torch.empty(tensor.shape, dtype=tensor.dtype)
        if tensor.dim() > 1:
            nn.init.kaiming_uniform_(fresh, a=5**0.5)
        else:
            nn.init.zeros_(fresh)


def _seconds(clock: str, work: Callable[[], object]) -> float:
    start = READ[clock]()
    work()
    return READ[clock]() - start


def meta_per_minute(clock: str, seconds: float = META_S, channels: int = 256) -> dict[str, float]:
    """How many variants a minute are built and described on the meta device; what is refused counts as time only."""
    order = itertools.cycle(random.Random(SEED).sample(names := words(), len(names)))
    done = refused = 0
    start = READ[clock]()
    while (spent := READ[clock]() - start) < seconds:
        try:
            with torch.device("meta"):
                summarize(variant(next(order), channels, META_SIDE), META_SIDE, META_SIDE)
            done += 1
        except sf.ConfigError:
            refused += 1
    return {"per_minute": 60 * done / spent, "built": done, "refused": refused, "seconds": spent}
