"""Learned tensors and how they lie against a map; shared by the operators that own weights."""

import math
from collections.abc import Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from ..errors import InvalidValue
from ..shapes import Sizes
from .deferred_init import META, init_parameter

MOST_PARAMETERS = 10**9


def learned(shape: Sequence[int], fan_in: int = 1, start: float | None = None) -> nn.Parameter:
    """U(-a, a) with a = fan_in^-0.5 (torch's rule for linear maps), or the constant `start`.

    Raises Refused above 10^9 entries, before anything is allocated, and for a start that the dtype cannot hold.
    """
    _check(shape)
    dtype = torch.get_default_dtype()
    if start is not None and abs(start) > torch.finfo(dtype).max:
        raise InvalidValue(f"start {start:g} is beyond {str(dtype).removeprefix('torch.')}")
    return init_parameter(partial(_begun, tuple(shape), fan_in, start))


def normal(shape: Sequence[int]) -> nn.Parameter:
    """N(0, 1), of at most 10^9 entries as `learned`."""
    _check(shape)
    return init_parameter(partial(_normal, tuple(shape)))


def constant(shape: Sequence[int], value: int | float) -> Tensor:
    """A tensor of one value for a buffer, integer where the value is."""
    return init_parameter(partial(_constant, tuple(shape), value))


def _constant(shape: tuple[int, ...], value: int | float, device: torch.device | None) -> Tensor:
    if device is META:  # torch.full runs in Python there
        return torch.empty(shape, dtype=torch.long if isinstance(value, int) else None, device=device)
    return torch.full(shape, value, device=device)


def _check(shape: Sequence[int]) -> None:
    if math.prod(shape) > MOST_PARAMETERS:
        raise InvalidValue(f"would hold {math.prod(shape):,} parameters; at most {MOST_PARAMETERS:,} in a block")


def _begun(shape: tuple[int, ...], fan_in: int, start: float | None, device: torch.device | None) -> nn.Parameter:
    weight = torch.empty(shape, device=device)
    if not weight.is_meta:
        weight = weight.uniform_(-(fan_in**-0.5), fan_in**-0.5) if start is None else weight.fill_(start)
    return nn.Parameter(weight)


def _normal(shape: tuple[int, ...], device: torch.device | None) -> nn.Parameter:
    """On the meta device there is nothing to draw, and torch would import its whole compiler to do it."""
    weight = torch.empty(shape, device=device)
    return nn.Parameter(weight if weight.is_meta else torch.randn_like(weight))


def roles(sizes: Sizes, mix: str | None, *others: str) -> str:
    """The mixed axes: as written; else C, and where C has another role none.

    Raises Refused where that default would silently leave out maps that lie side by side on S.
    """
    if mix is not None:
        return mix
    if not any("C" in other for other in others):
        return "C"
    if sizes["S"] != 1 and not any("S" in other for other in others):
        raise InvalidValue(f"S holds {sizes['S']} maps side by side: write mix: S, or mix: '' to treat each alike")
    return ""


def check_roles(axes_by_role: Mapping[str, str]) -> None:
    """Raises InvalidValue for an axis that has two roles."""
    roles: dict[str, str] = {}
    for role, axes in axes_by_role.items():
        for axis in axes:
            if axis in roles:
                raise InvalidValue(f"axis {axis} cannot be {roles[axis]!r} and {role!r} at once")
            roles[axis] = role


def spread(t: Tensor, axes: str, sizes: Sizes) -> Tensor:
    """A tensor with one dimension for each of `axes`, in the order written, made to broadcast against x_BSCHW."""
    order = sorted(range(len(axes)), key=lambda i: sizes.dim(axes[i]))
    t = t.permute(order)
    return t.reshape([t.shape[order.index(axes.index(a))] if a in axes else 1 for a in sizes.axes])


def divide(what: str, size: int, groups: int) -> int:
    """size / groups; Raises Refused where that is not whole."""
    if size % groups:
        raise InvalidValue(f"{what} {size} is not divisible by {groups}")
    return size // groups


def inverse(order: Sequence[int]) -> tuple[int, ...]:
    """The permutation that undoes another."""
    return tuple(order.index(i) for i in range(len(order)))
