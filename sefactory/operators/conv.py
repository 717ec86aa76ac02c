"""Windows along named axes."""

import math
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from ..axes import Sizes, broadcast, check_roles, coarser
from ..errors import Refused
from ..registry import operator
from ..schema import Axes, NoAxes, Real, Size
from .linear import out_size
from .weights import divide, inverse, learned, roles

CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


class Conv(nn.Module):
    """A same-size window along some axes, dense over the mixed ones, with weights of their own for `each`.

    x_BSCHW -> y_BSCHW: `out` on the first mixed axis, 1 on the others, ceil(n / stride) along the window.
    weight: (each..., out, in..., kernel...), the first `in` divided by groups; bias: (each..., out). Zeros outside.
    """

    def __init__(
        self,
        sizes: Sizes,
        kernel: int,
        along: str,
        mix: str,
        each: str,
        out: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = False,
        start: float | None = None,
    ) -> None:
        super().__init__()
        inputs = (divide(f"{mix[0]} of", sizes.number(mix[0]), groups), *sizes.numbers(mix[1:])) if mix else ()
        divide("out", out, groups)
        self.stride, self.dilation, self.padding = stride, dilation, dilation * (kernel - 1) // 2
        self.along, self.mix, self.each = along, mix, each
        self.groups = groups * math.prod(sizes.numbers(each))
        fan_in = math.prod(inputs) * kernel ** len(along)
        self.weight = learned((*sizes.numbers(each), out, *inputs, *[kernel] * len(along)), fan_in, start)
        self.bias = learned((*sizes.numbers(each), out), fan_in, start) if bias else None
        changed = {axis: out if axis == mix[0] else 1 for axis in mix}
        self.sizes = sizes.replace(changed | {axis: coarser(sizes[axis], stride) for axis in along})
        self.channels = self.sizes.numbers(each + mix)
        self.shared = sizes.others(along, mix, each)
        self.order = (0, *sizes.dims(self.shared + each + mix + along))
        self.back = inverse(self.order)

    def forward(self, x_BSCHW: Tensor) -> Tensor:
        x = x_BSCHW.permute(self.order)
        lead, window = 1 + len(self.shared), x.shape[-len(self.along) :]
        flat = x.reshape(math.prod(x.shape[:lead]), math.prod(x.shape[lead : x.dim() - len(window)]), *window)
        weight = self.weight.flatten(0, len(self.each))
        weight = weight.reshape(weight.shape[0], -1, *weight.shape[weight.dim() - len(window) :])
        convolve = CONVOLUTIONS[len(window)]
        bias = None if self.bias is None else self.bias.flatten()
        y = convolve(flat, weight, bias, self.stride, self.padding, self.dilation, self.groups)
        y = y.reshape(*x.shape[:lead], *self.channels, *y.shape[2:])
        return y.permute(self.back)

    def macs(self, x: Tensor, y: Tensor) -> int:
        """Multiply-adds: every output takes one for each weight of its window, borders included."""
        return y.numel() * math.prod(self.weight.shape[len(self.each) + 1 :])

    def extra_repr(self) -> str:
        return (
            f"{tuple(self.weight.shape)}, along={self.along!r}, mix={self.mix!r}, each={self.each!r}, "
            f"stride={self.stride}, dilation={self.dilation}, groups={self.groups}"
        )


@operator("conv")
def conv(
    sizes: Sizes,
    kernel: Size = 3,
    along: Axes = "HW",
    mix: NoAxes | None = None,
    each: NoAxes = "",
    out: Size | None = None,
    stride: Size = 1,
    dilation: Size = 1,
    groups: Size = 1,
    bias: bool = False,
    start: Real | None = None,
) -> Conv:
    """Window of odd size along the axes with same-size padding; strides coarsen the grid.

    A k x k convolution, a depthwise one (`each: C`), a 1D convolution over channels (`along: C`, arXiv:1910.03151) and
    the rotated ones of arXiv:2010.03045 (`along: CW, mix: S`) differ in their roles only.
    """
    if kernel % 2 == 0:
        raise Refused(f"kernel {kernel} is even: a window that keeps the size has an odd kernel")
    if len(along) not in CONVOLUTIONS:
        raise Refused(f"along {along}: a window has one to three axes")
    mix = roles(sizes, mix, along, each)
    check_roles({"along": along, "mix": mix, "each": each})
    if groups > 1 and not mix:
        raise Refused(f"groups {groups} cut a mixed axis, and nothing is mixed")
    out = out_size(sizes, out, mix)
    return Conv(sizes, kernel, along, mix, each, out, stride=stride, dilation=dilation, groups=groups, bias=bias, start=start)


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
    return MultiScale([conv(sizes, kernel, along, mix, each, bias=bias) for kernel in kernels], fuse)
