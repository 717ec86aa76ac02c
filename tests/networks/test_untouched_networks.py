"""Public networks that cache tensors are the same, attribute by attribute, after an insertion or a refusal, and run."""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn

from tests.networks import staged
from tests.networks.caching import Caching
from tests.networks.untouched import check_untouched, run
from tests.networks.yolo_like import yolo_like
from tests.sampling import sampled


class Case(NamedTuple):
    """A network, its input, and a place for a block."""

    make: Callable[[], nn.Module]
    example: Any
    at: str


def detector(name: str) -> Case:
    """A detector of torchvision at a small size."""
    make = getattr(torchvision.models.detection, name)
    options: dict[str, Any] = {"weights": None, "weights_backbone": None, "min_size": 64, "max_size": 64}
    return Case(lambda: make(**options), ([torch.rand(3, 64, 48), torch.rand(3, 40, 64)],), "backbone.body.layer4")


IMAGE = torch.rand(1, 3, 64, 64)
CASES = {
    "caching": Case(lambda: Caching(False), IMAGE, "conv"),
    "caching and reading values": Case(lambda: Caching(True), IMAGE, "conv"),
    "yolo": Case(yolo_like, IMAGE, "stage:-1"),
    "detr": Case(staged.Detector, IMAGE, "stage:-1"),
    "coat": Case(lambda: timm.create_model("coat_tiny"), torch.rand(1, 3, 224, 224), "patch_embed1.proj"),
    "levit": Case(lambda: timm.create_model("levit_128s"), torch.rand(1, 3, 224, 224), "stem.conv4"),
    "faster r-cnn": detector("fasterrcnn_resnet50_fpn"),
    "retinanet": detector("retinanet_resnet50_fpn"),
    "maxvit": Case(lambda: torchvision.models.maxvit_t(), torch.rand(1, 3, 224, 224), "stage:-1"),
}
SAMPLE = {"caching", "caching and reading values", "yolo", "detr"}


@pytest.fixture(autouse=True)
def suppression_in_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """Detectors run also where torchvision's operators are not compiled for this torch."""

    def best(boxes: Tensor, scores: Tensor, *_: Any) -> Tensor:
        return scores.argsort(descending=True)[:5]

    monkeypatch.setattr(torchvision.ops.boxes, "batched_nms", best)


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
@pytest.mark.parametrize("name", sampled(CASES, SAMPLE))
def test_a_network_is_untouched(name: str) -> None:
    torch.manual_seed(0)
    make, example, at = CASES[name]
    model = make().eval()
    if name in SAMPLE:
        run(model, example)  # its caches are full
    check_untouched(model, example, at)
