"""`sefactory bench` of blocks: `block=NAME` with overrides, `blocks=[...]`, or else the seven papers."""

from functools import partial
from typing import Any

import torch
from omegaconf import DictConfig

from ..bench.benchmark import Case
from ..bench.machine import Shape
from ..bench.summary import leaf_operators, summarize
from ..config.repository import ConfigRepository, load_config
from ..errors import ConfigError, short_repr
from .arguments import GRID_OF, is_given, plain_containers, positive_int, search_folders, source_list, spatial_size
from .bench_job import read_options, run_job
from .blocks import block_label, build_block, selected_block

SEVEN = ("senet", "sknet", "cbam", "coordatt", "triplet", "danet", "seaformer")


def bench_blocks(config: DictConfig) -> None:
    """Measures the blocks at every input shape, and the baseline with them.

    A block that cannot be built at a shape is a row with the reason. Raises ConfigError for settings that concern all rows.
    """
    options, shapes, sources = read_options(config), _input_shapes(config), _sources(config)
    baseline = None if config.baseline is None else str(config.baseline)
    if baseline is not None and baseline not in sources:
        load_config(baseline, ConfigRepository(search_folders()))  # an unknown name is an error at once
        sources[baseline] = baseline
    builders = {name: partial(_build_case, name, source) for name, source in sources.items()}
    run_job(builders, shapes, options, baseline)


def _build_case(name: str, source: Any, shape: Shape) -> Case:
    batch, channels, *size = shape
    torch.manual_seed(0)
    block = build_block(source, channels, size)
    summary = summarize(block, *size, batch=batch)
    return Case(name, block, summary.parameters, summary.macs, summary.elements, leaf_operators(block))


def _input_shapes(config: DictConfig) -> list[Shape]:
    """(batch, channels, ...) of every input, from `input.shapes` or from `input.channels` and `input.size`."""
    batch = positive_int("batch", config.batch)
    if "shapes" not in config.input:
        channels = positive_int("input.channels", config.input.channels)
        return [(batch, channels, *spatial_size("input.size", config.input.size))]
    shapes = plain_containers(config.input.shapes, "input.shapes")
    for i, shape in enumerate(shapes):
        if not isinstance(shape, list) or len(shape) - 1 not in GRID_OF:
            allowed = "[channels, height, width], [channels, width] or [channels, depth, height, width]"
            raise ConfigError([(f"input.shapes.{i}", f"{short_repr(shape)}; allowed: {allowed}")])
    return [(batch, *(positive_int(f"input.shapes.{i}", n) for n in shape)) for i, shape in enumerate(shapes)]


def _sources(config: DictConfig) -> dict[str, Any]:
    """The config of each block by its name in tables."""
    if is_given(config, "block"):
        if config.blocks is not None:
            message = "blocks= and block= cannot be used together; give a list of blocks, or one block with overrides"
            raise ConfigError([("blocks", message)])
        return {block_label(): selected_block(config)}
    repository, sources = ConfigRepository(search_folders()), dict[str, Any]()
    for name, source in source_list("blocks", list(SEVEN) if config.blocks is None else config.blocks):
        if name in sources:
            raise ConfigError([("blocks", f"{name} is listed twice; remove one")])
        if not isinstance(source, dict):
            load_config(source, repository)  # an unknown name is an error at once, not a row of every table
        sources[name] = source
    return sources
