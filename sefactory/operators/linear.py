"""Linear layers over named axes."""

import math
from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import Tensor, einsum, nn
from torch.nn import functional as F

from ..config.registry import operator
from ..config.schema import NoAxes, Real, Size
from ..errors import InvalidValue
from ..kernels.dispatch import under_inductor
from ..shapes import Sizes
from .parameters import broadcast_to_map, check_roles, default_mix, exact_div, init_parameter
from .traced_shapes import unflatten


class Linear(nn.Module):
    """y_o = sum_i w_oi x_i + b_o over the mixed axes; each index of `each` has its own weights, the other axes share them.

    x_BSCHW -> y_BSCHW with `out` on the first mixed axis and 1 on the others. weight: (each..., out, in...), the first
    `in` divided by groups; bias: (each..., out).
    """

    def __init__(self, sizes: Sizes, out: int, mix: str, each: str, groups: int, bias: bool, start: float | None) -> None:
        super().__init__()
        inputs = (exact_div(f"{mix[0]} of", sizes.number(mix[0]), groups), *sizes.numbers(mix[1:])) if mix else ()
        exact_div("out", out, groups)
        fan_in = math.prod(inputs)
        self.mix, self.each, self.groups = mix, each, groups
        has_one_position = all(sizes[axis] == 1 for axis in sizes.spatial_axes)
        self.is_matmul = mix == "C" and not each and groups == 1 and has_one_position
        self.weight = init_parameter((*sizes.numbers(each), out, *inputs), fan_in, start)
        self.bias = init_parameter((*sizes.numbers(each), out), fan_in, None if start is None else 0) if bias else None
        self.sizes = sizes.replace({axis: out if axis == mix[0] else 1 for axis in mix})

    def forward(self, x_BSCHW: Tensor) -> Tensor:
        if self.is_matmul:
            y_BSC = F.linear(x_BSCHW.flatten(2), self.weight, self.bias)
            return y_BSC[(..., *[None] * (x_BSCHW.dim() - 3))]
        if self.mix == "C" and not self.each:
            compiled_for_cpu = under_inductor() and x_BSCHW.device.type == "cpu"
            return self._matmul(x_BSCHW) if compiled_for_cpu and self.groups == 1 else self._conv1x1(x_BSCHW)
        y_BSCHW = self._einsum(x_BSCHW)
        if self.bias is None:
            return y_BSCHW
        bias = self.bias if self.mix else self.bias.squeeze(-1)
        return y_BSCHW + broadcast_to_map(bias, self.each + self.mix[:1], self.sizes)

    def _conv1x1(self, x_BSCHW: Tensor) -> Tensor:
        x_NCHW = x_BSCHW.flatten(0, 1) if x_BSCHW.dim() == 5 else x_BSCHW.flatten(0, 1).flatten(2, 3)
        y_NCHW = F.conv2d(x_NCHW, self.weight[..., None, None], self.bias, groups=self.groups)
        if x_BSCHW.dim() > 5:
            y_NCHW = unflatten(y_NCHW, 2, x_BSCHW.shape[3:5])
        return unflatten(y_NCHW, 0, x_BSCHW.shape[:2])

    def _matmul(self, x_BSCHW: Tensor) -> Tensor:
        """The same as a matrix product. On a CPU inductor puts channels last in all maps if it sees a convolution."""
        x_NCT = x_BSCHW.flatten(0, 1).flatten(2)
        # with gradients matmul would copy x to move its batch into the columns, if the weight had no batch
        weight = self.weight.expand(x_NCT.shape[0], -1, -1) if torch.is_grad_enabled() else self.weight
        y_NCT = weight @ x_NCT
        y_NCT = y_NCT if self.bias is None else y_NCT + self.bias[:, None]
        return y_NCT.reshape(*x_BSCHW.shape[:2], self.weight.shape[0], *x_BSCHW.shape[3:])

    def _einsum(self, x_BSCHW: Tensor) -> Tensor:
        """The general case without the bias, as one einsum: g are the groups, o the outputs."""
        if not self.mix:
            return x_BSCHW * broadcast_to_map(self.weight.squeeze(-1), self.each, self.sizes)
        first, axes = self.mix[0], self.sizes.axes
        kept = [axis for axis in axes if axis == first or axis not in self.mix]
        x = unflatten(x_BSCHW, self.sizes.dim(first), (self.groups, -1))
        weight = unflatten(self.weight, len(self.each), (self.groups, -1))
        x_axes = "b" + "".join("g" + a if a == first else a for a in axes)
        y_axes = "b" + "".join("go" if a == first else a for a in kept)
        dim = 1 + kept.index(first)
        y = einsum(f"{x_axes},{self.each}go{self.mix}->{y_axes}", x, weight).flatten(dim, dim + 1)
        for axis in sorted(self.mix[1:], key=axes.index):
            y = y.unsqueeze(self.sizes.dim(axis))
        return y

    def macs(self, x: Tensor, y: Tensor) -> int:
        """Multiply-adds: one for each input of every output."""
        return y.numel() * math.prod(self.weight.shape[len(self.each) + 1 :])

    def extra_repr(self) -> str:
        return f"{tuple(self.weight.shape)}, mix={self.mix!r}, each={self.each!r}, groups={self.groups}"


def out_size(sizes: Sizes, out: int | None, mix: str, each: str) -> int:
    """Returns the number of outputs: `out` if it is given, else the number of inputs.

    Raises InvalidValue for outputs without a mixed axis.
    """
    if mix:
        return sizes.number(mix[0]) if out is None else out
    if out not in (None, 1):
        cure = "groups: C instead of each: C" if "C" in each else "mix: C or mix: S"
        raise InvalidValue(f"out {out} needs a mixed axis, and nothing is mixed; write {cure}")
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
    """Linear layer over the mixed axis (default C), or over several at once: the first gets `out`, the others become 1.

    Each index of the `each` axes has its own weights. `groups` splits the first mixed axis. `start` is the initial value of
    all weights; the bias then starts at 0.
    """
    mix = default_mix(sizes, mix, each)
    check_roles({"mix": mix, "each": each})
    return Linear(sizes, out_size(sizes, out, mix, each), mix, each, groups, bias, start)


Activation = Literal["relu", "relu6", "silu", "gelu", "hard_swish", "tanh"]
_MODULES: tuple[Callable[[], nn.Module], ...] = (nn.ReLU, nn.ReLU6, nn.SiLU, nn.GELU, nn.Hardswish, nn.Tanh)
ACTIVATIONS = dict(zip(get_args(Activation), _MODULES, strict=True))


@operator("mlp")
def mlp(sizes: Sizes, hidden: Size, bias: bool = False, activation: Activation = "relu") -> nn.Sequential:
    """w2 f(w1 x + b1) + b2 over C with `hidden` channels between and the activation f (arXiv:1709.01507, equation 3)."""
    first = linear(sizes, out=hidden, mix="C", bias=bias)
    return nn.Sequential(first, ACTIVATIONS[activation](), linear(first.sizes, out=sizes.number("C"), mix="C", bias=bias))
