"""build and load: from what a user names to a block."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any, NamedTuple

import torch

import sefactory.operators  # noqa: F401 (registers the operators of the package)

from ..block import Block
from ..config.expressions import GRID_ARGUMENTS
from ..config.merge import remove_nulls
from ..config.parser import Parser
from ..config.repository import ConfigRepository, load_config
from ..config.syntax_tree import Config, Node
from ..config.yaml_reader import copy_plain
from ..errors import ConfigError, choice_message, short_repr
from ..shapes import GRIDS, Sizes
from .builder import build_tree

MAX_SIZE = 2**31


def build(
    config: Any,
    channels: int,
    *,
    grid: str = "HW",
    depth: int | None = None,
    height: int | None = None,
    width: int | None = None,
    overrides: Sequence[str] = (),
    search: Sequence[str | Path] = (),
    lower: bool = True,
) -> Block:
    """Returns the block of a config for maps of `channels`: (B, C, H, W) -> (B, C', H', W').

    `config` is a name, a Path, a mapping, a list or a DictConfig. `grid` is W for sequences (B, C, W), HW for maps, or DHW
    for volumes (B, C, D, H, W). `depth`, `height` and `width` fix the grid, which some operators need. `overrides` are
    `path=value` in Hydra's syntax. `search` are further folders of configs. With `lower=False` the block runs its modules
    one by one and is not compiled to a faster form.
    Raises ConfigError with every fault found, before any weight is allocated.

    >>> import torch
    >>> build("senet", 64, overrides=["let.r=8"])(torch.zeros(2, 64, 7, 7)).shape
    torch.Size([2, 64, 7, 7])
    """
    sizes = input_sizes(channels, grid, {"D": depth, "H": height, "W": width})
    return BlockPlan.of(parse(config, grid, overrides, search), sizes).build(lower)


class ParsedConfig(NamedTuple):
    """A resolved config, its syntax tree, and the faults that were found so far."""

    config: Config
    root: Node
    faults: Sequence[tuple[str, str]]


def parse(config: Any, grid: str, overrides: Sequence[str], search: Sequence[str | Path]) -> ParsedConfig:
    """Returns a config as parsed for a grid. Raises ConfigError if it cannot be loaded; other faults are in the result."""
    repository = ConfigRepository(search)
    resolved = _resolve(config, overrides, repository)
    parser = Parser(repository, f"C{grid}")
    return ParsedConfig(resolved, parser.parse(resolved), parser.faults)


@dataclass(frozen=True)
class BlockPlan:
    """A config that was checked for one input size: blocks are built from it without further errors."""

    config: Config
    root: Node
    sizes: Sizes

    @classmethod
    def of(cls, parsed: ParsedConfig, sizes: Sizes) -> "BlockPlan":
        """The plan for an input of `sizes`. Raises ConfigError with the faults of the config and of the sizes.

        The modules are built on the meta device, where every fault is found.
        """
        with torch.device("meta"):
            build_tree(parsed.root, sizes, parsed.faults)
        return cls(parsed.config, parsed.root, sizes)

    def build(self, lower: bool = True) -> Block:
        """A new block with its initial weights."""
        tree = build_tree(self.root, self.sizes)
        config, label = copy_plain(self.config.data), self.config.label or "block"
        sizes = self.sizes, tree.output
        return Block(tree.root, config=config, label=label, sizes=sizes, parts=tree.nodes, let=tree.let, lower=lower)


def load(config: Any, overrides: Sequence[str] = (), search: Sequence[str | Path] = ()) -> Any:
    """Returns the resolved config as plain containers: inherited configs and overrides applied, expressions as written.

    Raises ConfigError.

    >>> load("ecanet")["gate"]
    ['sigmoid']
    """
    return copy_plain(_resolve(config, overrides, ConfigRepository(search)).data)


def _resolve(source: Any, overrides: Sequence[str], repository: ConfigRepository) -> Config:
    """The config with what it inherits and with the overrides applied."""
    config = load_config(source, repository)
    if overrides:
        from ..config.overrides import apply_overrides  # imports Hydra, only where it is needed

        config = apply_overrides(config, overrides, repository)
    return remove_nulls(config)


def input_sizes(channels: Any, grid: Any, fixed: Mapping[str, Any]) -> Sizes:
    """The sizes of the input. Raises ConfigError for a grid or a size that is not valid."""
    if not isinstance(grid, str) or grid not in GRIDS:
        raise ConfigError([("grid", choice_message(grid, GRIDS))])
    fixed = {axis: size for axis, size in fixed.items() if size is not None}
    given = {"channels": channels} | {GRID_ARGUMENTS[axis]: size for axis, size in fixed.items()}
    faults = [(name, f"{short_repr(n)}; allowed: an integer from 1 to 2^31") for name, n in given.items() if not _is_size(n)]
    faults += [(GRID_ARGUMENTS[axis], f"a grid of {grid} has no {GRID_ARGUMENTS[axis]}") for axis in fixed if axis not in grid]
    if faults:
        raise ConfigError(faults)
    return Sizes.of_map(int(channels), {axis: int(size) for axis, size in fixed.items()}, grid)


def _is_size(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and 0 < int(value) <= MAX_SIZE
