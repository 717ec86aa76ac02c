"""`sefactory bench`: the blocks or networks that a command line compares, and the input shapes."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from omegaconf import DictConfig

from ..bench.case import Case
from ..bench.machine import Options
from ..bench.macs import macs
from ..bench.summary import node_names, parameters, summarize
from ..bench.versions import package_version
from ..config.description import describe
from ..config.repository import ConfigRepository, load_config
from ..errors import ConfigError, choice_message, short_repr
from ..networks.host import host_config, place
from ..shapes import Shape
from .arguments import (
    GRID_OF,
    is_given,
    named_source,
    plain_containers,
    positive_int,
    search_folders,
    source_list,
    spatial_size,
    task_overrides,
)
from .bench_job import CaseBuilder, JobSpec, read_options
from .selection import (
    block_label,
    build_network,
    host_label,
    input_shape,
    plan_block,
    selected_block,
    selected_host,
    to_yaml,
    with_settings,
)

SEVEN = ("senet", "sknet", "cbam", "coordatt", "triplet", "danet", "seaformer")


def bench_blocks(config: DictConfig) -> JobSpec:
    """`block=NAME`, `blocks=[...]` or the seven papers at every input shape, and the baseline with them.

    A block that cannot be built at a shape is a row with the reason. Raises ConfigError for settings that concern all rows.
    """
    options, shapes, sources = read_options(config), _input_shapes(config), _block_sources(config)
    asked, baseline = tuple(sources), None
    if config.baseline is not None:
        baseline, source = named_source("baseline", plain_containers(config.baseline, "baseline"))
        load_config(source, ConfigRepository(search_folders()))  # an unknown name is an error at once
        sources.setdefault(baseline, source)
    builders = {name: partial(_block_case, with_settings(name), source) for name, source in sources.items()}
    return _job_spec(builders, shapes, options, baseline, asked)


def _job_spec(
    builders: Mapping[str, CaseBuilder], shapes: Sequence[Shape], options: Options, baseline: str | None, asked: Iterable[str]
) -> JobSpec:
    """The JobSpec with the names that stand in tables, which differ between the jobs of a sweep."""
    named = {with_settings(name): builder for name, builder in builders.items()}
    return JobSpec(named, shapes, options, baseline and with_settings(baseline), tuple(map(with_settings, asked)))


def _block_case(name: str, source: Any, shape: Shape) -> Case:
    batch, channels, *size = shape
    torch.manual_seed(0)
    plan = plan_block(source, channels, size)
    block = plan.build()
    summary = summarize(block, *size, batch=batch)
    costs, tree, config = (summary.parameters, summary.macs, summary.elements), describe(plan.root), to_yaml(block.config)
    return Case(name, block, *costs, node_names(block), tree, config)


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


def _block_sources(config: DictConfig) -> dict[str, Any]:
    """The config of each block by its name in tables."""
    if is_given(config, "block"):
        _check_one_of(config, "block", "blocks")
        return {block_label(): selected_block(config)}
    repository, sources = ConfigRepository(search_folders()), dict[str, Any]()
    for name, source in source_list("blocks", list(SEVEN) if config.blocks is None else config.blocks):
        if not isinstance(source, str | Path | dict):
            raise ConfigError([(name, f"{short_repr(source)}; allowed: a name, a YAML file or a mapping")])
        if name in sources:
            raise ConfigError([("blocks", f"{name} is listed twice; remove one")])
        if not isinstance(source, dict):
            load_config(source, repository)  # an unknown name is an error at once, not a row of every table
        sources[name] = source
    return sources


class HostSource(NamedTuple):
    """The config of a network with blocks, and the folders in which the names of its blocks are looked up."""

    config: dict[str, Any]
    search: list[Path]


def bench_networks(config: DictConfig) -> JobSpec:
    """Every network of `host=NAME` or `hosts=[...]` with its blocks and without, which is the default baseline."""
    options, hosts, batch = read_options(config), _host_sources(config), positive_int("batch", config.batch)
    with torch.device("meta"):
        shapes = list(dict.fromkeys(input_shape(build_network(host.config), host.config, batch) for host in hosts.values()))
    originals = {host.config["host"]: host for host in hosts.values()}
    builders = {name: partial(_network_case, with_settings(name), host, has_blocks=False) for name, host in originals.items()}
    builders |= {name: partial(_network_case, with_settings(name), host, has_blocks=True) for name, host in hosts.items()}
    return _job_spec(builders, shapes, options, _network_baseline(config.baseline, builders), hosts)


def _network_baseline(given: Any, builders: Mapping[str, CaseBuilder]) -> str | None:
    """The network that ratios are to: by default the first one without blocks. Raises ConfigError for an unknown name."""
    if not any(text.startswith("baseline=") for text in task_overrides()):
        return next(iter(builders))
    if given is not None and str(given) not in builders:
        raise ConfigError([("baseline", f"{choice_message(given, builders)}; null for no ratios")])
    return None if given is None else str(given)


def _host_sources(config: DictConfig) -> dict[str, HostSource]:
    """The config of each host by its name in tables."""
    search = search_folders()
    if is_given(config, "host"):
        host = selected_host(config)
        _check_one_of(config, "host", "hosts")
        return {host_label(): HostSource(host, search)}
    hosts = {}
    for name, source in source_list("hosts", config.hosts):
        beside = [source.parent] if isinstance(source, Path) else []
        hosts[name] = HostSource(host_config(source, search)[0], [*search, *beside])
    return hosts


def _network_case(name: str, host: HostSource, shape: Shape, has_blocks: bool) -> Case:
    model, blocks = build_network(host.config), {}
    if has_blocks:
        report = place(model, {**host.config, "input": list(shape[1:])}, search=host.search)
        blocks = {p.path: describe(p.block_plan.root) for p in report.places}
    operators = {path: type(module).__name__ for path, module in model.named_children()}
    counts = parameters(model), macs(model, torch.zeros(shape)), 0
    zoo = package_version(str(host.config["host"]).partition(":")[0])
    tree, config = {**host.config, "blocks": blocks, "zoo": zoo}, to_yaml(host.config) if has_blocks else ""
    return Case(name, model, *counts, operators, tree, config)


def _check_one_of(config: DictConfig, one: str, many: str) -> None:
    """Raises ConfigError if both `block=` and `blocks=` are given, or both `host=` and `hosts=`."""
    if config[many] is not None:
        cure = f"give a list of {many}, or one {one} with overrides"
        raise ConfigError([(many, f"{many}= and {one}= cannot be used together; {cure}")])
