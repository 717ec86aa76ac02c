"""build and load: from what a user names to a block."""

from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

from .. import operators as _operators  # registers the operators of the package
from ..block import Block
from ..config.expressions import GRID_ARGUMENTS
from ..config.repository import ConfigRepository, drop_removed, load_config
from ..config.syntax_tree import Config
from ..config.yaml_reader import copy_plain
from ..errors import ConfigError, did_you_mean, join_words, short_repr
from ..shapes import GRIDS, Sizes
from .recall import made

__all__ = ["build", "load"]
_ = _operators

LARGEST_SIDE = 2**31


def build(
    config: Any,
    channels: int,
    *,
    grid: str = "HW",
    depth: int | None = None,
    height: int | None = None,
    width: int | None = None,
    overrides: Sequence[str] = (),
    search: Iterable[str | Path] = (),
    lower: bool = True,
) -> Block:
    """The block of a config, for maps of `channels`: (B, C, H, W) -> (B, C', H', W').

    `config` is a name, a Path, a mapping, a list or a DictConfig. `grid` is W for sequences (B, C, W), HW, or DHW for
    volumes (B, C, D, H, W); `depth`, `height` and `width` are for operators that need a fixed grid. `overrides` are
    `path=value` in Hydra's syntax; `search` are further folders of configs. Without `lower` the tree of modules runs as the
    config says it, step by step: the reference for what runs otherwise.
    Raises ConfigError with every fault found, before a weight is allocated.

    >>> import torch
    >>> build("senet", 64, overrides=["let.r=8"])(torch.zeros(2, 64, 7, 7)).shape
    torch.Size([2, 64, 7, 7])
    """
    sizes = _incoming(channels, grid, {"D": depth, "H": height, "W": width})
    shelf = ConfigRepository(search)
    resolved = _resolved(config, overrides, shelf)
    found = made(resolved, shelf, sizes)
    return Block(
        found.node,
        config=copy_plain(resolved.data),
        label=resolved.label or "block",
        sizes=(sizes, found.out),
        parts=found.parts,
        let=found.let,
        lower=lower,
    )


def load(config: Any, overrides: Sequence[str] = (), search: Iterable[str | Path] = ()) -> Any:
    """The resolved config as plain containers: with what it inherits and with the overrides, expressions as written.

    Raises ConfigError.

    >>> load("ecanet")["gate"]
    ['sigmoid']
    """
    return copy_plain(_resolved(config, overrides, ConfigRepository(search)).data)


def _resolved(source: Any, overrides: Sequence[str], shelf: ConfigRepository) -> Config:
    """The config with what it inherits and with the overrides applied."""
    config = load_config(source, shelf)
    if overrides:
        from ..config.overrides import apply_overrides  # hydra's parser is imported where it is used

        config = apply_overrides(config, overrides, shelf)
    return drop_removed(config)


def _incoming(channels: Any, grid: Any, told: Mapping[str, Any]) -> Sizes:
    if not isinstance(grid, str) or grid not in GRIDS:
        raise ConfigError([("grid", f"{short_repr(grid)}; it is one of {join_words(GRIDS)}{did_you_mean(str(grid), GRIDS)}")])
    told = {axis: n for axis, n in told.items() if n is not None}
    given = {"channels": channels} | {GRID_ARGUMENTS[axis]: n for axis, n in told.items()}
    faults = [(name, f"{short_repr(n)}; it is a whole number from 1 to 2^31") for name, n in given.items() if not _size(n)]
    faults += [(GRID_ARGUMENTS[axis], f"a grid of {grid} has no {GRID_ARGUMENTS[axis]}") for axis in told if axis not in grid]
    if faults:
        raise ConfigError(faults)
    return Sizes.of_map(int(channels), {axis: int(n) for axis, n in told.items()}, grid)


def _size(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and 0 < int(value) <= LARGEST_SIDE
