"""Small networks at 64 x 64 into which the tests insert blocks, and helpers to compare them."""

from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from typing import Any

import timm
import torch
import torchvision
from torch import Tensor, nn

from sefactory.networks.adapter import ResidualAdapter
from tests.networks.yolo_like import yolo_like

torch.set_num_threads(1)
SIZE = (3, 64, 64)


@dataclass(frozen=True)
class Family:
    """A network, the pattern that selects its blocks, and their classes, by which they are counted."""

    name: str
    make: Callable[[], nn.Module]
    at: str
    blocks: tuple[str, ...]


MOBILE = ("InvertedResidual", "DepthwiseSeparableConv")
# A timm ResNet begins with zeros in the last norm of every residual branch; a site behind such a map sees nothing of its
# block but shortcuts, and behind the norm itself only zeros, where nothing can learn: it is made without.
FAMILIES = [
    Family("timm resnet", lambda: timm.create_model("resnet18", zero_init_last=False), "layer*.*.bn2", ("BasicBlock",)),
    Family("timm mobilenet", lambda: timm.create_model("mobilenetv2_100"), "blocks.*.*", MOBILE),
    Family("timm efficientnet", lambda: timm.create_model("efficientnet_b0"), "blocks.*.*", MOBILE),
    Family("timm convnext", lambda: timm.create_model("convnext_atto"), "stages.*.blocks.*", ("ConvNeXtBlock",)),
    Family("torchvision mobilenet", torchvision.models.mobilenet_v3_small, "features.*.block", ("InvertedResidual",)),
    Family("yolo", yolo_like, "SplitStack", ("SplitStack",)),
]


@cache
def _built(name: str) -> nn.Module:
    torch.manual_seed(1)
    return with_batch_statistics(next(family for family in FAMILIES if family.name == name).make())


def with_batch_statistics(model: nn.Module) -> nn.Module:
    """The model in eval mode, with the batch statistics of some images: with initial ones the maps of a deep network vanish."""
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        model.train()(images())
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return model.eval()


def build_network(name: str) -> nn.Module:
    """A network of a family, with the same weights each time, in eval mode."""
    return deepcopy(_built(name))


def images(batch: int = 4, seed: int = 0) -> Tensor:
    """Random maps with a mean of each sample and channel of its own."""
    torch.manual_seed(seed)
    return torch.randn(batch, *SIZE) + torch.randn(batch, 3, 1, 1)


def set_alpha(model: nn.Module, value: float) -> None:
    """Sets alpha of every residual adapter of a network."""
    for module in model.modules():
        if isinstance(module, ResidualAdapter):
            module.mix.data.fill_(value)


def tensors(result: Any) -> list[Tensor]:
    """The outputs of a network as a list: it returns one map or several."""
    return [result] if isinstance(result, Tensor) else list(result)


def outputs(model: nn.Module, x: Tensor) -> list[Tensor]:
    """The outputs in eval mode; the modes of the modules are restored."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    with torch.no_grad():
        found = tensors(model(x))
    for module, mode in modes:
        module.training = mode
    return found


def max_difference(first: Iterable[Tensor], second: Iterable[Tensor]) -> float:
    """The largest difference; infinite where one is not finite."""
    pairs = list(zip(first, second, strict=True))
    assert pairs and all(a.shape == b.shape and a.isfinite().all() and b.isfinite().all() for a, b in pairs)
    return max(float((a - b).detach().abs().max()) for a, b in pairs)


def step(model: nn.Module, x: Tensor, rate: float = 0.05) -> dict[str, float]:
    """Takes one SGD step and returns the largest gradient of every parameter before it."""
    model.train()
    model.zero_grad()
    torch.manual_seed(2)
    loss = sum((y * torch.randn_like(y)).mean() + y.square().mean() for y in tensors(model(x)))
    assert isinstance(loss, Tensor)
    loss.backward()
    found = {name: float(p.grad.abs().max()) if p.grad is not None else 0.0 for name, p in model.named_parameters()}
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter -= rate * parameter.grad
    return found


def params_without_gradient(model: nn.Module, names: Iterable[str], x: Tensor, steps: int = 2) -> list[str]:
    """The parameters among these names whose gradient is zero in each of some steps."""
    seen = [step(model, x) for _ in range(steps)]
    return [name for name in names if name in seen[0] and not any(found[name] for found in seen)]
