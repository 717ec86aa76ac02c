"""Networks by name from the registries of installed libraries; a config names them, and no name runs code of a config."""

import re
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any

from torch import nn

from ..errors import ConfigError, did_you_mean, join_words, short_repr

NAME = re.compile(r"(\w+):([A-Za-z0-9_.]+)")


def _timm() -> tuple[Iterable[str], Callable[..., Any]]:
    timm = import_module("timm")
    return timm.list_models(), timm.create_model


def _torchvision() -> tuple[Iterable[str], Callable[..., Any]]:
    models = import_module("torchvision.models")

    def made(name: str, pretrained: bool) -> nn.Module:
        model: nn.Module = models.get_model(name, weights="DEFAULT" if pretrained else None)
        return model

    return models.list_models(), made


def _pytorchcv() -> tuple[Iterable[str], Callable[..., Any]]:
    provider = import_module("pytorchcv.model_provider")
    return provider._models, provider.get_model


ZOOS: dict[str, Callable[[], tuple[Iterable[str], Callable[..., Any]]]] = {
    "timm": _timm,
    "torchvision": _torchvision,
    "pytorchcv": _pytorchcv,
}


def network(name: Any, pretrained: bool = False) -> nn.Module:
    """A network of a zoo: `timm:resnet50`, `torchvision:mobilenet_v3_small`, `pytorchcv:resnet18`.

    Raises ConfigError for an unknown zoo or network, and where the library is not installed.
    """
    found = NAME.fullmatch(name) if isinstance(name, str) else None
    zoo = found.group(1) if found else ""
    if found is None or zoo not in ZOOS:
        hint = did_you_mean(zoo, ZOOS) if zoo else ""
        raise ConfigError([("host", f"{short_repr(name)}; it is ZOO:NAME, with a zoo of {join_words(ZOOS)}{hint}")])
    try:
        names, make = ZOOS[zoo]()
    except Exception as error:  # not installed, or built for another torch
        text = str(error).split("\n")[0]
        raise ConfigError([("host", f"{zoo} cannot be imported ({text}); pip install {zoo}")]) from None
    known = list(names)
    if found.group(2) not in known:
        raise ConfigError([("host", f"{zoo} has no network {found.group(2)!r}{did_you_mean(found.group(2), known)}")])
    model: nn.Module = make(found.group(2), pretrained=pretrained)
    return model
