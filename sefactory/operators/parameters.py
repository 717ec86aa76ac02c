"""Creates the weights of operators, and helps to place them against a map."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from ..errors import InvalidValue
from ..shapes import Sizes

MAX_PARAMETERS = 10**9


def init_parameter(shape: Sequence[int], fan_in: int = 1, start: float | None = None) -> nn.Parameter:
    """Returns a parameter drawn from U(-a, a), a = 1 / sqrt(fan_in) as in nn.Linear, or filled with `start`.

    Raises InvalidValue above 10^9 entries, before memory is allocated, and for a `start` that the dtype cannot hold.
    """
    _check_size(shape)
    dtype, bound = torch.get_default_dtype(), fan_in**-0.5
    if start is not None and abs(start) > torch.finfo(dtype).max:
        raise InvalidValue(f"start {start:g} is beyond {str(dtype).removeprefix('torch.')}")
    weight = torch.empty(tuple(shape))
    if start is not None:
        weight.fill_(start)
    elif not weight.is_meta:  # on the meta device uniform_ runs in Python
        weight.uniform_(-bound, bound)
    return nn.Parameter(weight)


def normal_parameter(shape: Sequence[int]) -> nn.Parameter:
    """Returns a parameter drawn from N(0, 1). Raises InvalidValue above 10^9 entries."""
    _check_size(shape)
    weight = torch.empty(tuple(shape))
    if not weight.is_meta:  # on the meta device normal_ imports torch's compiler
        weight.normal_()
    return nn.Parameter(weight)


def _check_size(shape: Sequence[int]) -> None:
    if math.prod(shape) > MAX_PARAMETERS:
        raise InvalidValue(f"would hold {math.prod(shape):,} parameters; at most {MAX_PARAMETERS:,} in a block")


def default_mix(sizes: Sizes, mix: str | None, *others: str) -> str:
    """Returns the mixed axes: `mix` where it is written; else C, or no axis where C is among the `others`.

    Raises InvalidValue where S > 1 and no axes are written for S: maps would be left out without notice.
    """
    if mix is not None:
        return mix
    if not any("C" in other for other in others):
        return "C"
    if sizes["S"] != 1 and not any("S" in other for other in others):
        raise InvalidValue(f"S holds {sizes['S']} maps: write mix: S to mix them, or mix: '' to treat each alike")
    return ""


def check_roles(axes_by_role: Mapping[str, str]) -> None:
    """Raises InvalidValue for an axis that has two roles."""
    roles: dict[str, str] = {}
    for role, axes in axes_by_role.items():
        for axis in axes:
            if axis in roles:
                raise InvalidValue(f"axis {axis} cannot be {roles[axis]!r} and {role!r} at once")
            roles[axis] = role


def broadcast_to_map(t: Tensor, axes: str, sizes: Sizes) -> Tensor:
    """Returns a tensor with one dimension per axis of `axes`, in that order, reshaped to broadcast against x_BSCHW."""
    order = sorted(range(len(axes)), key=lambda i: sizes.dim(axes[i]))
    t = t.permute(order)
    return t.reshape([t.shape[order.index(axes.index(a))] if a in axes else 1 for a in sizes.axes])


def exact_div(name: str, size: int, groups: int) -> int:
    """Returns size / groups. Raises InvalidValue where that is not a whole number."""
    if size % groups:
        raise InvalidValue(f"{name} {size} is not divisible by {groups}")
    return size // groups


def inverse_permutation(order: Sequence[int]) -> tuple[int, ...]:
    """Returns the permutation that undoes `order`.

    >>> inverse_permutation((0, 2, 3, 1))
    (0, 3, 1, 2)
    """
    return tuple(order.index(i) for i in range(len(order)))
