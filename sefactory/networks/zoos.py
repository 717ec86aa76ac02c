"""Networks of timm, torchvision and pytorchcv by name. Weights are downloaded only if they are asked for."""

import inspect
import re
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any, NamedTuple

import torch
from torch import nn

from ..errors import ConfigError, did_you_mean, first_line, join_words, short_repr

NETWORK_NAME = re.compile(r"(\w+):([A-Za-z0-9_.]+)")
Registry = tuple[Iterable[str], Callable[..., Any]]
"""The names of the networks, and the function (name, pretrained, task) -> network."""


class Task(NamedTuple):
    """What a network is for: the channels of its images, and the number of classes."""

    channels: int
    classes: int


OPERATORS = ("nms", "qnms")
"""The operators of torchvision that its Python code needs at import."""
SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_declared: list[torch.library.Library] = []
"""A schema lives as long as its library."""


def import_torchvision() -> None:
    """Imports torchvision, also one whose compiled operators do not load, such as one for GPUs beside a torch for CPUs.

    Two of these operators have to be known at import. Their schemas are declared then, without kernels: networks that use
    compiled operators still raise torchvision's own error when they call one.
    """
    try:
        import_module("torchvision")
    except RuntimeError as error:
        if _declared or not re.search(r"operator torchvision::\w+ does not exist", str(error)):
            raise
        _declared.append(torch.library.Library("torchvision", "FRAGMENT"))
        for name in OPERATORS:
            if not hasattr(torch.ops.torchvision, name):
                _declared[0].define(name + SCHEMA)
        import_module("torchvision")


def _timm() -> Registry:
    import_torchvision()  # timm imports it
    timm = import_module("timm")

    def create_model(name: str, pretrained: bool, task: Task | None) -> Any:
        sizes = {"in_chans": task.channels, "num_classes": task.classes} if task else {}
        return timm.create_model(name, pretrained=pretrained, **sizes)

    return timm.list_models(), create_model


def _torchvision() -> Registry:
    """The networks of torchvision. Weights of backbones are not downloaded, which is its default."""
    import_torchvision()
    models = import_module("torchvision.models")

    def create_model(name: str, pretrained: bool, task: Task | None) -> Any:
        if task and task.channels != RGB:
            raise ValueError(f"its networks take images of {RGB} channels, and these have {task.channels}")
        parameters = inspect.signature(models.get_model_builder(name)).parameters
        # the weights of a backbone are downloaded by default
        backbone = {"weights_backbone": None} if "weights_backbone" in parameters and not pretrained else {}
        sizes = {"num_classes": task.classes} if task else {}
        return models.get_model(name, weights="DEFAULT" if pretrained else None, **backbone, **sizes)

    return models.list_models(), create_model


def _pytorchcv() -> Registry:
    provider = import_module("pytorchcv.model_provider")

    def create_model(name: str, pretrained: bool, task: Task | None) -> Any:
        sizes = {"in_channels": task.channels, "num_classes": task.classes} if task else {}
        return provider.get_model(name, pretrained=pretrained, **sizes)

    return provider._models, create_model


ZOOS: dict[str, Callable[[], Registry]] = {"timm": _timm, "torchvision": _torchvision, "pytorchcv": _pytorchcv}


RGB = 3
ORIGIN = "sefactory_host"
"""The attribute of a network that notes its name: `timm:resnet50`."""


def create_network(name: Any, pretrained: bool = False, task: Task | None = None) -> nn.Module:
    """A network of a zoo: `timm:resnet50`, `torchvision:mobilenet_v3_small`, `pytorchcv:resnet18`.

    Its channels and classes are those of `task`; without one those that the zoo gives it.

    Raises ConfigError for an unknown zoo or network, and if the library cannot be imported or cannot create the network.
    """
    zoo, network = _parse(name)
    try:
        names, create_model = ZOOS[zoo]()
    except Exception as error:
        raise ConfigError([("host", f"{zoo} cannot be imported ({first_line(error)}); {_import_cure(zoo, error)}")]) from None
    known = list(names)
    architecture = network.partition(".")[0] if zoo == "timm" else network  # timm's tags name weights: resnet50.a1_in1k
    if architecture not in known:
        raise ConfigError([("host", f"{zoo} has no network {network!r}{did_you_mean(network, known)}")])
    try:
        model: nn.Module = create_model(network, pretrained, task)
        model.__dict__[ORIGIN] = name
    except Exception as error:
        cure = f"; {_import_cure(zoo, error)}" if isinstance(error, ModuleNotFoundError) else ""
        raise ConfigError([("host", f"{zoo} cannot create {network!r} ({first_line(error)}){cure}")]) from error
    return model


def _parse(name: Any) -> tuple[str, str]:
    """(zoo, network) of `ZOO:NAME`. Raises ConfigError."""
    match = NETWORK_NAME.fullmatch(name) if isinstance(name, str) else None
    zoo, network = match.groups() if match else ("", "")
    if zoo not in ZOOS:
        hint = did_you_mean(zoo, ZOOS) if zoo else ""
        raise ConfigError([("host", f"{short_repr(name)}; allowed: ZOO:NAME, with a zoo of {join_words(ZOOS)}{hint}")])
    return zoo, network


def _import_cure(zoo: str, error: Exception) -> str:
    """What to do about a failed import: install what is missing, or versions that fit each other."""
    if isinstance(error, ModuleNotFoundError):
        return f"pip install {(error.name or zoo).partition('.')[0]}"
    packages = join_words(dict.fromkeys(["torch", "torchvision", zoo]))
    return f"it is installed, but does not fit torch {torch.__version__}: install {packages} in releases made for each other"
