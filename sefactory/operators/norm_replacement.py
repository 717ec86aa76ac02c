"""What tools put in the place of a batch norm of a block: they normalise dimension 1 of (N, C, H, W)."""

from functools import partial
from typing import Any

from torch import Tensor, nn

from ..errors import ConfigError
from .norm import BatchNorm
from .traced_shapes import unflatten


def fit_to_place(original: nn.Module | None, new: nn.Module | None) -> nn.Module | None:
    """Returns what stands in the place of `original` if a tool replaces it by `new` with `add_module`.

    - What torch's converter made of a batch norm of this package: that norm, synchronised for its own axes.
    - Another batch norm of torch or timm (split, frozen): that one, which gets the map as (N, C, H, W).
    - Anything else: `new` as it is.

    A module that is assigned by `setattr` gets x_BSCHW, since torch does not call `add_module` there.
    Raises ConfigError for a norm whose statistics are not those of dimension 1 in (N, C, H, W).
    """
    if new is None or original is None or isinstance(new, BatchNorm) or not hasattr(new, "running_mean"):
        return new
    if isinstance(original, BatchNorm):
        if isinstance(new, nn.SyncBatchNorm) and new.weight is original.weight:
            original.is_synchronized, original.process_group = True, new.process_group
            return original
        if original.merged_dims is None:
            kind, cure = type(new).__name__, "convert the network before sf.insert"
            fault = f"{kind} normalises dimension 1 of (N, C, H, W), and not the axes {original.each} of the block; {cure}"
            raise ConfigError([("batch_norm", fault)])
        return _with_layout(new, *original.merged_dims)
    dims = None if original is new else _dims_of(original)
    return new if dims is None else _with_layout(new, *dims)


def _with_layout(norm: nn.Module, dim: int, sizes: tuple[int, int]) -> nn.Module:
    """The norm with hooks: x_BSCHW is passed with two dimensions merged, and the output has the shape of x again."""
    norm.register_forward_pre_hook(partial(_merge, dim))
    norm.register_forward_hook(partial(_split, dim, sizes))
    return norm


def _merge(dim: int, norm: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (args[0].flatten(dim, dim + 1),)


def _split(dim: int, sizes: tuple[int, int], norm: nn.Module, args: tuple[Tensor, ...], y: Tensor) -> Tensor:
    return unflatten(y, dim, sizes)


def _dims_of(norm: nn.Module) -> tuple[int, tuple[int, int]] | None:
    """The dimension and sizes of the hooks of a norm; None for a norm without them."""
    hooks: list[Any] = list(norm._forward_hooks.values())
    return next((hook.args for hook in hooks if getattr(hook, "func", None) is _split), None)
