"""Element by element: activations, gates, fixed and learned factors."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..config.registry import operator
from ..config.schema import Axes, Fraction, NoAxes, Real
from ..errors import InvalidValue
from ..shapes import Sizes
from .parameters import broadcast_to_map, init_parameter


class Elementwise(nn.Module):
    """A function of torch, by its name."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def forward(self, x_BSCHW: Tensor) -> Tensor:
        y: Tensor = getattr(torch, self.name)(x_BSCHW)
        return y

    def extra_repr(self) -> str:
        return self.name


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
_register("softplus", nn.Softplus, "log(1 + exp(x))")
_register("abs", partial(Elementwise, "abs"), "|x|")
_register("square", partial(Elementwise, "square"), "x^2")
_register("sqrt", partial(Elementwise, "sqrt"), "sqrt(x), of values from 0")
_register("exp", partial(Elementwise, "exp"), "exp(x)")
_register("log", partial(Elementwise, "log"), "log(x), of values above 0")
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
    if sizes.has_unit_axes(over):
        raise InvalidValue(f"over {over} of size 1 it would be 1 everywhere; the sizes (S x C x H x W) are {sizes}")
    return Softmax(sizes.dims(over))


class Gain(nn.Module):
    """w x + b, one w (and b) for each index of the `each` axes. weight, bias: (each...)."""

    def __init__(self, sizes: Sizes, each: str, bias: bool, start: float, bias_start: float) -> None:
        super().__init__()
        self.each, self.map_sizes = each, sizes
        self.weight = init_parameter(sizes.numbers(each), start=start)
        self.bias = init_parameter(sizes.numbers(each), start=bias_start) if bias else None

    def forward(self, x_BSCHW: Tensor) -> Tensor:
        y = x_BSCHW * broadcast_to_map(self.weight, self.each, self.map_sizes)
        return y if self.bias is None else y + broadcast_to_map(self.bias, self.each, self.map_sizes)

    def extra_repr(self) -> str:
        return f"{tuple(self.weight.shape)}, each={self.each!r}"


@operator("gain")
def gain(sizes: Sizes, each: NoAxes = "", bias: bool = False, start: Real = 0, bias_start: Real = 0) -> Gain:
    """Learned factor (and term) for each index of the named axes, shared along the rest.

    The factor begins at `start`, the term at `bias_start`.
    """
    return Gain(sizes, each, bias, start, bias_start)


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


class Clamp(nn.Module):
    """min(max(x, low), high), each bound where there is one."""

    def __init__(self, low: float | None, high: float | None) -> None:
        super().__init__()
        self.low, self.high = low, high

    def forward(self, x_BSCHW: Tensor) -> Tensor:
        return x_BSCHW.clamp(self.low, self.high)

    def extra_repr(self) -> str:
        return f"min={self.low}, max={self.high}"


@operator("clamp")
def clamp(sizes: Sizes, min: Real | None = None, max: Real | None = None) -> Clamp:
    """x, but at least `min` and at most `max`; at least one of them is given."""
    if min is None and max is None:
        raise InvalidValue("needs min, max or both")
    if min is not None and max is not None and min > max:
        raise InvalidValue(f"min {min:g} is above max {max:g}")
    return Clamp(min, max)


class Dropout(nn.Module):
    """In training x m / (1 - p), m = 0 with probability p and else 1, one m along all of `dims`; in eval x."""

    def __init__(self, p: float, dims: tuple[int, ...]) -> None:
        super().__init__()
        self.p, self.dims = p, dims

    def forward(self, x_BSCHW: Tensor) -> Tensor:
        if not self.training:
            return x_BSCHW
        shape = [1 if dim in self.dims else size for dim, size in enumerate(x_BSCHW.shape)]
        return x_BSCHW * F.dropout(x_BSCHW.new_ones(shape), self.p)

    def extra_repr(self) -> str:
        return f"p={self.p}, dims={self.dims}"


@operator("dropout")
def dropout(sizes: Sizes, p: Fraction = 0.1, over: NoAxes = "") -> Dropout:
    """Zeros with probability p in training, whole axes together (`over: HW` drops channels, as Dropout2d does); x in eval."""
    return Dropout(p, sizes.dims(over))
