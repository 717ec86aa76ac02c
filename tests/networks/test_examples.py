"""Examples of several inputs, and what is no example."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import sefactory as sf
from sefactory.networks.tracing import trace

SIZE = (3, 16, 16)


class Conditioned(nn.Module):
    """A list of images, a time and a name."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 1)

    def forward(self, images: list[Tensor], time: Tensor, mode: str = "sum") -> Tensor:
        x: Tensor = self.conv(torch.stack(images))
        return x + time[:, None, None, None] if mode == "sum" else x


IMAGES, TIME = [torch.zeros(SIZE), torch.zeros(SIZE)], torch.zeros(2)


@pytest.mark.parametrize("example", [(IMAGES, TIME), (IMAGES, TIME, "no"), {"images": IMAGES, "time": TIME}])
@pytest.mark.parametrize("function", ["insert", "place"])
def test_examples_of_several_inputs(example: Any, function: str) -> None:
    model = Conditioned()
    if function == "insert":
        report = sf.insert(model, "simam", "conv", example=example)
    else:
        report = sf.place(model, {"place": [{"at": "conv", "block": "simam"}]}, example=example)
    assert report.places[0].shape == (2, 16, 16, 16)


FORMS = "allowed: a tensor, a tuple of positional arguments, or a dict of keyword arguments"
BAD_EXAMPLES = [
    (IMAGES, f"example: a list; {FORMS}; put the list into a tuple: (images,)"),
    (3, f"example: an int; {FORMS}"),
    (np.zeros(2), f"example: an ndarray; {FORMS}"),
    ((), f"example: a tuple without a tensor; {FORMS}"),
    ({"images": [1, 2]}, f"example: a dict without a tensor; {FORMS}"),
    ({1: TIME}, "example: a dict with the keys 1; allowed: names of arguments"),
    (
        (IMAGES,),
        "example: the network does not run on the example: "
        "Conditioned.forward() missing 1 required positional argument: 'time'",
    ),
]


@pytest.mark.parametrize(("example", "message"), BAD_EXAMPLES)
def test_other_examples_are_refused(example: Any, message: str) -> None:
    model = Conditioned()
    with pytest.raises(sf.ConfigError) as caught:
        sf.insert(model, "simam", "conv", example=example)
    assert str(caught.value) == message


def test_the_example_is_not_changed() -> None:
    x = -torch.ones(1, *SIZE)
    for model in (nn.Sequential(nn.ReLU(inplace=True)), nn.Sequential(nn.ReLU(inplace=True), Reading())):
        trace(model, (x,))
        assert x._version == 0


class Reading(nn.Module):
    """Cannot run on the meta device."""

    def forward(self, x: Tensor) -> float:
        return float(x.sum())
