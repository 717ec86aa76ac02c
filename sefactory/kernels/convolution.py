"""Convolutions that oneDNN has no good kernel for, written as ones that it has."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from math import gcd, prod
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional as F

CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
LANES = {"AVX2": 8, "AVX512": 16}.get(torch.backends.cpu.get_cpu_capability(), 0)  # float32 values in a register; 0: plain
PLANE, THIN = 1 << 10, 1 << 14  # values of a plane, and of a map, from which the thin form gains
PHASED = 1 << 15  # values of a map from which the phases of a dilated window gain
WIDEST = 32  # channels of merged groups up to which zeros cost less than they gain

Mask = tuple[bool, bool, bool]
Gradients = tuple[Tensor | None, Tensor | None, Tensor | None]


def convolve(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: Sequence[int], dilation: int, groups: int
) -> Tensor:
    """F.conv1d, F.conv2d or F.conv3d, in the form that is fastest on this processor.

    x: (N, C, ...), weight: (out, C / groups, kernel...), bias: (out,), padding: one number for each axis.

    Milliseconds of F.conv2d and of this, forward then forward and backward, batch 8, float32, one thread of a Zen 3 (AVX2):

    | 7x7, 2 planes to 1, 56 x 56             | 1.33 -> 0.67 |  8.5 ->  2.9 |
    | 7x7, 2 planes to 1, 128 x 56            | 2.76 -> 1.27 | 15.5 ->  3.8 |
    | 3x3, 128 channels in 32 groups, 28 x 28 |  8.1 ->  4.8 | 36.1 -> 12.3 |
    | the same, dilation 2                    |  8.2 ->  4.5 | 33.9 -> 15.3 |
    | 3x3, 64 channels in 32 groups, 56 x 56  | 14.5 ->  8.1 | 65.9 -> 20.2 |

    oneDNN multiplies groups of 4 channels as matrices where AVX2 needs 8, dilated weight gradients likewise; with AVX-512 it
    has kernels for both, and only the weight's gradient is repaired (channels last: 6.6 -> 4.7 on a Zen 4).
    """
    padding = tuple(padding)
    if LANES and x.dim() < 5 and x.dtype == torch.float32:
        if stride == dilation == groups == 1 and thin(x, weight, padding):
            return windowed_thinly(x, weight, bias, LANES)
        if groups > 1 and weight.shape[:2] != (groups, 1) and prod(weight.shape[2:]) > 1:
            return grouped(x, weight, bias, stride, padding, dilation, groups, LANES)
    return CONVOLUTIONS[x.dim() - 2](x, weight, bias, stride, padding, dilation, groups)


def thin(x: Tensor, weight: Tensor, padding: tuple[int, ...]) -> bool:
    """Whether one or two planes become one of the same size, through a window that is worth it."""
    if x.dim() != 4 or weight.shape[0] > 1 or weight.shape[1] > 2:
        return False
    if x.numel() < THIN or x.shape[2] * x.shape[3] < PLANE:
        return False
    kernel = weight.shape[2:]
    return all(k in (3, 5, 7) and 2 * p == k - 1 for k, p in zip(kernel, padding, strict=True))


def convolve_backward(
    g: Tensor, x: Tensor, weight: Tensor, stride: int, padding: Sequence[int], dilation: int, groups: int, needed: Mask
) -> Gradients:
    """The gradients of `convolve` by themselves: for a compiler, which cannot look inside of its Functions."""
    padding = tuple(padding)
    if not LANES or x.dim() > 4 or x.dtype != torch.float32:
        return gradients(g, x, weight, stride, padding, dilation, groups, needed)
    if stride == dilation == groups == 1 and thin(x, weight, padding):
        return thin_gradients(g, x, weight, LANES, needed)
    together = fewest(weight, groups, LANES) if LANES == 8 and prod(weight.shape[2:]) > 1 else 1
    wide = merged(weight, groups, together)
    phased = LANES == 8 and x.dim() == 4 and stride == 1 and dilation > 1 and all(p % dilation == 0 for p in padding)
    given = (stride, padding, dilation, groups // together)
    gx, gw, gb = windowed_gradients(g, x, wide, *given, phased and x.numel() > PHASED, needed)
    return gx, gw if gw is None else unmerged(gw, weight.shape, groups, together), gb


class Thin(Function):
    """A same-size window over few planes: all three are convolutions of which the `lanes` rows are channels, or one product.

    y = w * x, gx = flipped w * g, gw[c, i, j] = sum x[c, h + i, w + j] g[h, w]. x: (N, C, H, W), weight: (out, C, kernel).
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, lanes: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.lanes = lanes
        return lifted(x, weight, bias, lanes)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        needed = ctx.needs_input_grad[:3]
        if torch.is_grad_enabled():
            padding = [k // 2 for k in weight.shape[2:]]
            return (*gradients(g, x, weight, 1, padding, 1, 1, needed), None)
        return (*thin_gradients(g, x, weight, ctx.lanes, needed), None)


windowed_thinly: Callable[..., Tensor] = Thin.apply


def thin_gradients(g: Tensor, x: Tensor, weight: Tensor, lanes: int, needed: Mask) -> Gradients:
    """Of the input, by a lifted convolution as well; of the weight, by one product; of the bias."""
    gx = lifted(g, weight.transpose(0, 1).flip(2, 3), None, lanes) if needed[0] else None
    gw = correlated(x, g, weight.shape[2:]) if needed[1] else None
    return gx, gw, g.sum((0, 2, 3)) if needed[2] else None


def lifted(x: Tensor, weight: Tensor, bias: Tensor | None, lanes: int) -> Tensor:
    """A same-size convolution, exactly, whose `lanes` neighbouring rows are channels of one with stride (lanes, 1).

    weight: (out, in, k, l) -> (lanes out, in, lanes - 1 + k, l), each copy a row lower than the one before.
    """
    out, inputs, k, width = weight.shape
    rows = x.shape[2]
    wide = weight.new_zeros(lanes, out, inputs, lanes - 1 + k, width)
    stride = wide.stride()
    wide.as_strided((lanes, *weight.shape), (stride[0] + stride[3], *stride[1:])).copy_(weight)
    x = F.pad(x, (0, 0, 0, -rows % lanes)) if rows % lanes else x
    bias = None if bias is None else bias.repeat(lanes)
    y = F.conv2d(x, wide.flatten(0, 1), bias, (lanes, 1), (k // 2, width // 2))
    y = torch.unflatten(y, 1, (lanes, out)).permute(0, 2, 3, 1, 4).flatten(2, 3)
    return y[:, :, :rows].contiguous()


def correlated(x: Tensor, g: Tensor, kernel: Sequence[int]) -> Tensor:
    """The weight's gradient of a same-size window onto one plane, (1, C, k, l): shifted rows of x times shifted columns of g.

    Sample by sample in one pair of buffers, (C k, H W') and (l, H W') where W' = W + l - 1.
    """
    k, columns = kernel
    _, channels, height, width = x.shape
    padded = F.pad(x, (columns // 2, columns // 2, k // 2, k // 2))
    row = width + columns - 1
    lower = x.new_empty(channels, k, height * row)
    right = x.new_zeros(columns, height, row)
    inside = right.as_strided((columns, height, width), (height * row + 1, row, 1))
    total = x.new_zeros(channels * k, columns)
    for sample, gradient in zip(padded, g[:, 0], strict=True):
        lower.copy_(sample.as_strided(lower.shape, (sample.stride(0), row, 1), sample.storage_offset()))
        inside.copy_(gradient)
        total.addmm_(lower.flatten(0, 1), right.flatten(1).t())
    return total.view(1, channels, k, columns)


def grouped(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: int,
    padding: Sequence[int],
    dilation: int,
    groups: int,
    lanes: int,
) -> Tensor:
    """Groups merged until their channels fill the registers, and the weight's gradient as `Windows` has it where that gains."""
    together = fewest(weight, groups, lanes) if lanes == 8 else 1
    weight, groups = merged(weight, groups, together), groups // together
    phased = lanes == 8 and dilation > 1 and x.numel() > PHASED and all(p % dilation == 0 for p in padding)
    gains = x.dim() == 4 and stride == 1 and (phased or weight.shape[1] < lanes == 16)
    if gains and weight.requires_grad and torch.is_grad_enabled():
        return windowed_by_groups(x, weight, bias, stride, padding, dilation, groups, phased)
    return CONVOLUTIONS[x.dim() - 2](x, weight, bias, stride, padding, dilation, groups)


def fewest(weight: Tensor, groups: int, lanes: int) -> int:
    """How many groups make whole registers of inputs and of outputs; 1 where none do, or only with too many zeros."""
    inputs, out = weight.shape[1], weight.shape[0] // groups
    together = lanes // min(gcd(lanes, inputs), gcd(lanes, out))
    return together if groups % together == 0 and together * max(inputs, out) <= WIDEST else 1


def merged(weight: Tensor, groups: int, together: int) -> Tensor:
    """The weight of groups / together groups, zero between the channels of different ones: (out, together in, kernel...)."""
    if together == 1:
        return weight
    out, inputs = weight.shape[0] // groups, weight.shape[1]
    blocks = weight.reshape(groups // together, together, out, 1, -1)
    return (blocks * _same(together, weight.dtype)).reshape(weight.shape[0], together * inputs, *weight.shape[2:])


def unmerged(gradient: Tensor, shape: Sequence[int], groups: int, together: int) -> Tensor:
    """The gradient of a weight from that of its merged form."""
    if together == 1:
        return gradient
    blocks = gradient.reshape(groups // together, together, shape[0] // groups, together, -1)
    return (blocks * _same(together, gradient.dtype)).sum(3).reshape(tuple(shape))


@lru_cache(maxsize=16)
def _same(together: int, dtype: torch.dtype) -> Tensor:
    """1 where two of the merged groups are one, else 0: (together, 1, together, 1)."""
    return torch.eye(together, dtype=dtype, device="cpu").view(together, 1, together, 1)


class Windows(Function):
    """A grouped convolution with another gradient of its weight: of the dilation's phases, or of channels that lie last.

    x: (N, C, H, W), weight: (out, C / groups, kernel). With dilation d and padding p = d p', rows h, h + d, ... of x and of g
    are a convolution of their own, without dilation and with padding p': gw is that of d^2 times as many, smaller maps.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        stride: int,
        padding: Sequence[int],
        dilation: int,
        groups: int,
        phased: bool,
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.given, ctx.phased = (stride, padding, dilation, groups), phased
        return F.conv2d(x, weight, bias, stride, tuple(padding), dilation, groups)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        stride, padding, dilation, groups = ctx.given
        needed = ctx.needs_input_grad[:3]
        nothing = (None,) * 5
        if torch.is_grad_enabled():
            return (*gradients(g, x, weight, stride, padding, dilation, groups, needed), *nothing)
        if not ctx.phased:
            gx, _, gb = gradients(g, x, weight, stride, padding, dilation, groups, (needed[0], False, needed[2]))
            x, g = (t.contiguous(memory_format=torch.channels_last) for t in (x, g))
            gw = gradients(g, x, weight, stride, padding, dilation, groups, (False, True, False))[1]
            return (gx, gw, gb, *nothing)
        return (*windowed_gradients(g, x, weight, stride, padding, dilation, groups, True, needed), *nothing)


windowed_by_groups: Callable[..., Tensor] = Windows.apply


def windowed_gradients(
    g: Tensor,
    x: Tensor,
    weight: Tensor,
    stride: int,
    padding: Sequence[int],
    dilation: int,
    groups: int,
    phased: bool,
    needed: Mask,
) -> Gradients:
    """ATen's, the weight's that of the phases of a dilated window where `phased`."""
    if not phased:
        return gradients(g, x, weight, stride, padding, dilation, groups, needed)
    gx, _, gb = gradients(g, x, weight, stride, padding, dilation, groups, (needed[0], False, needed[2]))
    x, g = phases(x, dilation), phases(g, dilation)
    padding = [p // dilation for p in padding]
    gw = gradients(g, x, weight, stride, padding, 1, groups, (False, needed[1], False))[1]
    return gx, gw, gb


def phases(x: Tensor, step: int) -> Tensor:
    """Every step-th row and column as a map of its own: (N, C, H, W) -> (step^2 N, C, H / step, W / step).

    Zeros are put below and to the right where a size is no multiple of the step.
    """
    down, right = (-n % step for n in x.shape[2:])
    x = F.pad(x, (0, right, 0, down)) if down or right else x
    parts = torch.unflatten(torch.unflatten(x, 3, (-1, step)), 2, (-1, step))
    return parts.permute(3, 5, 0, 1, 2, 4).flatten(0, 2)


def gradients(
    g: Tensor, x: Tensor, weight: Tensor, stride: int, padding: Sequence[int], dilation: int, groups: int, needed: Mask
) -> Gradients:
    """ATen's, of the input, the weight and the bias; differentiable themselves."""
    found: Gradients = torch.ops.aten.convolution_backward(
        g, x, weight, [weight.shape[0]], [stride], padding, [dilation], False, [0], groups, needed
    )
    return found
