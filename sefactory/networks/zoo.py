"""Networks by name from the registries of installed libraries. A name in a config cannot run any other code."""

import re
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any

from torch import nn

from ..errors import ConfigError, did_you_mean, join_words, short_repr

NAME = re.compile(r"(\w+):([A-Za-z0-9_.]+)")
Registry = tuple[Iterable[str], Callable[..., Any]]
"""The names of the networks, and the function (name, pretrained) -> network."""


def _timm() -> Registry:
    timm = import_module("timm")
    return timm.list_models(), timm.create_model


def _torchvision() -> Registry:
    models = import_module("torchvision.models")

    def create_model(name: str, pretrained: bool) -> Any:
        return models.get_model(name, weights="DEFAULT" if pretrained else None)

    return models.list_models(), create_model


def _pytorchcv() -> Registry:
    provider = import_module("pytorchcv.model_provider")
    return provider._models, provider.get_model


ZOOS: dict[str, Callable[[], Registry]] = {"timm": _timm, "torchvision": _torchvision, "pytorchcv": _pytorchcv}


def create_network(name: Any, pretrained: bool = False) -> nn.Module:
    """A network of a zoo: `timm:resnet50`, `torchvision:mobilenet_v3_small`, `pytorchcv:resnet18`.

    Raises ConfigError for an unknown zoo or network, and if the library is not installed.
    """
    match = NAME.fullmatch(name) if isinstance(name, str) else None
    zoo, network = match.groups() if match else ("", "")
    if zoo not in ZOOS:
        hint = did_you_mean(zoo, ZOOS) if zoo else ""
        raise ConfigError([("host", f"{short_repr(name)}; allowed: ZOO:NAME, with a zoo of {join_words(ZOOS)}{hint}")])
    try:
        names, create_model = ZOOS[zoo]()
    except Exception as error:  # not installed, or built for another version of torch
        text = str(error).split("\n")[0]
        raise ConfigError([("host", f"{zoo} cannot be imported ({text}); pip install {zoo}")]) from None
    known = list(names)
    if network not in known:
        raise ConfigError([("host", f"{zoo} has no network {network!r}{did_you_mean(network, known)}")])
    model: nn.Module = create_model(network, pretrained=pretrained)
    return model
