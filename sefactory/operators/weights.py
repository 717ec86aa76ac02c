"""Learned tensors and how they lie against a map; shared by the operators that own weights."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..axes import Sizes
from ..errors import Refused

MOST_PARAMETERS = 10**9


def learned(shape: Sequence[int], fan_in: int = 1, start: float | None = None) -> nn.Parameter:
    """U(-a, a) with a = fan_in^-0.5 (torch's rule for linear maps), or the constant `start`.

    Raises Refused above 10^9 entries, before anything is allocated, and for a start that the dtype cannot hold.
    """
    if math.prod(shape) > MOST_PARAMETERS:
        raise Refused(f"would hold {math.prod(shape):,} parameters; at most {MOST_PARAMETERS:,} in a block")
    parameter = nn.Parameter(torch.empty(tuple(shape)))
    if start is not None and abs(start) > torch.finfo(parameter.dtype).max:
        raise Refused(f"start {start:g} is beyond {str(parameter.dtype).removeprefix('torch.')}")
    with torch.no_grad():
        if start is None:
            parameter.uniform_(-(fan_in**-0.5), fan_in**-0.5)
        else:
            parameter.fill_(start)
    return parameter


def normal(shape: Sequence[int]) -> nn.Parameter:
    """N(0, 1). On the meta device there is nothing to draw, and torch would import its whole compiler to do it."""
    parameter = learned(shape, start=0)
    return parameter if parameter.is_meta else nn.Parameter(torch.randn_like(parameter))


def roles(sizes: Sizes, mix: str | None, *others: str) -> str:
    """The mixed axes: as written; else C, and where C has another role none.

    Raises Refused where that default would silently leave out maps that lie side by side on S.
    """
    if mix is not None:
        return mix
    if not any("C" in other for other in others):
        return "C"
    if sizes["S"] != 1 and not any("S" in other for other in others):
        raise Refused(f"S holds {sizes['S']} maps side by side: write mix: S, or mix: '' to treat each alike")
    return ""


def spread(t: Tensor, axes: str, sizes: Sizes) -> Tensor:
    """A tensor with one dimension for each of `axes`, in the order written, made to broadcast against x_BSCHW."""
    order = sorted(range(len(axes)), key=lambda i: sizes.dim(axes[i]))
    t = t.permute(order)
    return t.reshape([t.shape[order.index(axes.index(a))] if a in axes else 1 for a in sizes.axes])


def divide(what: str, size: int, groups: int) -> int:
    """size / groups; Raises Refused where that is not whole."""
    if size % groups:
        raise Refused(f"{what} {size} is not divisible by {groups}")
    return size // groups


def inverse(order: Sequence[int]) -> tuple[int, ...]:
    """The permutation that undoes another."""
    return tuple(order.index(i) for i in range(len(order)))
