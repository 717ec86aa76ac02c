"""Finds the layout of a place: which axis holds the channels, and the grid of tokens."""

from collections.abc import Iterator
from itertools import chain
from math import prod

from torch import nn

from ..errors import ConfigError
from ..shapes import Shape
from .holder import named_places, unwrap
from .layouts import CHANNELS_FIRST, Layout, LayoutName, grid_of_ratio
from .options import InsertionSpec
from .tracing import CallRecords

MAX_TOKENS = 16
"""Class and register tokens that are looked for before the tokens of the grid."""
CHANNELS_FIRST_MODULES = (
    nn.modules.conv._ConvNd,
    nn.modules.batchnorm._NormBase,
    nn.GroupNorm,
    nn.modules.pooling._MaxPoolNd,
    nn.modules.pooling._AvgPoolNd,
    nn.modules.pooling._AdaptiveAvgPoolNd,
)


def channel_axis(module: nn.Module, shape: Shape) -> int | None:
    """The axis of the channels in the output of a module, 1 or the last one, if its class says it; None otherwise."""
    last = len(shape) - 1
    if isinstance(module, CHANNELS_FIRST_MODULES):
        return 1
    if isinstance(module, nn.Linear):
        return last if shape[last] == module.out_features else None
    if isinstance(module, nn.LayerNorm | nn.RMSNorm):
        width = module.normalized_shape[-1]
        axes = [axis for axis in (1, last) if shape[axis] == width]
        is_2d = "2d" in type(module).__name__.lower()
        return (1 if is_2d else last) if len(axes) == 2 else axes[0] if axes else None
    return None


def evidence(model: nn.Module, path: str, shape: Shape, calls: CallRecords) -> tuple[int, str] | None:
    """The axis of the channels of a map, and the path of the module that says so; None if none does.

    The place itself is asked first, then the modules inside of it, then those called before it, the nearest first: each
    that has an output of the same shape.
    """
    found = _all_evidence(model, path, shape, calls)
    first = next(found, None)
    if first and first[1] != path and shape[1] == shape[-1] and any(axis != first[0] for axis, _ in found):
        return None  # a permutation in between does not change this shape
    return first


def _all_evidence(model: nn.Module, path: str, shape: Shape, calls: CallRecords) -> Iterator[tuple[int, str]]:
    """(axis, path) for each module that tells the axis of the channels, in the order in which they are asked."""
    names = list(calls)
    before = reversed(names[: names.index(path)] if path in calls else [])
    inside = (name for name in reversed(names) if name.startswith(f"{path}."))
    outside = (name for name in before if not name.startswith(f"{path}."))
    for name in filter(None, chain([path], inside, outside)):
        if any(call.output_shape == shape for call in calls.get(name, ())):
            axis = channel_axis(unwrap(model.get_submodule(name)), shape)
            if axis is not None:
                yield axis, name


def find_layout(
    model: nn.Module, path: str, shape: Shape, spec: InsertionSpec, calls: CallRecords, input_shape: Shape
) -> Layout:
    """The layout of the map at a path: what the spec says, or what the modules around the place say.

    Raises ConfigError for a layout that contradicts them, one that cannot be found out, and tokens without a grid.
    """
    found = evidence(model, path, shape, calls)
    name = spec.layout or _found_name(path, shape, spec.grid, found)
    _check_widths(path, shape, name, found)
    if name != "BNC":
        return CHANNELS_FIRST if name == "BCHW" else Layout(name)
    return _token_layout(model, path, shape, spec, calls, input_shape)


def _found_name(path: str, shape: Shape, grid: str | None, found: tuple[int, str] | None) -> LayoutName:
    """The layout if the spec names none."""
    if len(shape) == 3 and grid == "W":
        return "BCHW"
    if len(shape) == 3 and (found is None or found[0] == 1):
        cure = "set layout to BNC if it is (B, tokens, C), or grid to W if it is (B, C, W)"
        raise ConfigError([(path, f"its feature map has shape {shape}, not (B, C, H, W); {cure}")])
    if found is not None and found[0] != 1:
        return "BNC" if len(shape) == 3 else "BHWC"
    if found is None and len(shape) == 4 and shape[1] == shape[2] != shape[3]:
        message = "which looks like (B, H, W, C); set layout to BHWC if it is that, or to BCHW if it is (B, C, H, W)"
        raise ConfigError([(path, f"its feature map has shape {shape}, {message}")])
    return "BCHW"


def _check_widths(path: str, shape: Shape, name: LayoutName, found: tuple[int, str] | None) -> None:
    """Raises ConfigError for a layout of another rank, and for one that a module with the same output contradicts."""
    if (len(shape) != 3 and name == "BNC") or (len(shape) not in (4, 5) and name == "BHWC") or not 3 <= len(shape) <= 5:
        wanted = {"BNC": "(B, tokens, C)", "BHWC": "(B, H, W, C)", "BCHW": "(B, C, H, W)"}[name]
        raise ConfigError([(path, f"its feature map has shape {shape}, not {wanted}")])
    axis = 1 if name == "BCHW" else len(shape) - 1
    if found is not None and found[0] != axis and shape[found[0]] != shape[axis]:
        message = f"layout {name} makes {shape[axis]} of {shape} the channels, but {found[1]} has {shape[found[0]]}"
        other = "BCHW" if found[0] == 1 else "BNC" if len(shape) == 3 else "BHWC"
        raise ConfigError([(path, f"{message}; set layout to {other}")])


def _token_layout(
    model: nn.Module, path: str, shape: Shape, spec: InsertionSpec, calls: CallRecords, input_shape: Shape
) -> Layout:
    """The number of extra tokens and the grid, from the maps before the place or from the ratio of the input's sides."""
    count = shape[1]
    extra = range(MAX_TOKENS + 1) if spec.tokens is None else (spec.tokens,)
    grids = list(_grids_before(model, path, calls))
    for tokens in extra:
        for grid in grids:
            if prod(grid) == count - tokens:
                return Layout("BNC", tokens, grid)
    for tokens in extra if spec.tokens is not None else (*_noted_tokens(model), 0, 1):
        if len(input_shape) == 4 and (sides := grid_of_ratio(count - tokens, *input_shape[2:])):
            return Layout("BNC", tokens, sides)
    given = "tokens" if spec.tokens is None else f"tokens, of which tokens={spec.tokens} are no part of the grid,"
    message = f"its {count} {given} fit no map of the forward pass"
    cure = "set tokens to the number of class and register tokens, such as tokens=1"
    raise ConfigError([(path, f"{message}; {cure}")])


def _noted_tokens(model: nn.Module) -> Iterator[int]:
    """The number of class and register tokens that timm notes on its networks."""
    for _, module in named_places(model):
        count = getattr(module, "num_prefix_tokens", None)
        if type(count) is int:
            yield count


def _grids_before(model: nn.Module, path: str, calls: CallRecords) -> Iterator[tuple[int, ...]]:
    """The grids of the maps of modules called before the place ended, the last one first."""
    order = list(calls)
    for other in reversed(order[: order.index(path)] if path in calls else order):
        for call in calls[other]:
            shape = call.output_shape
            if other and shape is not None and len(shape) in (4, 5):
                axis = channel_axis(unwrap(model.get_submodule(other)), shape)
                if axis is not None:
                    yield shape[2:] if axis == 1 else shape[1:-1]
