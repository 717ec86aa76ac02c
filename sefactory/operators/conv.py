"""Convolutions along named axes."""

import math
from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from ..config.registry import operator
from ..config.schema import Axes, NoAxes, Real, Size
from ..errors import InvalidValue
from ..kernels import custom_ops
from ..kernels.convolution import CONVOLUTIONS
from ..shapes import Dim, Sizes, ceil_div
from .containers import FUSES, children_by_name, fused_sizes
from .linear import out_size
from .parameters import check_roles, default_mix, exact_div, init_parameter, inverse_permutation
from .traced_shapes import at_least_one

MAX_PADDING = 10_000
Mode = Literal["zeros", "circular", "reflect", "replicate"]
Padding = Annotated[int, Field(ge=0, le=MAX_PADDING)]


class Kernel(NamedTuple):
    """The size and the padding on both sides for each axis of a kernel; how borders are filled; stride and dilation."""

    size: Sequence[int]
    padding: Sequence[int]
    mode: Mode
    stride: int
    dilation: int


class Roles(NamedTuple):
    """The axes that a kernel moves along, those that are fully connected, and those with weights for each index."""

    along: str
    mix: str
    each: str


class Conv(nn.Module):
    """y_o = sum_ik w_oik x_i(. + k) + b_o: convolved `along` some axes, fully connected over `mix`, separate for `each`.

    x_BSCHW -> y_BSCHW with `out` on the first mixed axis, 1 on the other mixed axes and `conv_out_dim` along the kernel.
    weight: (each..., out, in..., kernel...), the first `in` divided by groups; bias: (each..., out). Each `along` axis is
    padded by `padding` on both sides, with zeros or as `mode` says.
    """

    def __init__(
        self, sizes: Sizes, kernel: Kernel, roles: Roles, out: int, groups: int, bias: bool, start: float | None
    ) -> None:
        super().__init__()
        self.along, self.mix, self.each = along, mix, each = roles
        self.stride, self.dilation = kernel.stride, kernel.dilation
        self.padding, self.mode = tuple(kernel.padding), kernel.mode
        inputs = (exact_div(f"{mix[0]} of", sizes.number(mix[0]), groups), *sizes.numbers(mix[1:])) if mix else ()
        exact_div("out", out, groups)
        self.groups = groups * math.prod(sizes.numbers(each))
        changes: dict[str, Dim] = {axis: out if axis == mix[0] else 1 for axis in mix}
        changes |= {axis: conv_out_dim(sizes, axis, kernel, i) for i, axis in enumerate(along)}
        self.sizes = sizes.replace(changes)
        fan_in = math.prod(inputs) * math.prod(kernel.size)
        self.weight = init_parameter((*sizes.numbers(each), out, *inputs, *kernel.size), fan_in, start)
        self.bias = init_parameter((*sizes.numbers(each), out), fan_in, None if start is None else 0) if bias else None
        self.channels = self.sizes.numbers(each + mix)
        self.batch_axes = sizes.axes_except(along, mix, each)
        self.permutation = (0, *sizes.dims(self.batch_axes + each + mix + along))
        self.inverse = inverse_permutation(self.permutation)

    def forward(self, x_BSCHW: Tensor) -> Tensor:
        x = x_BSCHW.permute(self.permutation)
        batch, space = x.shape[: 1 + len(self.batch_axes)], x.shape[-len(self.along) :]
        channels = x.shape[len(batch) : x.dim() - len(space)]
        x = x.reshape(math.prod(batch), math.prod(channels), *space)
        weight = self.weight.flatten(0, len(self.each))
        weight = weight.reshape(weight.shape[0], -1, *weight.shape[weight.dim() - len(space) :])
        bias = None if self.bias is None else self.bias.flatten()
        padding = self.padding
        if self.mode != "zeros":
            x, padding = pad_borders(x, padding, self.mode), (0,) * len(space)
        y = custom_ops.convolve(x, weight, bias, self.stride, padding, self.dilation, self.groups)
        return y.reshape(*batch, *self.channels, *y.shape[2:]).permute(self.inverse)

    def macs(self, x: Tensor, y: Tensor) -> int:
        """Multiply-adds: one for each weight of every output, at the borders as well."""
        return y.numel() * math.prod(self.weight.shape[len(self.each) + 1 :])

    def extra_repr(self) -> str:
        return (
            f"{tuple(self.weight.shape)}, along={self.along!r}, mix={self.mix!r}, each={self.each!r}, "
            f"stride={self.stride}, dilation={self.dilation}, groups={self.groups}, padding={self.padding} {self.mode}"
        )


def conv_out_dim(sizes: Sizes, axis: str, kernel: Kernel, i: int) -> Dim:
    """Returns floor((n + 2p - d(k - 1) - 1) / s) + 1 for the i-th axis of a kernel; ceil(n / s) if the padding keeps the size.

    Raises InvalidValue if the kernel does not fit, and if the size would change but is only known at run time.
    """
    size, k, padding = sizes[axis], kernel.size[i], kernel.padding[i]
    reach = kernel.dilation * (k - 1)
    if 2 * padding == reach:
        return ceil_div(size, kernel.stride)
    if not isinstance(size, int):
        change = f"padding {padding} does not keep the size of {axis} at kernel {k}, dilation {kernel.dilation}"
        raise InvalidValue(f"{change}, so it needs a fixed grid: give {sizes.grid_arguments}")
    count = (size + 2 * padding - reach - 1) // kernel.stride + 1
    if count < 1:
        raise InvalidValue(f"a window of {reach + 1} does not fit {axis} of {size} with padding {padding} on both sides")
    return count


def pad_borders(x: Tensor, padding: Sequence[int], mode: str) -> Tensor:
    """Returns x with its last axes padded; unlike in F.pad, the padding may be larger than the map."""
    for dim, p in zip(range(x.dim() - len(padding), x.dim()), padding, strict=True):
        n = x.shape[dim]
        index = torch.arange(n + 2 * p, device=x.device) - p
        x = x.index_select(dim, _wrap_index(index, n, mode)) if p else x
    return x


def _wrap_index(index: Tensor, n: int, mode: str) -> Tensor:
    """The position in 0 ... n - 1 that is read for an index outside of it."""
    if mode == "circular":
        return index.remainder(n)
    if mode == "replicate":
        return index.clamp(min=0).clamp(max=n - 1)
    offset = index.remainder(at_least_one(2 * (n - 1)))  # reflections have period 2 (n - 1)
    return (n - 1) - (offset - (n - 1)).abs()


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
    """Convolution along one to three axes, with one kernel size for all of them or one for each.

    The roles of the axes make it a k x k convolution, a depthwise one (`each: C`), a 1D convolution over the channels
    (`along: C`, arXiv:1910.03151) or a rotated one (`along: CW, mix: S`, arXiv:2010.03045). `padding` as a word keeps the
    size and needs odd kernels; as a number, or one for each axis, it is the number of zeros on both sides.
    """
    if len(along) not in CONVOLUTIONS:
        raise InvalidValue(f"along {along}: a convolution has one to three axes")
    kernel = _per_axis("kernel", kernel, along)
    mode: Mode = padding if isinstance(padding, str) else "zeros"
    padding = _same_padding(kernel, dilation, mode) if isinstance(padding, str) else _per_axis("padding", padding, along)
    roles = Roles(along, default_mix(sizes, mix, along, each), each)
    check_roles(roles._asdict())
    if groups > 1 and not roles.mix:
        raise InvalidValue(f"groups {groups} split a mixed axis, and nothing is mixed")
    out = out_size(sizes, out, roles.mix, each)
    return Conv(sizes, Kernel(kernel, padding, mode, stride, dilation), roles, out, groups, bias, start)


def _per_axis(name: str, value: int | list[int], along: str) -> list[int]:
    """One number for each axis of the kernel."""
    numbers = [value] * len(along) if isinstance(value, int) else value
    if len(numbers) != len(along):
        raise InvalidValue(f"{name} {numbers} is not one for each axis of along {along}")
    return numbers


def _same_padding(kernels: Sequence[int], dilation: int, mode: Mode) -> list[int]:
    """The padding that keeps the size at stride 1."""
    for kernel in kernels:
        if kernel % 2 == 0:
            raise InvalidValue(f"kernel {kernel} is even: a window that keeps the size has an odd kernel")
    padding = [dilation * (kernel - 1) // 2 for kernel in kernels]
    if mode != "zeros" and max(padding) > MAX_PADDING:
        raise InvalidValue(f"padding {mode} would read {max(padding):,} positions beyond a border; at most {MAX_PADDING:,}")
    return padding


class MultiScale(nn.Module):
    """y = fuse_k conv_k(x): convolutions with several kernel sizes, summed, averaged or concatenated on C."""

    def __init__(self, convolutions: list[Conv], fuse: str) -> None:
        super().__init__()
        self._modules.update({str(i): module for i, module in enumerate(convolutions)})
        self.fuse = fuse
        self.sizes = fused_sizes(fuse, [module.sizes for module in convolutions])

    def forward(self, x_BSCHW: Tensor) -> Tensor:
        return FUSES[self.fuse]([module(x_BSCHW) for module in children_by_name(self).values()])


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
    """One convolution for each kernel size along the same axes; the results are summed, averaged or concatenated on C."""
    convolutions = [conv(sizes, kernel=kernel, along=along, mix=mix, each=each, bias=bias) for kernel in kernels]
    return MultiScale(convolutions, fuse)
