"""The statistics of a map and its gates, computed chunk by chunk: a chunk of about one sample is read from memory once.

Where the last cache of the processor holds all maps, they are computed as a whole (docs/kernels.md, cache tiling).
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from . import reduction
from .map_gradient import GateTerm, broadcast_shape, chunks, combine_gates, multiply_gates
from .reduction import Extremum

Request = tuple[str, tuple[int, ...]]
"""A statistic ("mean", "sum", "max", "min", or "var", which divides by n) and its axes, none of them 0."""

CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
MAPS_IN_CACHE = 8  # number of maps from which the last cache holds all that is read and written

EXTREMA = {"max": Extremum(True), "min": Extremum(False)}
MOMENTS = {"mean": reduction.mean, "sum": reduction.total, "var": reduction.variance}


def statistic(x: Tensor, name: str, dims: tuple[int, ...], y: Tensor | None = None) -> Tensor:
    """One statistic, the axes kept at size 1; written into y if given."""
    return reduction.extremum(x, dims, EXTREMA[name], y) if name in EXTREMA else MOMENTS[name](x, dims, y)


def statistics(x: Tensor, requests: Sequence[Request]) -> list[Tensor]:
    """One statistic for each request; several of them chunk by chunk."""
    if len(requests) < 2:
        return [statistic(x, name, dims) for name, dims in requests]
    results = _empty(x, requests)
    for chunk, *outputs in zip(_chunks(x, x), *(_chunks(y, x) for y in results), strict=True):
        _write_statistics(chunk, requests, outputs)
    return results


def gate_map(x: Tensor, gates: Sequence[Tensor], combine: str, requests: Sequence[Request] = ()) -> tuple[Tensor, list[Tensor]]:
    """Returns (y = x * gate, the statistics of y).

    The last chunk comes first: it was the last to be read for the statistics under the gates.
    """
    if not requests and (len(gates) == 1 or broadcast_shape(gates)[1:] != x.shape[1:]):
        return x * combine_gates(gates, combine, None), []
    y, results, whole = torch.empty_like(x), _empty(x, requests), GateTerm(x, tuple(gates), combine)
    parts = zip([whole] if fits_cache(x) else whole.split(), *(_chunks(t, x) for t in (y, *results)), strict=True)
    for gate, chunk, *outputs in reversed(list(parts)):
        multiply_gates(gate, chunk)
        _write_statistics(chunk, requests, outputs)
    return y, results


@lru_cache(maxsize=1)
def last_cache_bytes() -> int:
    """The size of the largest cache of a core, as Linux reports it; 0 if it does not."""
    units = {"K": 2**10, "M": 2**20, "G": 2**30}
    try:
        sizes = [path.read_text().strip() for path in CACHES.glob("index*/size")]
        return max((int(size[:-1]) * units[size[-1:]] for size in sizes), default=0)
    except (OSError, ValueError, KeyError):
        return 0


def fits_cache(x: Tensor) -> bool:
    """True if the last cache holds x and what is computed from it, so that a chunk is read again at no cost."""
    return MAPS_IN_CACHE * x.numel() * x.element_size() <= last_cache_bytes()


def _chunks(t: Tensor, x: Tensor) -> Sequence[Tensor]:
    """t in the chunks of x; a single one if x fits into the cache."""
    return [t] if fits_cache(x) else chunks(t, x)


def _empty(x: Tensor, requests: Sequence[Request]) -> list[Tensor]:
    return [x.new_empty([1 if i in dims else n for i, n in enumerate(x.shape)]) for _, dims in requests]


def _write_statistics(x: Tensor, requests: Sequence[Request], outputs: Sequence[Tensor]) -> None:
    for (name, dims), y in zip(requests, outputs, strict=True):
        statistic(x, name, dims, y)
