"""A resnet18 with random weights and batch statistics, and blocks at five kinds of places."""

import copy
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor, nn
from torchvision.models import resnet18

import sefactory as sf
from sefactory.networks.adapter import ResidualAdapter

SIZE = (3, 64, 64)
Tool = Callable[[nn.Module], Callable[[Tensor], Tensor]]
"""Changes a network, and returns what is then called."""
PLACES = {
    "norm": "layer*.*.bn2",
    "convolution": "layer*.*.conv2",
    "block": "BasicBlock",
    "stage": "layer3",
    "Sequential": "layer*.0.downsample",
}


@cache
def plain() -> nn.Module:
    """The network without blocks; not to be changed."""
    torch.manual_seed(0)
    model = resnet18().eval()
    for norm in (module for module in model.modules() if isinstance(module, nn.BatchNorm2d)):
        norm.momentum = 1.0
    with torch.no_grad():
        model.train()(images(8))
    return model.eval()


def network(place: str | None) -> nn.Module:
    """A network with blocks at a kind of place; None for none."""
    model = copy.deepcopy(plain())
    if place is not None:
        torch.manual_seed(1)
        sf.insert(model, "senet", PLACES[place], input_size=SIZE, overrides=["let.r=4"])
        for module in model.modules():
            if isinstance(module, ResidualAdapter):
                module.mix.data.fill_(0.8)
    return model.eval()


def images(batch: int = 2) -> Tensor:
    """Random images."""
    return torch.randn(batch, *SIZE, generator=torch.Generator().manual_seed(2))
