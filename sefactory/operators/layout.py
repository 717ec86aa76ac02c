"""Moving what is there: parts of an axis, C to S and back."""

import torch
from torch import Tensor, nn

from ..axes import Sizes
from ..errors import Refused
from ..registry import operator
from ..schema import Axes, Index, Size
from .weights import divide


class Slice(nn.Module):
    """x[start:stop] along one axis."""

    def __init__(self, sizes: Sizes, axis: str, start: int, stop: int) -> None:
        super().__init__()
        self.dim, self.start, self.length = sizes.dim(axis), start, stop - start
        self.sizes = sizes.replace({axis: stop - start})

    def forward(self, x_BSCHW: Tensor) -> Tensor:
        return x_BSCHW.narrow(self.dim, self.start, self.length)

    def extra_repr(self) -> str:
        return f"dim={self.dim}, {self.start}:{self.start + self.length}"


@operator("slice")
def slice_(sizes: Sizes, start: Index = 0, stop: Size | None = None, over: Axes = "C") -> Slice:
    """The part [start, stop) of one axis (default C)."""
    if len(over) != 1:
        raise Refused(f"over {over}: a slice is taken of one axis")
    size = sizes.number(over)
    stop = size if stop is None else stop
    if not start < stop <= size:
        raise Refused(f"[{start}, {stop}) is not inside {over} of {size}")
    return Slice(sizes, over, start, stop)


class Stack(nn.Module):
    """C to S: each of `groups` groups of channels is cut into `parts`; the p-th parts of all groups make the p-th map."""

    def __init__(self, sizes: Sizes, parts: int, groups: int) -> None:
        super().__init__()
        channels = sizes.number("C")
        self.parts, self.groups = parts, groups
        self.sizes = sizes.replace({"S": parts, "C": divide("C of", channels, parts * groups) * groups})

    def forward(self, x_B1CHW: Tensor) -> Tensor:
        x_BGSCHW = torch.unflatten(x_B1CHW.squeeze(1), 1, (self.groups, self.parts, -1))
        return x_BGSCHW.transpose(1, 2).flatten(2, 3)

    def extra_repr(self) -> str:
        return f"parts={self.parts}, groups={self.groups}"


@operator("stack")
def stack(sizes: Sizes, parts: Size = 2, groups: Size = 1) -> Stack:
    """Cuts C into `parts` maps side by side on S (within each of `groups` groups). Needs S = 1."""
    if sizes["S"] != 1:
        raise Refused(f"needs S = 1, and S holds {sizes['S']} maps")
    return Stack(sizes, parts, groups)


class Unstack(nn.Module):
    """S to C, the inverse of Stack with the same groups."""

    def __init__(self, sizes: Sizes, groups: int) -> None:
        super().__init__()
        divide("C of", sizes.number("C"), groups)
        self.groups = groups
        self.sizes = sizes.replace({"S": 1, "C": sizes.number("S") * sizes.number("C")})

    def forward(self, x_BSCHW: Tensor) -> Tensor:
        x_BGSCHW = torch.unflatten(x_BSCHW, 2, (self.groups, -1)).transpose(1, 2)
        return x_BGSCHW.flatten(1, 3).unsqueeze(1)

    def extra_repr(self) -> str:
        return f"groups={self.groups}"


@operator("unstack")
def unstack(sizes: Sizes, groups: Size = 1) -> Unstack:
    """Lays the maps on S end to end on C (within each of `groups` groups), the inverse of `stack`."""
    return Unstack(sizes, groups)
