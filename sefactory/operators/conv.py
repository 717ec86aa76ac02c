"""Windows along named axes."""

import math
from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from ..config.registry import operator
from ..config.schema import Axes, NoAxes, Real, Size
from ..errors import InvalidValue
from ..shapes import Dim, Sizes, broadcast, ceil_div
from .linear import out_size
from .parameters import check_roles, default_mix, exact_div, init_parameter, inverse_permutation

CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
MOST_PADDING = 10_000
Mode = Literal["zeros", "circular", "reflect", "replicate"]
Padding = Annotated[int, Field(ge=0, le=MOST_PADDING)]


class Conv(nn.Module):
    """A window along some axes, dense over the mixed ones, with weights of their own for `each`.

    x_BSCHW -> y_BSCHW: `out` on the first mixed axis, 1 on the others, `reached` along the window.
    weight: (each..., out, in..., kernel...), the first `in` divided by groups; bias: (each..., out).
    Outside are `padding` zeros on both sides of each window axis, or what `mode` finds there.
    """

    def __init__(
        self,
        sizes: Sizes,
        kernel: Sequence[int],
        along: str,
        mix: str,
        each: str,
        out: int,
        *,
        padding: Sequence[int],
        mode: Mode = "zeros",
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = False,
        start: float | None = None,
    ) -> None:
        super().__init__()
        inputs = (exact_div(f"{mix[0]} of", sizes.number(mix[0]), groups), *sizes.numbers(mix[1:])) if mix else ()
        exact_div("out", out, groups)
        self.stride, self.dilation, self.padding, self.mode = stride, dilation, tuple(padding), mode
        self.along, self.mix, self.each = along, mix, each
        self.groups = groups * math.prod(sizes.numbers(each))
        changed: dict[str, Dim] = {axis: out if axis == mix[0] else 1 for axis in mix}
        for axis, k, p in zip(along, kernel, padding, strict=True):
            changed[axis] = reached(sizes, axis, k, p, stride, dilation)
        self.sizes = sizes.replace(changed)
        fan_in = math.prod(inputs) * math.prod(kernel)
        self.weight = init_parameter((*sizes.numbers(each), out, *inputs, *kernel), fan_in, start)
        self.bias = init_parameter((*sizes.numbers(each), out), fan_in, None if start is None else 0) if bias else None
        self.channels = self.sizes.numbers(each + mix)
        self.batch_axes = sizes.axes_except(along, mix, each)
        self.order = (0, *sizes.dims(self.batch_axes + each + mix + along))
        self.back = inverse_permutation(self.order)

    def forward(self, x_BSCHW: Tensor) -> Tensor:
        x = x_BSCHW.permute(self.order)
        lead, window = 1 + len(self.batch_axes), x.shape[-len(self.along) :]
        flat = x.reshape(math.prod(x.shape[:lead]), math.prod(x.shape[lead : x.dim() - len(window)]), *window)
        weight = self.weight.flatten(0, len(self.each))
        weight = weight.reshape(weight.shape[0], -1, *weight.shape[weight.dim() - len(window) :])
        convolve = CONVOLUTIONS[len(window)]
        bias = None if self.bias is None else self.bias.flatten()
        padding = self.padding
        if self.mode != "zeros":
            flat, padding = bordered(flat, padding, self.mode), (0,) * len(window)
        y = convolve(flat, weight, bias, self.stride, padding, self.dilation, self.groups)
        y = y.reshape(*x.shape[:lead], *self.channels, *y.shape[2:])
        return y.permute(self.back)

    def macs(self, x: Tensor, y: Tensor) -> int:
        """Multiply-adds: every output takes one for each weight of its window, borders included."""
        return y.numel() * math.prod(self.weight.shape[len(self.each) + 1 :])

    def extra_repr(self) -> str:
        return (
            f"{tuple(self.weight.shape)}, along={self.along!r}, mix={self.mix!r}, each={self.each!r}, "
            f"stride={self.stride}, dilation={self.dilation}, groups={self.groups}, padding={self.padding} {self.mode}"
        )


def reached(sizes: Sizes, axis: str, kernel: int, padding: int, stride: int, dilation: int) -> Dim:
    """floor((n + 2p - d(k - 1) - 1) / s) + 1, which is ceil(n / s) at the padding that keeps the size.

    Raises Refused where no window fits, and where the size n is only known once data come and would change.
    """
    extent, reach = sizes[axis], dilation * (kernel - 1)
    if 2 * padding == reach:
        return ceil_div(extent, stride)
    if not isinstance(extent, int):
        raise InvalidValue(
            f"padding {padding} does not keep the size of {axis} at kernel {kernel}, dilation {dilation}: it needs a fixed "
            f"grid: give {sizes.grid_arguments}"
        )
    count = (extent + 2 * padding - reach - 1) // stride + 1
    if count < 1:
        raise InvalidValue(f"a window of {reach + 1} does not fit {axis} of {extent} with padding {padding} on both sides")
    return count


def bordered(x: Tensor, padding: Sequence[int], mode: str) -> Tensor:
    """The last axes of x with what lies outside of them, at any size of the map: also one that is smaller than its border."""
    for dim, p in zip(range(x.dim() - len(padding), x.dim()), padding, strict=True):
        n = x.shape[dim]
        at = torch.arange(n + 2 * p, device=x.device) - p
        x = x.index_select(dim, _inside(at, n, mode)) if p else x
    return x


def _inside(at: Tensor, n: int, mode: str) -> Tensor:
    """Where an index that may lie outside of 0 ... n - 1 is read."""
    if mode == "circular":
        return at.remainder(n)
    if mode == "replicate":
        return at.clamp(0, n - 1)
    wave = at.remainder(torch.sym_max(2 * (n - 1), 1))  # a triangle of period 2 (n - 1), 0 where n is 1
    return (n - 1) - (wave - (n - 1)).abs()


@operator("conv")
def conv(
    sizes: Sizes,
    kernel: Size | Annotated[list[Size], Field(min_length=1)] = 3,
    along: Axes = "grid",
    mix: NoAxes | None = None,
    each: NoAxes = "",
    out: Size | None = None,
    stride: Size = 1,
    dilation: Size = 1,
    groups: Size = 1,
    bias: bool = False,
    start: Real | None = None,
    padding: Mode | Padding | Annotated[list[Padding], Field(min_length=1)] = "zeros",
) -> Conv:
    """Window along the axes, one size for all or one for each; strides coarsen the grid.

    A k x k convolution, a depthwise one (`each: C`), a 1D convolution over channels (`along: C`, arXiv:1910.03151) and
    the rotated ones of arXiv:2010.03045 (`along: CW, mix: S`) differ in their roles only. `padding` in a word keeps the
    size (kernels are odd); a number, or one for each axis, is that many zeros on both sides.
    """
    if len(along) not in CONVOLUTIONS:
        raise InvalidValue(f"along {along}: a window has one to three axes")
    kernels = _each("kernel", kernel, along)
    mode: Mode = padding if isinstance(padding, str) else "zeros"
    paddings = _keeping(kernels, dilation, mode) if isinstance(padding, str) else _each("padding", padding, along)
    mix = default_mix(sizes, mix, along, each)
    check_roles({"along": along, "mix": mix, "each": each})
    if groups > 1 and not mix:
        raise InvalidValue(f"groups {groups} cut a mixed axis, and nothing is mixed")
    out, given = out_size(sizes, out, mix, each), {"stride": stride, "dilation": dilation, "groups": groups}
    return Conv(sizes, kernels, along, mix, each, out, padding=paddings, mode=mode, bias=bias, start=start, **given)


def _each(name: str, given: int | list[int], along: str) -> list[int]:
    """One number for each axis of the window."""
    numbers = [given] * len(along) if isinstance(given, int) else given
    if len(numbers) != len(along):
        raise InvalidValue(f"{name} {numbers} is not one for each axis of along {along}")
    return numbers


def _keeping(kernels: Sequence[int], dilation: int, mode: Mode) -> list[int]:
    """The padding that keeps the size."""
    for kernel in kernels:
        if kernel % 2 == 0:
            raise InvalidValue(f"kernel {kernel} is even: a window that keeps the size has an odd kernel")
    padding = [dilation * (kernel - 1) // 2 for kernel in kernels]
    if mode != "zeros" and max(padding) > MOST_PADDING:
        raise InvalidValue(f"padding {mode} would read {max(padding):,} positions beyond a border; at most {MOST_PADDING:,}")
    return padding


class MultiScale(nn.Module):
    """fuse_k conv_k(x): windows of several sizes over the same axes, their results summed, averaged or put end to end on C."""

    def __init__(self, convolutions: list[Conv], fuse: str) -> None:
        super().__init__()
        for name, module in enumerate(convolutions):
            self.add_module(str(name), module)
        self.fuse = fuse
        self.sizes = broadcast([module.sizes for module in convolutions], along="C" if fuse == "concat" else "")

    def forward(self, x_BSCHW: Tensor) -> Tensor:
        scales = [module(x_BSCHW) for module in self.children()]
        if self.fuse == "concat":
            return torch.cat(scales, dim=self.sizes.dim("C"))
        total = torch.stack(scales).sum(0)
        return total / len(scales) if self.fuse == "mean" else total


@operator("multiscale")
def multiscale(
    sizes: Sizes,
    kernels: Annotated[list[Size], Field(min_length=1)],
    along: Axes = "C",
    fuse: Literal["sum", "mean", "concat"] = "sum",
    bias: bool = False,
    mix: NoAxes | None = None,
    each: NoAxes = "",
) -> MultiScale:
    """One convolution for each kernel along the axes, fused by sum, mean, or concat on C."""
    made = [conv(sizes, kernel=kernel, along=along, mix=mix, each=each, bias=bias) for kernel in kernels]
    return MultiScale(made, fuse)
