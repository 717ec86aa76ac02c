"""Element by element: activations, gates, fixed and learned factors."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..axes import Sizes
from ..errors import Refused
from ..registry import operator
from ..schema import Axes, NoAxes, Real
from .weights import learned, spread


def _register(name: str, module: Callable[[], nn.Module], formula: str) -> None:
    """An operator without parameters from a torch module."""

    def make(sizes: Sizes) -> nn.Module:
        return module()

    make.__doc__, make.__qualname__ = formula, name
    operator(name)(make)


_register("sigmoid", nn.Sigmoid, "1 / (1 + exp(-x))")
_register("hard_sigmoid", nn.Hardsigmoid, "relu6(x + 3) / 6")
_register("tanh", nn.Tanh, "tanh(x)")
_register("relu", nn.ReLU, "max(x, 0)")
_register("relu6", nn.ReLU6, "min(max(x, 0), 6)")
_register("silu", nn.SiLU, "x / (1 + exp(-x))")
_register("gelu", nn.GELU, "x Phi(x), exact")
_register("hard_swish", nn.Hardswish, "x relu6(x + 3) / 6")
_register("identity", nn.Identity, "x")


class Softmax(nn.Module):
    """exp(x) / sum exp(x) over some axes together."""

    def __init__(self, dims: tuple[int, ...]) -> None:
        super().__init__()
        self.dims = dims

    def forward(self, x_BSCHW: Tensor) -> Tensor:
        if len(self.dims) == 1:
            return x_BSCHW.softmax(self.dims[0])
        return torch.exp(x_BSCHW - x_BSCHW.logsumexp(self.dims, keepdim=True))

    def extra_repr(self) -> str:
        return f"dims={self.dims}"


@operator("softmax")
def softmax(sizes: Sizes, over: Axes) -> Softmax:
    """Weights that sum to one over the axes."""
    if sizes.flat(over):
        raise Refused(f"over {over} of size 1 it would be 1 everywhere; the sizes (S x C x H x W) are {sizes}")
    return Softmax(sizes.dims(over))


class Gain(nn.Module):
    """w x + b, one w (and b) for each index of the `each` axes. weight, bias: (each...)."""

    def __init__(self, sizes: Sizes, each: str, bias: bool, start: float) -> None:
        super().__init__()
        self.each, self.map_sizes = each, sizes
        self.weight = learned(sizes.numbers(each), start=start)
        self.bias = learned(sizes.numbers(each), start=0) if bias else None

    def forward(self, x_BSCHW: Tensor) -> Tensor:
        y = x_BSCHW * spread(self.weight, self.each, self.map_sizes)
        return y if self.bias is None else y + spread(self.bias, self.each, self.map_sizes)

    def extra_repr(self) -> str:
        return f"{tuple(self.weight.shape)}, each={self.each!r}"


@operator("gain")
def gain(sizes: Sizes, each: NoAxes = "", bias: bool = False, start: Real = 0) -> Gain:
    """Learned factor (and term) for each index of the named axes, shared along the rest; the factor begins at `start`."""
    return Gain(sizes, each, bias, start)


class Affine(nn.Module):
    """scale x + shift, fixed."""

    def __init__(self, scale: float, shift: float) -> None:
        super().__init__()
        self.scale, self.shift = scale, shift

    def forward(self, x_BSCHW: Tensor) -> Tensor:
        return x_BSCHW * self.scale + self.shift

    def extra_repr(self) -> str:
        return f"scale={self.scale}, shift={self.shift}"


@operator("affine")
def affine(sizes: Sizes, scale: Real = 1, shift: Real = 0) -> Affine:
    """scale x + shift with fixed numbers."""
    return Affine(scale, shift)
