"""Frequencies of a map as descriptors."""

import math
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, einsum, nn

from ..axes import Sizes
from ..errors import Refused
from ..registry import operator
from ..schema import Index
from .weights import divide

Pair = Annotated[list[Index], Field(min_length=2, max_length=2)]
Bins = Annotated[int, Field(ge=1, le=1000)]
BinPair = Annotated[list[Bins], Field(min_length=2, max_length=2)]


class Spectrum(nn.Module):
    """y_c = sum_hw a_chw D_u(h) D_v(w), a the adaptive mean of the map to a grid: an orthonormal DCT-II coefficient (u, v).

    x_BSCHW -> y_BSC11; the channels are cut into as many equal groups as there are frequencies, in the order written.
    The basis is computed at each call, so nothing of it is in the state (arXiv:2012.11879, equations 5 and 10).
    """

    def __init__(self, sizes: Sizes, frequencies: list[list[int]], grid: tuple[int, int]) -> None:
        super().__init__()
        self.rows, self.columns = [u for u, _ in frequencies], [v for _, v in frequencies]
        self.grid = grid
        self.sizes = sizes.replace({"H": 1, "W": 1})

    def forward(self, x_BSCHW: Tensor) -> Tensor:
        x_BSFCHW = torch.unflatten(x_BSCHW, 2, (len(self.rows), -1))
        rows_FH = _basis(self.rows, self.grid[0], x_BSCHW, dim=-2)
        columns_FW = _basis(self.columns, self.grid[1], x_BSCHW, dim=-1)
        x_BSFCH = einsum("bsfchw,fw->bsfch", x_BSFCHW, columns_FW)
        return einsum("bsfch,fh->bsfc", x_BSFCH, rows_FH).flatten(2)[..., None, None]

    def macs(self, x: Tensor, y: Tensor) -> int:
        """Multiply-adds of the two contractions."""
        return x.numel() + x.numel() // x.shape[-1]

    def extra_repr(self) -> str:
        return f"{len(self.rows)} frequencies on {self.grid[0]} x {self.grid[1]}"


def _basis(frequencies: list[int], bins: int, x: Tensor, dim: int) -> Tensor:
    """D_u of the adaptive means, on the positions themselves: (frequencies, size), in the dtype of x."""
    dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
    n_N = torch.arange(bins, device=x.device, dtype=dtype)
    cosines_UN = torch.cos(math.pi / bins * n_N[:, None] * (n_N + 0.5)).unbind()
    # D_u(i) = sqrt((1 if u = 0 else 2) / n) cos(pi u (i + 1/2) / n)
    chosen_FN = torch.stack([cosines_UN[u] * math.sqrt((2 if u else 1) / bins) for u in frequencies])
    return (chosen_FN @ _means(bins, x.shape[dim], n_N)).to(x.dtype)


def _means(bins: int, size: int, like: Tensor) -> Tensor:
    """The adaptive mean as a matrix (bins, size): bin i averages floor(i n / bins) up to ceil((i + 1) n / bins)."""
    at, i = torch.arange(size, device=like.device), torch.arange(bins, device=like.device)[:, None]
    inside = (at >= (i * size) // bins) & (at < ((i + 1) * size + bins - 1) // bins)
    weights = inside.to(like.dtype)
    return weights / weights.sum(1, keepdim=True)


@operator("spectrum")
def spectrum(
    sizes: Sizes,
    frequencies: Annotated[list[Pair], Field(min_length=1)] = [[0, 0]],  # noqa: B006  (read only)
    grid: Bins | BinPair = 7,
) -> Spectrum:
    """DCT coefficients [[u, v], ...] of the adaptive mean to a grid, one for each of as many equal groups of channels."""
    divide("C of", sizes.number("C"), len(frequencies))
    height, width = (grid, grid) if isinstance(grid, int) else grid
    for u, v in frequencies:
        if u >= height or v >= width:
            raise Refused(f"frequency [{u}, {v}] is beyond a grid of {height} x {width}")
    return Spectrum(sizes, frequencies, (height, width))
