"""Elementwise operators: activations, softmax, fixed and learned scales, dropout."""

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
    """y = f(x) for a function of torch, given by its name."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def forward(self, x_BSCHW: Tensor) -> Tensor:
        y: Tensor = getattr(torch, self.name)(x_BSCHW)
        return y

    def extra_repr(self) -> str:
        return self.name


def _register(name: str, module: Callable[[], nn.Module], formula: str) -> None:
    """Registers an operator without parameters whose module is one of torch."""

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
_register("gelu", nn.GELU, "x Phi(x), exact, not the tanh approximation")
_register("hard_swish", nn.Hardswish, "x relu6(x + 3) / 6")
_register("softplus", nn.Softplus, "log(1 + exp(x))")
_register("abs", partial(Elementwise, "abs"), "|x|")
_register("square", partial(Elementwise, "square"), "x^2")
_register("sqrt", partial(Elementwise, "sqrt"), "sqrt(x), x >= 0")
_register("exp", partial(Elementwise, "exp"), "exp(x)")
_register("log", partial(Elementwise, "log"), "log(x), x > 0")
_register("identity", nn.Identity, "x")


class Softmax(nn.Module):
    """y = exp(x) / sum exp(x), the sum over one or several axes together."""

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
    """Softmax over the named axes together: weights that sum to one."""
    if sizes.has_unit_axes(over):
        raise InvalidValue(f"over {over} of size 1 it would be 1 everywhere; the sizes (S x C x H x W) are {sizes}")
    return Softmax(sizes.dims(over))


class Gain(nn.Module):
    """y = w x + b with one w and b for each index of the `each` axes. weight, bias: (each...)."""

    def __init__(self, sizes: Sizes, each: str, bias: bool, start: float, bias_start: float) -> None:
        super().__init__()
        self.each, self.input_sizes = each, sizes
        self.weight = init_parameter(sizes.numbers(each), start=start)
        self.bias = init_parameter(sizes.numbers(each), start=bias_start) if bias else None

    def forward(self, x_BSCHW: Tensor) -> Tensor:
        y = x_BSCHW * broadcast_to_map(self.weight, self.each, self.input_sizes)
        return y if self.bias is None else y + broadcast_to_map(self.bias, self.each, self.input_sizes)

    def extra_repr(self) -> str:
        return f"{tuple(self.weight.shape)}, each={self.each!r}"


@operator("gain")
def gain(sizes: Sizes, each: NoAxes = "", bias: bool = False, start: Real = 0, bias_start: Real = 0) -> Gain:
    """Learned scale w x, or w x + b with `bias`, for each index of the named axes; the other axes share it.

    The initial scale is `start`, the initial bias `bias_start`.
    """
    return Gain(sizes, each, bias, start, bias_start)


class Affine(nn.Module):
    """y = scale x + shift with fixed numbers."""

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
    """y = min(max(x, low), high); a bound that is None is left out."""

    def __init__(self, low: float | None, high: float | None) -> None:
        super().__init__()
        self.low, self.high = low, high

    def forward(self, x_BSCHW: Tensor) -> Tensor:
        return x_BSCHW.clamp(self.low, self.high)

    def extra_repr(self) -> str:
        return f"min={self.low}, max={self.high}"


@operator("clamp")
def clamp(sizes: Sizes, min: Real | None = None, max: Real | None = None) -> Clamp:
    """x limited to the range from `min` to `max`; one of the two may be left out."""
    if min is None and max is None:
        raise InvalidValue("needs min, max or both")
    if min is not None and max is not None and min > max:
        raise InvalidValue(f"min {min:g} is above max {max:g}")
    return Clamp(min, max)


class Dropout(nn.Module):
    """y = x m / (1 - p) in training, m = 0 with probability p and else 1, one m along all of `dims`; y = x in eval mode."""

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
    """Dropout with probability p; axes of `over` are dropped as a whole (`over: HW` drops channels, as nn.Dropout2d does)."""
    return Dropout(p, sizes.dims(over))
