"""The neighbourhood of every position as parallel maps."""

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..config.registry import operator
from ..config.schema import Axes, Size
from ..errors import InvalidValue
from ..shapes import Sizes

MAX_NEIGHBOURS = 10_000


class Unfold(nn.Module):
    """y_(o, s) = x_s shifted by the offset o, for all offsets of a neighbourhood; zeros outside of the map.

    x_BSCHW -> y_BSCHW with S multiplied by kernel^n for n axes: all maps at the first offset, then all at the second, ...
    The offsets are in the order of torch.nn.Unfold, the last axis fastest. A product with y and a sum over S is a dynamic
    filter.
    """

    def __init__(self, sizes: Sizes, over: str, kernel: int) -> None:
        super().__init__()
        self.dims, self.kernel = sizes.dims(over), kernel
        self.sizes = sizes.replace({"S": sizes.number("S") * kernel ** len(over)})
        self.padding = [kernel // 2 if axis in over else 0 for axis in reversed(sizes.axes) for _ in range(2)]

    def forward(self, x_BSCHW: Tensor) -> Tensor:
        padded = F.pad(x_BSCHW, self.padding)
        shifted_maps = []
        for offsets in itertools.product(range(self.kernel), repeat=len(self.dims)):
            shifted = padded
            for dim, offset in zip(self.dims, offsets, strict=True):
                shifted = shifted.narrow(dim, offset, x_BSCHW.shape[dim])
            shifted_maps.append(shifted)
        return torch.cat(shifted_maps, dim=1)

    def extra_repr(self) -> str:
        return f"dims={self.dims}, kernel={self.kernel}"


@operator("unfold")
def unfold(sizes: Sizes, over: Axes = "grid", kernel: Size = 3) -> Unfold:
    """The kernel^n neighbours of every position along n axes, as maps on S; zeros outside of the map."""
    if kernel % 2 == 0:
        raise InvalidValue(f"kernel {kernel} is even: a neighbourhood has a centre, so write an odd number")
    if "S" in over:
        raise InvalidValue("over S: the neighbours are placed on S, so write other axes")
    if kernel ** len(over) > MAX_NEIGHBOURS:
        raise InvalidValue(
            f"kernel {kernel} over {over} would place {kernel ** len(over):,} maps on S; at most {MAX_NEIGHBOURS:,}"
        )
    return Unfold(sizes, over, kernel)
