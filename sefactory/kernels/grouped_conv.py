"""Windows over groups of channels: groups merged until they fill the registers, borders laid out, gradients by phases."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from math import gcd
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional as F

WIDEST = 32  # channels of merged groups up to which zeros cost less than they gain

Mask = tuple[bool, bool, bool]
Gradients = tuple[Tensor | None, Tensor | None, Tensor | None]


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
@torch.inference_mode(False)  # kept for autograd as well
def _same(together: int, dtype: torch.dtype) -> Tensor:
    """1 where two of the merged groups are one, else 0: (together, 1, together, 1)."""
    return torch.eye(together, dtype=dtype, device="cpu").view(together, 1, together, 1)


class Windows(Function):
    """A convolution with another gradient: of the weight that of the dilation's phases, or with channels that lie last.

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
        needed, given = ctx.needs_input_grad[:3], (stride, padding, dilation, groups)
        found = gradients if torch.is_grad_enabled() else phased_gradients if ctx.phased else gradients_last
        return (*found(g, x, weight, *given, needed), *(None,) * 5)


windowed_apart: Callable[..., Tensor] = Windows.apply


def phased_gradients(
    g: Tensor, x: Tensor, weight: Tensor, stride: int, padding: Sequence[int], dilation: int, groups: int, needed: Mask
) -> Gradients:
    """ATen's, the weight's that of the phases of the dilated window."""
    gx = gradients(g, x, weight, stride, padding, dilation, groups, (needed[0], False, False))[0]
    _, gw, gb = gradients_of_phases(g, x, weight, padding, dilation, groups, (False, *needed[1:]))  # one comes with the other
    return gx, gw, gb


def gradients_of_phases(
    g: Tensor, x: Tensor, weight: Tensor, padding: Sequence[int], dilation: int, groups: int, needed: Mask
) -> Gradients:
    """Those of a window of stride 1 and padding d p': of the phases of its dilation d, with padding p' and without one."""
    rows, columns = (dilation if k > 1 else 1 for k in weight.shape[2:])  # a size of 1 has none
    steps, inner = (rows, columns), [p // dilation for p in padding]
    gx, gw, gb = gradients(phases(g, steps), phases(x, steps), weight, 1, inner, 1, groups, needed)
    return gx if gx is None else joined(gx, steps, x.shape[2:]), gw, gb


def gradients_last(
    g: Tensor, x: Tensor, weight: Tensor, stride: int, padding: Sequence[int], dilation: int, groups: int, needed: Mask
) -> Gradients:
    """ATen's, of channels that lie last: the weight's, and of a window over all channels the input's as well."""
    last_g, last_x, last_weight = (t.contiguous(memory_format=torch.channels_last) for t in (g, x, weight))
    if groups == 1:
        gx, gw, gb = gradients(last_g, last_x, last_weight, stride, padding, dilation, groups, needed)
    else:
        gx = gradients(g, x, weight, stride, padding, dilation, groups, (needed[0], False, False))[0]
        _, gw, gb = gradients(last_g, last_x, last_weight, stride, padding, dilation, groups, (False, *needed[1:]))
    gx, gw = (t if t is None else t.contiguous() for t in (gx, gw))
    return gx, gw, gb


class Each(Function):
    """A window of stride 1 of each channel: with its border laid out where it is `wide`, its gradient that of the phases.

    Saves x, without a border.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, padding: Sequence[int], dilation: int, wide: bool
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.given = padding, dilation
        if wide:
            return bordered(x, weight, bias, padding, dilation)
        return F.conv2d(x, weight, bias, 1, tuple(padding), dilation, len(weight))

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        padding, dilation = ctx.given
        needed, groups = ctx.needs_input_grad[:3], len(weight)
        if torch.is_grad_enabled() or dilation == 1:
            return (*gradients(g, x, weight, 1, padding, dilation, groups, needed), None, None, None)
        return (*gradients_of_phases(g, x, weight, padding, dilation, groups, needed), None, None, None)


windowed_each: Callable[..., Tensor] = Each.apply


def bordered(x: Tensor, weight: Tensor, bias: Tensor | None, padding: Sequence[int], dilation: int) -> Tensor:
    """The window of each channel of a map that has its zeros on the left and the right."""
    rows, columns = padding
    return F.conv2d(F.pad(x, (columns, columns)), weight, bias, 1, (rows, 0), dilation, len(weight))


def phases(x: Tensor, steps: tuple[int, int]) -> Tensor:
    """Every a-th row and b-th column as a map of its own: (N, C, H, W) -> (a b N, C, H / a, W / b).

    Zeros are put below and to the right where a size is no multiple of its step.
    """
    down, right = (-n % step for n, step in zip(x.shape[2:], steps, strict=True))
    x = F.pad(x, (0, right, 0, down)) if down or right else x
    parts = torch.unflatten(torch.unflatten(x, 3, (-1, steps[1])), 2, (-1, steps[0]))
    return parts.permute(3, 5, 0, 1, 2, 4).flatten(0, 2)


def joined(y: Tensor, steps: tuple[int, int], sides: Sequence[int]) -> Tensor:
    """The map of these phases, of which so many rows and columns are kept."""
    parts = torch.unflatten(y, 0, (*steps, -1)).permute(2, 3, 4, 0, 5, 1)
    return parts.flatten(4, 5).flatten(2, 3)[:, :, : sides[0], : sides[1]].contiguous()


def gradients(
    g: Tensor, x: Tensor, weight: Tensor, stride: int, padding: Sequence[int], dilation: int, groups: int, needed: Mask
) -> Gradients:
    """ATen's, of the input, the weight and the bias; differentiable themselves."""
    found: Gradients = torch.ops.aten.convolution_backward(
        g, x, weight, [weight.shape[0]], [stride], padding, [dilation], False, [0], groups, needed
    )
    return found
