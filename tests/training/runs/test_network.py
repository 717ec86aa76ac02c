"""The network of a run: ours and those of a zoo, with the classes and channels of the data."""

from typing import Any

import pytest
import torch

from sefactory.errors import ConfigError
from sefactory.networks.host import PLACE_KEYS
from sefactory.training.data.dataset import Dataset, Part
from sefactory.training.runs.network import read_network


def data(channels: int = 1, classes: int = 10, size: int = 8, is_segmentation: bool = False) -> Dataset:
    images = torch.zeros(8, channels, size, size, dtype=torch.uint8)
    part = Part(images, torch.zeros(8, size, size) if is_segmentation else torch.zeros(8))
    return Dataset(part, part, part, classes)


def test_the_residual_network() -> None:
    network = read_network({"host": "residual", "depth": 8, "width": 4})
    assert network.label == "residual network of depth 8 and width 4" and network.places == ()
    assert network.create(data(classes=7))(torch.zeros(2, 1, 8, 8)).shape == (2, 7)
    assert network.create(data(is_segmentation=True))(torch.zeros(2, 1, 8, 8)).shape == (2, 10, 8, 8)
    assert read_network({"host": "residual"}).depth == 20


@pytest.mark.parametrize("host, channels", [("timm:resnet18", 1), ("torchvision:resnet18", 3), ("pytorchcv:resnet10", 1)])
def test_networks_of_zoos_get_the_classes_and_channels_of_the_data(host: str, channels: int) -> None:
    network = read_network({"host": host, "place": [{"at": "layer*"}]})
    assert network.create(data(channels, 7, size=224))(torch.zeros(2, channels, 224, 224)).shape == (2, 7)
    assert network.label == host


MISTAKES: dict[str, tuple[Any, str]] = {
    "no mapping": (3, "network: 3; allowed: a mapping with paper, host, input, place, depth, width"),
    "unknown key": (
        {"host": "residual", "widht": 3},
        "network: no key 'widht'; there are paper, host, input, place, depth, width; did you mean 'width'?",
    ),
    "no host": ({"place": []}, "network.host: null; allowed: residual, or ZOO:NAME such as timm:resnet18"),
    "depth": ({"host": "residual", "depth": 21}, "network.depth: depth is 21; allowed: 6 n + 2, such as 20, 32, 44, 56"),
    "width": ({"host": "residual", "width": 0}, "network.width: width is 0; allowed: an integer from 1"),
    "width of a zoo": (
        {"host": "timm:resnet18", "width": 8},
        "network.width: is for host: residual; timm:resnet18 has its own; remove it",
    ),
    "places": (
        {"host": "residual", "place": "layer1"},
        f"network.place: 'layer1'; allowed: a list of mappings with {', '.join(PLACE_KEYS)}",
    ),
    "place": ({"host": "residual", "place": [{"where": "after"}]}, "network.place.0: needs at"),
    "start": (
        {"host": "residual", "place": [{"at": "layer1", "start": "zero"}]},
        "network.place.0: start is 'zero'; allowed: one of identity, own",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_one_line(mistake: str) -> None:
    config, expected = MISTAKES[mistake]
    with pytest.raises(ConfigError) as caught:
        read_network(config)
    assert str(caught.value) == expected


UNFIT = {
    "channels": (
        "torchvision:resnet18",
        data(1, size=64),
        "host: torchvision cannot create 'resnet18' (its networks take images of 3 channels, and these have 1)",
    ),
    "pixels": (
        "timm:resnet18",
        data(size=64, is_segmentation=True),
        "network.host: timm:resnet18 returns 1 x 10, and the data needs 1 x 10 x 64 x 64; use host: residual",
    ),
    "unknown": ("timm:resnet81", data(), "host: timm has no network 'resnet81'; did you mean 'resnet18'?"),
}


@pytest.mark.parametrize("case", UNFIT)
def test_a_network_that_does_not_fit_the_data(case: str) -> None:
    host, dataset, expected = UNFIT[case]
    with pytest.raises(ConfigError) as caught:
        read_network({"host": host}).create(dataset)
    assert str(caught.value) == expected
