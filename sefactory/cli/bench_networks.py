"""`sefactory bench` of networks: `host=NAME` with overrides, or `hosts=[...]`."""

from functools import partial
from typing import Any

import torch
from omegaconf import DictConfig
from torch import nn

from ..bench.benchmark import Case
from ..bench.machine import Shape
from ..errors import ConfigError
from ..networks.cost import macs, parameters
from ..networks.host import host_config, place
from .arguments import is_given, positive_int, search_folders, source_list
from .bench_job import read_options, run_job
from .networks import build_network, host_label, input_shape, selected_host


def bench_networks(config: DictConfig) -> None:
    """Measures every network with its blocks, and the same network without blocks, which is the baseline by default."""
    options, hosts, batch = read_options(config), _selected_hosts(config), positive_int("batch", config.batch)
    with torch.device("meta"):
        shapes = list(dict.fromkeys(input_shape(build_network(host), host, batch) for host in hosts.values()))
    originals = {host["host"]: host for host in hosts.values()}
    builders = {name: partial(_build_original, host) for name, host in originals.items()}
    builders |= {name: partial(_build_with_blocks, name, host) for name, host in hosts.items()}
    baseline = str(config.baseline) if str(config.baseline) in builders else next(iter(originals))
    run_job(builders, shapes, options, baseline)


def _selected_hosts(config: DictConfig) -> dict[str, dict[str, Any]]:
    """The config of each host by its name in tables."""
    if is_given(config, "host"):
        host = selected_host(config)
        if config.hosts is not None:
            message = "hosts= and host= cannot be used together; give a list of hosts, or one host with overrides"
            raise ConfigError([("hosts", message)])
        return {host_label(): host}
    return {name: host_config(source, search_folders())[0] for name, source in source_list("hosts", config.hosts)}


def _build_original(host: dict[str, Any], shape: Shape) -> Case:
    return _case(host["host"], build_network(host), shape)


def _build_with_blocks(name: str, host: dict[str, Any], shape: Shape) -> Case:
    model = build_network(host)
    place(model, {**host, "input": list(shape[1:])}, search=search_folders())
    return _case(name, model, shape)


def _case(name: str, model: nn.Module, shape: Shape) -> Case:
    operators = {path: type(module).__name__ for path, module in model.named_children()}
    return Case(name, model, parameters(model), macs(model, shape), 0, operators)
