"""Builds the blocks of one insertion: each config is checked once for each number of channels."""

from collections.abc import Sequence
from contextlib import suppress

from torch import nn

from ..block import Block
from ..build.api import BlockPlan, ParsedConfig, input_sizes, parse
from ..errors import ConfigError
from ..shapes import GRIDS, Shape
from .adapter import is_identity
from .official_weights import ratio_override
from .options import InsertionSpec

GRID_OF = {2 + len(grid): grid for grid in GRIDS}
"""Rank of a feature map -> spatial axes."""
WIDER = 16
"""A place is too narrow if the block can be built for this many times its channels."""


class NarrowPlace(Exception):
    """A block cannot be built at the width of a place, but it can at a larger one. `error` says why."""

    def __init__(self, error: ConfigError) -> None:
        super().__init__(str(error))
        self.error = error


class BlockPlans:
    """The configs that were parsed so far, their plans, and the specs whose blocks change their input at initialisation."""

    def __init__(self) -> None:
        self._parsed: dict[tuple[object, ...], ParsedConfig] = {}
        self._plans: dict[tuple[object, ...], BlockPlan] = {}
        self._no_identities: set[int] = set()

    def find(self, spec: InsertionSpec, original: nn.Module, path: str, shape: Shape) -> BlockPlan:
        """The plan of the block for the module at a path, with feature maps of this shape.

        Raises ConfigError if there cannot be a block, and NarrowPlace for a width that is too small.
        """
        overrides = [*spec.overrides]
        if spec.carry is not None:
            overrides += ratio_override(spec, original, shape[1])
        try:
            return self._find_plan(spec, shape, overrides)
        except ConfigError as error:
            fault = ConfigError([(f"{place} (for {path}, C = {shape[1]})", text) for place, text in error.faults])
            wider = (shape[0], WIDER * shape[1], *shape[2:])
            raise (NarrowPlace(fault) if self._has_plan(spec, wider) else fault) from None

    def is_identity(self, spec: InsertionSpec, block: Block) -> bool:
        """True if a new block of a spec returns its input unchanged. If the first one does not, the others are not run."""
        if id(spec) in self._no_identities:
            return False
        if is_identity(block):
            return True
        self._no_identities.add(id(spec))
        return False

    def _find_plan(self, spec: InsertionSpec, shape: Shape, overrides: Sequence[str]) -> BlockPlan:
        """The plan for feature maps of this shape; with a fixed spatial size only if there is none without."""
        grid, channels, spatial = GRID_OF[len(shape)], shape[1], shape[2:]
        key: tuple[object, ...] = (id(spec), grid, channels, *overrides)
        if key in self._plans:
            return self._plans[key]
        parsed = self._parse(spec, grid, overrides)
        try:
            plan = BlockPlan.of(parsed, input_sizes(channels, grid, {}))
        except ConfigError as error:
            key = (*key, spatial)
            if key in self._plans:
                return self._plans[key]
            try:
                plan = BlockPlan.of(parsed, input_sizes(channels, grid, dict(zip(grid, spatial, strict=True))))
            except ConfigError:
                raise error from None
        self._plans[key] = plan
        return plan

    def _parse(self, spec: InsertionSpec, grid: str, overrides: Sequence[str]) -> ParsedConfig:
        key = (id(spec), grid, *overrides)
        if key not in self._parsed:
            self._parsed[key] = parse(spec.config, grid, overrides, spec.search)
        return self._parsed[key]

    def _has_plan(self, spec: InsertionSpec, shape: Shape) -> bool:
        """True if there is a plan for feature maps of this shape."""
        with suppress(ConfigError):
            self._find_plan(spec, shape, spec.overrides)
            return True
        return False
