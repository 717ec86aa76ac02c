"""The network (host) that a command line selects: its config, its name in tables, and how it is built without blocks."""

from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from torch import nn

from ..bench.machine import Shape
from ..errors import ConfigError
from ..networks.host import host_config
from ..networks.tracing import example_input
from ..networks.zoo import create_network
from .arguments import plain_containers, task_overrides


def selected_host(config: DictConfig) -> dict[str, Any]:
    """The config of `host=` with its overrides. Raises ConfigError if a block is selected too."""
    if any(text.startswith(("block=", "block.")) for text in task_overrides()):
        cure = "to change a block of the network, write host.place.0.block=NAME"
        raise ConfigError([("host", f"host= and block= cannot be used together; {cure}")])
    return host_config(plain_containers(config.host, "host"))[0]


def host_label() -> str:
    """The name in tables: the host and its changes, such as `senet_resnet50 place.0.block=cbam`."""
    changes = [text.replace("host.", "", 1) for text in task_overrides() if text.startswith(("host.", "~host."))]
    return " ".join([str(HydraConfig.get().runtime.choices["host"]), *changes])


def build_network(host: dict[str, Any]) -> nn.Module:
    """The network without blocks, with the same initial weights at every call."""
    if "host" not in host:
        raise ConfigError([("host", "names no network; add host.host=ZOO:NAME, for example host.host=timm:resnet50")])
    torch.manual_seed(0)
    return create_network(host["host"])


def input_shape(model: nn.Module, host: dict[str, Any], batch: int = 1) -> Shape:
    """(batch, channels, ...): `input` of the host's config, or the size that timm notes on the model."""
    return (batch, *example_input(model, host.get("input"), None).shape[1:])
