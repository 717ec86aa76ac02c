"""DCT coefficients of a map as descriptors."""

import math
from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, einsum, nn

from ..config.registry import operator
from ..config.schema import Index
from ..errors import InvalidValue
from ..shapes import Sizes
from .parameters import exact_div
from .traced_shapes import unflatten

Frequency = Annotated[list[Index], Field(min_length=1, max_length=3)]
Bins = Annotated[int, Field(ge=1, le=1000)]
Grid = Annotated[list[Bins], Field(min_length=1, max_length=3)]


class Spectrum(nn.Module):
    """y_c = sum_hw a_chw D_u(h) D_v(w): the orthonormal DCT-II coefficient (u, v) of a, the adaptive mean of x to a grid.

    x_BSCHW -> y_BSC11. The channels are split into as many equal groups as there are frequencies, in the order written. A
    frequency and the grid have one number for each axis of the map's grid. The basis is computed at each call and is not in
    the state dict. Source: arXiv:2012.11879, equations 5 and 10.
    """

    def __init__(self, sizes: Sizes, frequencies: Sequence[Sequence[int]], grid: Sequence[int]) -> None:
        super().__init__()
        self.count, self.grid = len(frequencies), tuple(grid)
        per_axis = dict(zip(sizes.grid, zip(grid, zip(*frequencies, strict=True), strict=True), strict=True))
        # An axis that the data lack has one position: its mean, at frequency 0, is x.
        self.bases = [per_axis.get(axis, (1, (0,) * self.count)) for axis in sizes.spatial_axes]
        self.sizes = sizes.replace(dict.fromkeys(sizes.spatial_axes, 1))

    def forward(self, x_BSCHW: Tensor) -> Tensor:
        y = unflatten(x_BSCHW, 2, (self.count, -1))
        for bins, frequencies in reversed(self.bases):  # the last axis is contracted first
            y = einsum("bsfc...n,fn->bsfc...", y, _dct_of_means(frequencies, bins, y))
        return unflatten(y.flatten(2), 2, (-1, *(1 for _ in self.bases)))

    def macs(self, x: Tensor, y: Tensor) -> int:
        """Multiply-adds of the contractions, axis after axis."""
        shape = x.shape[3:]
        return sum(x.numel() // math.prod(shape[len(shape) - contracted :]) for contracted in range(len(shape)))

    def extra_repr(self) -> str:
        return f"{self.count} frequencies on {' x '.join(map(str, self.grid))}"


def _dct_of_means(frequencies: Sequence[int], bins: int, x: Tensor) -> Tensor:
    """The matrix (frequencies, size) that takes the last axis of x to DCT coefficients of its adaptive mean.

    D_u(i) = sqrt((1 if u = 0 else 2) / n) cos(pi u (i + 1/2) / n) for n bins.
    """
    dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
    n_N = torch.arange(bins, device=x.device, dtype=dtype)
    cosines_UN = torch.cos(math.pi / bins * n_N[:, None] * (n_N + 0.5)).unbind()
    dct_FN = torch.stack([cosines_UN[u] * math.sqrt((2 if u else 1) / bins) for u in frequencies])
    return (dct_FN @ _adaptive_mean(bins, x.shape[-1], n_N)).to(x.dtype)


def _adaptive_mean(bins: int, size: int, like: Tensor) -> Tensor:
    """The adaptive mean as a matrix (bins, size): bin i averages floor(i n / bins) up to ceil((i + 1) n / bins)."""
    position, i = torch.arange(size, device=like.device), torch.arange(bins, device=like.device)[:, None]
    is_inside = (position >= (i * size) // bins) & (position < ((i + 1) * size + bins - 1) // bins)
    weights = is_inside.to(like.dtype)
    return weights / weights.sum(1, keepdim=True)


@operator("spectrum")
def spectrum(
    sizes: Sizes,
    frequencies: Annotated[list[Frequency], Field(min_length=1)] | None = None,
    grid: Bins | Grid = 7,
) -> Spectrum:
    """DCT coefficients [[u, v], ...] of the adaptive mean to a grid; each of as many equal groups of channels has its own.

    Without frequencies every channel has the coefficient of zeros, which is its mean times a constant.
    """
    bins = [grid] * len(sizes.grid) if isinstance(grid, int) else grid
    frequencies = [[0] * len(sizes.grid)] if frequencies is None else frequencies
    for numbers, name in ((bins, "grid"), *((frequency, "frequency") for frequency in frequencies)):
        if len(numbers) != len(sizes.grid):
            raise InvalidValue(f"{name} {numbers} is not one number for each axis of the grid {sizes.grid}")
    exact_div("C of", sizes.number("C"), len(frequencies))
    for frequency in frequencies:
        if any(u >= n for u, n in zip(frequency, bins, strict=True)):
            raise InvalidValue(f"frequency {frequency} is beyond a grid of {' x '.join(map(str, bins))}")
    return Spectrum(sizes, frequencies, bins)
