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

try:
    from sefactory.build.recall import forget
except ImportError:  # an earlier tree, which keeps nothing

    def forget() -> None:
        """Nothing."""


META_SIDE, META_S = 14, 5.0
BUILDS = 15
KEPT = 2
"""Builds after which something is kept of them."""


def build_seconds(clock: str, names: list[str] | None = None, channels: int = 256, *, again: bool = False) -> dict[str, float]:
    """Seconds of sf.build for each shipped config, less what allocating and filling its tensors takes: the median of 15.

    Each is the first at these channels, of a config that was built before; or, `again`, one after several.
    """
    gc.collect()
    gc.disable()
    try:
        return {name: median(_beyond_weights(clock, name, channels, again)) for name in names or sf.configs()}
    finally:
        gc.enable()


def _beyond_weights(clock: str, name: str, channels: int, again: bool) -> Iterator[float]:
    tensors = list(sf.build(name, channels).state_dict().values())  # reads the file and warms up
    for _ in range(BUILDS):
        forget()
        for _ in range(KEPT):
            sf.build(name, channels if again else channels // 2)
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
