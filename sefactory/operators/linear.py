"""Dense maps of named axes."""

import math
from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import Tensor, einsum, nn
from torch.nn import functional as F

from ..config.registry import operator
from ..config.schema import NoAxes, Real, Size
from ..errors import InvalidValue
from ..shapes import Sizes
from .parameters import broadcast_to_map, check_roles, default_mix, exact_div, init_parameter


class Linear(nn.Module):
    """y_o = sum_i w_oi x_i + b_o over the mixed axes; `each` axes have weights of their own, the rest share them.

    x_BSCHW -> y_BSCHW with `out` on the first mixed axis and 1 on the others. weight: (each..., out, in...), the first
    `in` divided by groups; bias: (each..., out).
    """

    def __init__(self, sizes: Sizes, out: int, mix: str, each: str, groups: int, bias: bool, start: float | None) -> None:
        super().__init__()
        first = sizes.number(mix[0]) if mix else 1
        inputs = (exact_div(f"{mix[0]} of", first, groups), *sizes.numbers(mix[1:])) if mix else ()
        exact_div("out", out, groups)
        fan_in = math.prod(inputs)
        self.mix, self.each, self.groups = mix, each, groups
        one = all(sizes[axis] == 1 for axis in sizes.spatial_axes)
        self.descriptors = mix == "C" and not each and groups == 1 and one  # of which a matrix product takes half the time
        self.weight = init_parameter((*sizes.numbers(each), out, *inputs), fan_in, start)
        self.bias = init_parameter((*sizes.numbers(each), out), fan_in, None if start is None else 0) if bias else None
        self.sizes = sizes.replace({axis: out if axis == mix[0] else 1 for axis in mix})

    def forward(self, x_BSCHW: Tensor) -> Tensor:
        if self.descriptors:
            y_BSC = F.linear(x_BSCHW.flatten(2), self.weight, self.bias)
            return y_BSC[(..., *[None] * (x_BSCHW.dim() - 3))]
        if self.mix == "C" and not self.each:
            weight = self.weight[..., None, None]
            x_NCHW = x_BSCHW.flatten(0, 1) if x_BSCHW.dim() == 5 else x_BSCHW.flatten(0, 1).flatten(2, 3)
            y_NCHW = F.conv2d(x_NCHW, weight, self.bias, groups=self.groups)
            if x_BSCHW.dim() > 5:
                y_NCHW = torch.unflatten(y_NCHW, 2, x_BSCHW.shape[3:5])
            return torch.unflatten(y_NCHW, 0, x_BSCHW.shape[:2])
        y_BSCHW = self._contract(x_BSCHW)
        if self.bias is None:
            return y_BSCHW
        if not self.mix:
            return y_BSCHW + broadcast_to_map(self.bias.squeeze(-1), self.each, self.sizes)
        return y_BSCHW + broadcast_to_map(self.bias, self.each + self.mix[0], self.sizes)

    def _contract(self, x_BSCHW: Tensor) -> Tensor:
        """The general case as one einsum: g counts the groups, o the outputs."""
        if not self.mix:
            return x_BSCHW * broadcast_to_map(self.weight.squeeze(-1), self.each, self.sizes)
        first, axes = self.mix[0], self.sizes.axes
        kept = [axis for axis in axes if axis == first or axis not in self.mix]
        x = torch.unflatten(x_BSCHW, self.sizes.dim(first), (self.groups, -1))
        weight = torch.unflatten(self.weight, len(self.each), (self.groups, -1))
        x_axes = "b" + "".join("g" + a if a == first else a for a in axes)
        y_axes = "b" + "".join("go" if a == first else a for a in kept)
        at = 1 + kept.index(first)
        y = einsum(f"{x_axes},{self.each}go{self.mix}->{y_axes}", x, weight).flatten(at, at + 1)
        for axis in sorted(self.mix[1:], key=axes.index):
            y = y.unsqueeze(self.sizes.dim(axis))
        return y

    def macs(self, x: Tensor, y: Tensor) -> int:
        """Multiply-adds: every output takes one for each of its inputs."""
        return y.numel() * math.prod(self.weight.shape[len(self.each) + 1 :])

    def extra_repr(self) -> str:
        return f"{tuple(self.weight.shape)}, mix={self.mix!r}, each={self.each!r}, groups={self.groups}"


def out_size(sizes: Sizes, out: int | None, mix: str, each: str) -> int:
    """The outputs of a learned map: as given, else as many as come in."""
    if mix:
        return sizes.number(mix[0]) if out is None else out
    if out not in (None, 1):
        meant = "groups: C instead of each: C" if "C" in each else "mix: C or mix: S"
        raise InvalidValue(f"out {out} has no axis to land on: nothing is mixed; write {meant}")
    return 1


@operator("linear")
def linear(
    sizes: Sizes,
    out: Size | None = None,
    mix: NoAxes | None = None,
    each: NoAxes = "",
    groups: Size = 1,
    bias: bool = False,
    start: Real | None = None,
) -> Linear:
    """Dense map of the mixed axis (default C), or of several together: the outputs land on the first, the others become 1.

    `each` axes have weights of their own, `groups` cuts the first mixed axis. `start` fills the weights with a constant,
    and the terms with 0.
    """
    mix = default_mix(sizes, mix, each)
    check_roles({"mix": mix, "each": each})
    return Linear(sizes, out_size(sizes, out, mix, each), mix, each, groups, bias, start)


Activation = Literal["relu", "relu6", "silu", "gelu", "hard_swish", "tanh"]
_MODULES: tuple[Callable[[], nn.Module], ...] = (nn.ReLU, nn.ReLU6, nn.SiLU, nn.GELU, nn.Hardswish, nn.Tanh)
ACTIVATIONS = dict(zip(get_args(Activation), _MODULES, strict=True))


@operator("mlp")
def mlp(sizes: Sizes, hidden: Size, bias: bool = False, activation: Activation = "relu") -> nn.Sequential:
    """w2 f(w1 x + b1) + b2 over C, back to the incoming width, f the activation (arXiv:1709.01507, equation 3)."""
    down = linear(sizes, out=hidden, mix="C", bias=bias)
    return nn.Sequential(down, ACTIVATIONS[activation](), linear(down.sizes, out=sizes.number("C"), mix="C", bias=bias))
