"""The authors' placements, counted: whole networks with every block, as their own code has them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import sefactory as sf
from sefactory.config.repository import SHIPPED
from sefactory.networks.host import create_network, host_config
from tests.networks.models import images, max_difference, outputs, with_batch_statistics

# Parameters of the whole network; places.
HOSTS = [
    ("cbam_resnet50", 28_089_624, 16),
    ("triplet_resnet50", 25_561_832, 16),
    ("senet_resnet50", 28_088_024, 16),
    ("coordatt_mobilenet_v2", 3_950_648, 16),
    ("sknet_resnext50", 27_479_784, 48),
    ("triplet_mobilenet_v2", 3_509_972, 17),
]
RESNET, MOBILENET = 25_557_032, 3_504_872


@contextmanager
def unfilled() -> Iterator[None]:
    """Weights without values: only their shapes are counted."""
    with torch.device("meta"):
        yield


def count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(("name", "parameters", "places"), HOSTS)
def test_the_parameters_of_a_whole_network(name: str, parameters: int, places: int) -> None:
    with unfilled():
        model, report = sf.host(name)
    assert count(model) == parameters
    assert len(report.places) == places


@pytest.mark.parametrize(
    ("name", "more", "plain"),
    [
        ("cbam_resnet50", 28_089_624, RESNET),
        ("triplet_resnet50", 25_561_832, RESNET),
        ("senet_resnet50", 28_088_024, RESNET),
        ("coordatt_mobilenet_v2", 3_950_648, MOBILENET),
        ("triplet_mobilenet_v2", 3_509_972, MOBILENET),
    ],
)
def test_the_report_says_what_was_added(name: str, more: int, plain: int) -> None:
    with unfilled():
        _, report = sf.host(name)
    assert report.parameters == more - plain and report.macs > 0 and not report.missing
    assert str(report).splitlines()[-1].startswith(f"+{more - plain:,} parameters, +{report.macs:,} multiply-adds; ")


def test_another_reduction_gives_another_parameter_count(tmp_path: Path) -> None:
    text = (SHIPPED / "host" / "senet_resnet50.yaml").read_text()
    (tmp_path / "mine.yaml").write_text(text.replace("start: own", "start: own, overrides: [excite.0.mlp.bias=false]"))
    with unfilled():
        model, _ = sf.host(tmp_path / "mine.yaml")
    assert count(model) == 28_071_976  # without biases


@pytest.mark.parametrize("name", ["danet_resnet50", "seaformer_mobilenet_v2"])
def test_a_shipped_placement_starts_as_the_network(name: str) -> None:
    torch.manual_seed(0)
    model = with_batch_statistics(create_network(host_config(name)[0]["host"]))
    x = images(2)
    before = outputs(model, x)
    report = sf.place(model, name)
    assert max_difference(outputs(model, x), before) <= 1e-6 and len(report.places) in (1, 2)


def test_a_placement_runs_and_learns() -> None:
    torch.manual_seed(0)
    model, report = sf.host("coordatt_mobilenet_v2")
    with_batch_statistics(model)(images(2)).square().mean().backward()
    grads = {name: parameter.grad for name, parameter in model.named_parameters()}
    assert all(grads[key] is not None for key in report.new if key in grads)


@pytest.mark.parametrize("name", ["danet_resnet50", "seaformer_mobilenet_v2"])
def test_an_identity_is_placed_on_meta_weights(name: str) -> None:
    with unfilled():
        model, report = sf.host(name)
    assert all(parameter.is_meta for parameter in model.parameters())
    torch.manual_seed(0)
    real, found = sf.host(name)
    assert [(key, t.shape) for key, t in model.state_dict().items()] == [(key, t.shape) for key, t in real.state_dict().items()]
    assert found == report


@pytest.mark.parametrize(("stage", "path"), [("stage:1", "0"), ("stage:2", "2"), ("stage:-1", "2")])
def test_the_network_itself_is_no_stage_if_it_returns_a_feature_map(stage: str, path: str) -> None:
    network = nn.Sequential(nn.Conv2d(3, 32, 1), nn.MaxPool2d(2), nn.ReLU())
    assert [place.path for place in sf.insert(network, "senet", stage, input_size=(3, 8, 8)).places] == [path]


class Twice(nn.Module):
    """Calls one module twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.act = nn.Conv2d(32, 32, 1), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.act(self.conv(self.act(x)))
        return y


def test_multiply_adds_of_a_block_that_is_called_twice() -> None:
    model, x = Twice(), torch.zeros(1, 32, 6, 6)
    before = sf.macs(model, x)
    report = sf.insert(model, "cbam", "act", input_size=(32, 6, 6))
    assert report.places[0].calls == 2 and report.macs == sf.macs(model, x) - before > 0
