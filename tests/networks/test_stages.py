"""`stage:N` selects the last module of a stage, wherever it lies; class names are selected as they are spelled."""

from collections.abc import Callable
from typing import Any

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn

import sefactory as sf
from sefactory.networks.stages import stage_ends
from sefactory.networks.tracing import trace
from tests.networks import staged
from tests.networks.yolo_like import yolo_like
from tests.sampling import sampled

IMAGE = (1, 3, 64, 64)
ENCODER = ["model.encoder.stages.0", "model.encoder.stages.1", "model.encoder.stages.2"]
NETWORKS: list[tuple[Callable[[], nn.Module], tuple[int, ...], list[str]]] = [
    (staged.Classifier, IMAGE, ENCODER),
    (lambda: staged.Classifier(1), (1, 3, 64), ENCODER),
    (lambda: staged.Classifier(3), (1, 3, 8, 32, 32), ENCODER),
    (staged.Classifier, (1, 3, 40, 72), ENCODER),
    (staged.Detector, IMAGE, [f"backbone.encoder.stages.{i}" for i in range(3)]),
    (staged.Separate, IMAGE, ["backbone.stem", "backbone.features.1", "backbone.features.3"]),
    (staged.Plain, IMAGE, ["stem", "features.1", "features.3"]),
    (staged.Flat, IMAGE, ["a", "b", "c"]),
    (staged.UNet, IMAGE, ["down1", "down2", "bottom"]),
    (staged.Pyramid, IMAGE, ["body.0", "body.1", "body.2"]),
    (staged.TwoLists, IMAGE, ["stages.0", "stages.1", "stages.2"]),
    (staged.Tuples, IMAGE, ["block.0", "block.1"]),
    (staged.TwoPaths, IMAGE, ["context.0", "context.1", "context.2"]),
    (staged.Separable, (1, 3, 8, 16, 16), ["stem", "layer"]),
    (staged.ChannelsLast, (1, 3, 32, 64), ["stages.0", "stages.1"]),
    (staged.Hidden, IMAGE, ["stages_0", "stages_1"]),
    (yolo_like, IMAGE, ["0", "2", "4", "7"]),
]


def ends(model: nn.Module, shape: tuple[int, ...]) -> list[str]:
    return stage_ends(model, trace(model, torch.zeros(shape)), "at stage:1")


@pytest.mark.parametrize(("make", "shape", "expected"), NETWORKS)
def test_the_ends_of_the_stages(make: Callable[[], nn.Module], shape: tuple[int, ...], expected: list[str]) -> None:
    assert ends(make(), shape) == expected


def test_a_nested_stage_takes_a_block() -> None:
    model = staged.Classifier()
    report = sf.insert(model, "senet", "stage:-1", input_size=(3, 64, 64))
    assert [place.path for place in report.places] == ["model.encoder.stages.2"] and report.places[0].shape == (1, 64, 8, 8)


LAYERS = ["layer1", "layer2", "layer3", "layer4"]
ZOO: dict[str, tuple[tuple[int, ...], list[str]]] = {
    "resnet18": (IMAGE, ["relu", *LAYERS]),
    "vgg11": (IMAGE, [f"features.{i}" for i in (1, 4, 9, 14, 19, 20)]),
    "squeezenet1_1": (IMAGE, [f"features.{i}" for i in (1, 4, 7, 12)]),
    "densenet121": (IMAGE, ["features.relu0", *(f"features.denseblock{i}" for i in (1, 2, 3)), "features.norm5"]),
    "googlenet": (IMAGE, ["conv1", "conv3", "inception3b", "inception4e", "inception5b"]),
    "inception_v3": (
        (1, 3, 299, 299),
        ["Conv2d_2b_3x3", "Conv2d_4a_3x3", "Mixed_5d", "Mixed_6e", "Mixed_7c"],
    ),
    "shufflenet_v2_x0_5": (IMAGE, ["conv1", "maxpool", "stage2", "stage3", "conv5"]),
    "mobilenet_v3_small": (IMAGE, [f"features.{i}" for i in (0, 1, 3, 8, 12)]),
    "regnet_y_400mf": (IMAGE, ["stem", *(f"trunk_output.block{i}" for i in (1, 2, 3, 4))]),
    "convnext_tiny": (IMAGE, [f"features.{i}" for i in (1, 3, 5, 7)]),
    "swin_t": ((1, 3, 128, 128), [f"features.{i}" for i in (1, 3, 5, 7)]),
    "maxvit_t": ((1, 3, 224, 224), ["stem", "blocks.0", "blocks.1", "blocks.2", "blocks.3"]),
    "deeplabv3_resnet50": (IMAGE, ["backbone.relu", "backbone.layer1", "backbone.layer4"]),
    "lraspp_mobilenet_v3_large": (IMAGE, [f"backbone.{i}" for i in (1, 3, 6, 16)]),
    "fcos_resnet50_fpn": (IMAGE, ["backbone.body.relu", *(f"backbone.body.{layer}" for layer in LAYERS)]),
    "r3d_18": ((1, 3, 8, 64, 64), LAYERS),
    "mc3_18": ((1, 3, 8, 64, 64), LAYERS),
    "r2plus1d_18": ((1, 3, 8, 64, 64), LAYERS),
    "s3d": ((1, 3, 16, 224, 224), [f"features.{i}" for i in (0, 3, 6, 12, 15)]),
}
SAMPLE = {"resnet18", "squeezenet1_1", "lraspp_mobilenet_v3_large", "r3d_18"}


@pytest.mark.parametrize("name", sampled(ZOO, SAMPLE))
def test_the_stages_of_torchvision(name: str) -> None:
    shape, expected = ZOO[name]
    options: dict[str, Any] = {"weights_backbone": None} if name.startswith(("deeplab", "lraspp", "fcos")) else {}
    if name.startswith("fcos"):
        options.update(min_size=64, max_size=64)
    if name in ("googlenet", "inception_v3"):
        options.update(init_weights=False)
    model = torchvision.models.get_model(name, weights=None, **options)
    example = torch.rand(shape)
    calls = trace(model, ([*example],) if name.startswith("fcos") else example)
    assert stage_ends(model, calls, "at stage:1") == expected


class Backbone(nn.Module):
    """A network of timm in a network of the user's."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.backbone = timm.create_model("resnet10t", **options)

    def forward(self, x: Tensor) -> Any:
        return self.backbone(x)


@pytest.mark.parametrize("options", [{}, {"features_only": True}, {"features_only": True, "out_indices": (1, 2)}])
def test_the_stages_that_timm_notes(options: Any) -> None:
    names = ["act1", *LAYERS][: 3 if "out_indices" in options else 5]
    assert ends(timm.create_model("resnet10t", **options), IMAGE) == names
    assert ends(Backbone(**options), IMAGE) == [f"backbone.{name}" for name in names]


def test_features_that_timm_renames() -> None:
    assert ends(timm.create_model("convnext_atto", features_only=True), IMAGE) == [f"stages_{i}" for i in range(4)]


def test_stages_that_return_several_maps() -> None:
    model = staged.TwoBranches()
    assert stage_ends(model, trace(model, torch.zeros(1, 3, 32, 32)), "at") == ["stages.0.branches.1", "stages.1.branches.1"]
    assert sf.insert(model, "senet", "stage:-1", input_size=(3, 32, 32)).places[0].shape == (1, 16, 8, 8)


def test_a_downsampling_and_a_class_token_are_no_ends() -> None:
    with pytest.raises(sf.ConfigError) as caught:
        sf.insert(staged.Pooled(), "senet", "stage:-1", input_size=(3, 32, 32))
    assert str(caught.value) == "stage: its output is not a single tensor; choose another module, such as one inside"


def test_maps_of_one_pixel() -> None:
    assert ends(torchvision.models.resnet18(), (1, 3, 32, 32)) == ["relu", *LAYERS]


@pytest.mark.parametrize("strides", [1, 3])
def test_tokens_have_no_stages(strides: int) -> None:
    with pytest.raises(sf.ConfigError) as caught:
        sf.insert(staged.Tokens(strides), "senet", "stage:-1", input_size=(3, 64, 64))
    assert str(caught.value) == (
        "at stage:-1: the network has no stages; its stages are tokens (B, N, C), not feature maps: blocks.1 and others; "
        "give a path or a class"
    )


def test_a_network_without_maps_has_no_stages() -> None:
    with pytest.raises(sf.ConfigError) as caught:
        sf.insert(nn.Sequential(nn.Linear(8, 8)), "senet", "stage:1", example=torch.zeros(1, 8))
    message = "at stage:1: the network has no stages: no module inside returns a feature map; give a path or a class"
    assert str(caught.value) == message


class _Unit(nn.Conv2d):
    pass


class conv_unit(nn.Conv2d):  # noqa: N801
    pass


def named() -> nn.Module:
    return nn.Sequential(_Unit(3, 16, 1), conv_unit(16, 16, 1), nn.Sequential(nn.Conv2d(16, 16, 1)))


@pytest.mark.parametrize(("at", "path"), [("_Unit", "0"), ("conv_unit", "1"), ("Conv2d", "2.0")])
def test_a_class_of_any_spelling(at: str, path: str) -> None:
    report = sf.insert(named(), "senet", at, input_size=(3, 8, 8))
    assert [place.path for place in report.places] == [path]


def test_paths_come_before_classes() -> None:
    model = nn.Sequential()
    model.add_module("Conv2d", nn.Sequential(nn.Conv2d(3, 16, 1)))
    report = sf.insert(model, "senet", "Conv2d", input_size=(3, 8, 8))
    assert [place.path for place in report.places] == ["Conv2d"]


MISSPELLED = [
    ("_Unti", "class; there are Conv2d, Sequential, _Unit, conv_unit; did you mean '_Unit'?"),
    ("conv_unti", "path or class; did you mean 'conv_unit'?"),
]


@pytest.mark.parametrize(("at", "message"), MISSPELLED)
def test_a_misspelled_class(at: str, message: str) -> None:
    with pytest.raises(sf.ConfigError) as caught:
        sf.insert(named(), "senet", at, input_size=(3, 8, 8))
    assert str(caught.value) == f"at {at}: the network has no module of this {message}"
