"""Every position's surroundings as data."""

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..config.registry import operator
from ..config.schema import Axes, Size
from ..errors import InvalidValue
from ..shapes import Sizes

MOST = 10_000


class Unfold(nn.Module):
    """y_(o, s) = x_s shifted by the offset o: the neighbourhood of every position side by side on S, zeros outside.

    x_BSCHW -> y_BSCHW with S multiplied by kernel^n; the first offset over all maps, then the second, ... The offsets
    run as in torch's unfold: the last axis fastest. A dynamic filter is a product with it and a sum over S.
    """

    def __init__(self, sizes: Sizes, over: str, kernel: int) -> None:
        super().__init__()
        self.dims, self.kernel = sizes.dims(over), kernel
        self.sizes = sizes.replace({"S": sizes.number("S") * kernel ** len(over)})
        around = dict.fromkeys(over, kernel // 2)
        self.padding = [n for axis in reversed(sizes.axes) for n in 2 * [around.get(axis, 0)]]

    def forward(self, x_BSCHW: Tensor) -> Tensor:
        padded = F.pad(x_BSCHW, self.padding)
        parts = []
        for offsets in itertools.product(range(self.kernel), repeat=len(self.dims)):
            part = padded
            for dim, offset in zip(self.dims, offsets, strict=True):
                part = part.narrow(dim, offset, x_BSCHW.shape[dim])
            parts.append(part)
        return torch.cat(parts, dim=1)

    def extra_repr(self) -> str:
        return f"dims={self.dims}, kernel={self.kernel}"


@operator("unfold")
def unfold(sizes: Sizes, over: Axes = "grid", kernel: Size = 3) -> Unfold:
    """The neighbourhood of every position along the axes, kernel^n of them side by side on S, zeros outside."""
    if kernel % 2 == 0:
        raise InvalidValue(f"kernel {kernel} is even: a neighbourhood has a centre")
    if "S" in over:
        raise InvalidValue("over S: the neighbourhood itself is laid on S")
    if kernel ** len(over) > MOST:
        raise InvalidValue(f"kernel {kernel} over {over} would lay {kernel ** len(over):,} maps on S; at most {MOST:,}")
    return Unfold(sizes, over, kernel)
