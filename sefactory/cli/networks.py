"""Whole networks on the command line: where blocks went and what they add, and cases to measure."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.table import Table
from torch import nn

from ..bench.benchmark import Case
from ..bench.machine import Shape
from ..config.yaml_reader import to_plain
from ..errors import ConfigError, short_repr
from ..networks.cost import macs, parameters
from ..networks.host import host_config, place
from ..networks.report import Report
from ..networks.selectors import example_of
from ..networks.zoo import network

WIDE = 160


def chosen_host(config: DictConfig) -> dict[str, Any] | None:
    """The host of host= and its overrides; None where none is chosen. Raises ConfigError beside block=."""
    if OmegaConf.is_missing(config, "host") or config.get("host") is None:
        return None
    if any(text.lstrip("+").startswith(("block=", "block.")) for text in HydraConfig.get().overrides.task):
        said = "host= and block= at once; the host's config names its blocks, as host.place.0.block does"
        raise ConfigError([("host", said)])
    data = to_plain(OmegaConf.to_container(config.host, resolve=False), "host")
    return host_config(data)[0]


def host_label() -> str:
    """The host and what was changed of it."""
    typed = [text.lstrip("+") for text in HydraConfig.get().overrides.task]
    changes = [text.replace("host.", "", 1) for text in typed if text.startswith(("host.", "~host."))]
    return " ".join([str(HydraConfig.get().runtime.choices["host"]), *changes])


def show_host(data: dict[str, Any], form: str, search: Sequence[Path]) -> None:
    """Prints the places of the blocks, and what they add to the network."""
    model = _plain(data)
    shape = _shape(model, data)
    before = {"parameters": parameters(model), "macs": macs(model, shape)}
    report = place(model, data, search=search)
    found = {"host": data["host"], "input": list(shape), **before, **asdict(report)}
    found |= {"parameters_added": report.parameters, "macs_added": report.macs}
    if form == "json":
        print(json.dumps(found, indent=1))
        return
    _print(data["host"], shape, before, report, Console(width=None if sys.stdout.isatty() else WIDE))


def _print(name: str, shape: Shape, before: dict[str, int], report: Report, console: Console) -> None:
    console.print(f"[bold]{name}[/bold]  {' x '.join(map(str, shape[1:]))}", highlight=False)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("path", "", "block", "start"):
        table.add_column(heading, overflow="fold")
    for heading in ("C x H x W", "parameters", "MACs"):
        table.add_column(heading, justify="right", no_wrap=True)
    for p in report.places:
        size = " x ".join(map(str, p.shape[1:]))
        table.add_row(p.path, p.where, p.block, p.start, size, f"{p.parameters:,}", f"{p.macs:,}")
    table.add_section()
    added = (f"+{report.parameters:,}", f"+{report.macs:,}")
    table.add_row("blocks", "", "", "", "", *added, style="bold")
    table.add_row("network before", "", "", "", "", f"{before['parameters']:,}", f"{before['macs']:,}")
    console.print(table)
    keys = f"{len(report.kept)} keys kept, {len(report.new)} new, {len(report.missing)} missing"
    console.print(keys, highlight=False)


def _plain(data: dict[str, Any]) -> nn.Module:
    """The network without blocks, its weights the same at every call."""
    if "host" not in data:
        raise ConfigError([("host", "names no network; write host.host=timm:resnet50")])
    torch.manual_seed(0)
    return network(data["host"])


def _shape(model: nn.Module, data: dict[str, Any], batch: int = 1) -> Shape:
    return (batch, *example_of(model, data.get("input"), None).shape[1:])


def shapes_of(hosts: Sequence[dict[str, Any]], batch: int) -> list[Shape]:
    """The inputs of some hosts, each once."""
    with torch.device("meta"):
        return list(dict.fromkeys(_shape(_plain(data), data, batch) for data in hosts))


def plain_case(data: dict[str, Any], shape: Shape) -> Case:
    """The network without blocks, to measure."""
    return _case(data["host"], _plain(data), shape)


def host_case(name: str, data: dict[str, Any], shape: Shape, search: Sequence[Path]) -> Case:
    """The network with its blocks, to measure."""
    model = _plain(data)
    place(model, {**data, "input": list(shape[1:])}, search=search)
    return _case(name, model, shape)


def _case(name: str, model: nn.Module, shape: Shape) -> Case:
    kinds = {path: type(module).__name__ for path, module in model.named_children()}
    return Case(name, model, parameters(model), macs(model, shape), 0, kinds)


def listed_hosts(hosts: Any, search: Sequence[Path]) -> dict[str, dict[str, Any]]:
    """The hosts of hosts=[...], by the names of the tables: names, paths of YAML files, mappings."""
    listed = OmegaConf.to_container(hosts, resolve=False) if OmegaConf.is_config(hosts) else hosts
    if not isinstance(listed, list) or not listed:
        raise ConfigError([("hosts", f"{short_repr(listed)}; it is a list of names, paths and mappings")])
    found = {}
    for i, item in enumerate(to_plain(listed, "hosts")):
        source = Path(item) if isinstance(item, str) and item.endswith((".yaml", ".yml")) else item
        found[item if isinstance(item, str) else f"hosts.{i}"] = host_config(source, search)[0]
    return found
