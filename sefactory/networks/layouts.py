"""Layouts of feature maps: channels first, channels last, and tokens. A block takes channels first."""

from dataclasses import dataclass
from math import isqrt, prod
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..errors import ConfigError
from ..shapes import Shape

LayoutName = Literal["BCHW", "BHWC", "BNC"]


@dataclass(frozen=True)
class Layout:
    """How a network stores the map at a place.

    `BCHW`: channels first, in any number of dimensions. `BHWC`: channels last. `BNC`: tokens, of which the first `tokens`
    (class and register tokens) are no part of the grid and pass unchanged; `grid` is the grid of the others in the traced
    forward pass, (H, W) or (D, H, W).
    """

    name: LayoutName = "BCHW"
    tokens: int = 0
    grid: tuple[int, ...] = ()

    def map_shape(self, shape: Shape) -> Shape:
        """The shape of the map with channels first."""
        if self.name == "BHWC":
            return (shape[0], shape[-1], *shape[1:-1])
        return (shape[0], shape[-1], *self.grid) if self.name == "BNC" else shape

    def apply(self, block: nn.Module, x: Tensor, *more: Tensor) -> Any:
        """block(x, *more) on maps with channels first; the result has the layout and the extra tokens of the last one."""
        if self.name == "BCHW":
            return block(x, *more)
        y_BCHW = block(*(self.to_map(t) for t in (x, *more)))
        if self.name == "BHWC":
            return y_BCHW.movedim(1, -1)
        y_BNC = y_BCHW.flatten(2).transpose(1, 2)
        return torch.cat([(more or (x,))[-1][:, : self.tokens], y_BNC], 1) if self.tokens else y_BNC

    def to_map(self, x: Tensor) -> Tensor:
        """The map with channels first, as a view. Raises ConfigError for a number of tokens that fits no grid."""
        if self.name == "BHWC":
            return x.movedim(-1, 1)
        grid = self.grid_of(x.shape[1] - self.tokens)
        return torch.unflatten(x[:, self.tokens :].transpose(1, 2), 2, grid)

    def grid_of(self, count: int) -> tuple[int, ...]:
        """The grid of `count` tokens: that of the traced pass, or one with the same ratio of its sides."""
        if count == prod(self.grid):
            return self.grid
        if len(self.grid) == 2 and (grid := grid_of_ratio(count, *self.grid)):
            return grid
        traced = "x".join(map(str, self.grid))
        message = f"{count} tokens do not fit a grid with the sides {traced} of the traced forward pass"
        raise ConfigError([("tokens", f"{message}; insert the block with an example of this size")])


CHANNELS_FIRST = Layout()


def grid_of_ratio(count: int, height: int, width: int) -> tuple[int, int] | None:
    """(h, w) with h w = count and h / w = height / width; None if there is no such grid.

    >>> grid_of_ratio(24, 8, 12), grid_of_ratio(25, 8, 12), grid_of_ratio(-1, 8, 12)
    ((4, 6), None, None)
    """
    h = isqrt(count * height // width) if count > 0 else 0
    return (h, count // h) if h and count % h == 0 and h * width == count // h * height else None
