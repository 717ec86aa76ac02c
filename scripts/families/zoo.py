"""The families of networks of timm and torchvision, and the smallest network of each."""

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from sefactory.networks.zoos import import_torchvision

import_torchvision()
import timm  # noqa: E402
import torchvision  # noqa: E402
from timm.models._registry import _module_to_models  # noqa: E402

SMALL = 128
"""The sides of the images, where the network takes them."""
MOST_BOXES = 50
DETECTION, VIDEO = "detection.", "video."
WITHOUT = ("quantization.", "optical_flow.")
"""Parts of torchvision.models that are no families: copies of others, and networks for pairs of images."""

INITIALISERS = ("normal_", "uniform_", "trunc_normal_", "erfinv_", "clamp_", "mul_", "add_", "fill_", "zero_", "copy_")


@dataclass(frozen=True)
class Sample:
    """The smallest network of a family, in eval mode, and what it is called with.

    `run` returns tensors, in a list or dict. The losses of a detector are such: without training it finds nothing.
    """

    name: str
    network: nn.Module
    size: tuple[int, ...]
    example: Any
    run: Callable[[nn.Module], Any]


def all_families() -> list[str]:
    """`timm:resnet`, ..., `torchvision:detection.ssd`, ..."""
    modules = {_torchvision_module(name) for name in torchvision.models.list_models()}
    families = [f"torchvision:{module}" for module in sorted(modules) if not module.startswith(WITHOUT)]
    return [*(f"timm:{module}" for module in timm.list_modules()), *families]


def smallest_network(family: str) -> Sample:
    """The sample of a family."""
    zoo, _, module = family.partition(":")
    if zoo == "timm":
        known = set(timm.list_models())
        name = smallest((name for name in _module_to_models[module] if name in known), timm.create_model)
        return _image_sample(name, timm.create_model(name))
    names = [name for name in torchvision.models.list_models() if _torchvision_module(name) == module]
    name = min(names, key=_noted_parameters)
    network = _create_torchvision(name)
    if module.startswith(DETECTION):
        return _detection_sample(name, network)
    return _sample(name, network, [(3, 8, SMALL, SMALL), (3, 16, 224, 224)] if module.startswith(VIDEO) else _sizes(224))


def smallest(names: Iterable[str], create: Callable[[str], nn.Module]) -> str:
    """The network with the fewest parameters. Those that cannot be created on the meta device are left out."""
    counts = {}
    for name in sorted(names):
        try:
            with torch.device("meta"), _WithoutValues():
                counts[name] = sum(p.numel() for p in create(name).parameters())
        except Exception:
            continue
    return min(counts, key=lambda name: counts[name])


class _WithoutValues(TorchFunctionMode):
    """Skips the methods by which weights are initialised: on the meta device they take most of the time."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if args and getattr(function, "__name__", "") in INITIALISERS:
            return args[0]
        return function(*args, **(kwargs or {}))


def _create_torchvision(name: str) -> nn.Module:
    parameters = inspect.signature(torchvision.models.get_model_builder(name)).parameters
    backbone = {"weights_backbone": None} if "weights_backbone" in parameters else {}
    network: nn.Module = torchvision.models.get_model(name, weights=None, **backbone)
    return network


def _noted_parameters(name: str) -> int:
    """The parameters of a network of torchvision, as its weights note them."""
    return min(int(weights.meta["num_params"]) for weights in torchvision.models.get_model_weights(name))


def _torchvision_module(name: str) -> str:
    """`detection.ssd` for `ssd300_vgg16`."""
    return str(torchvision.models.get_model_builder(name).__module__.removeprefix("torchvision.models."))


def _sizes(own: int) -> list[tuple[int, ...]]:
    return [(3, SMALL, SMALL), (3, own, own)]


def _image_sample(name: str, network: nn.Module) -> Sample:
    """The sample of a network of timm."""
    config = network.pretrained_cfg
    own = tuple(config["input_size"])
    return _sample(name, network, [(own[0], SMALL, SMALL), tuple(config.get("min_input_size") or own), own])


def _sample(name: str, network: nn.Module, sizes: list[tuple[int, ...]]) -> Sample:
    """The sample for the first size with which the network runs."""
    network.eval()
    for size in sizes:
        x = torch.randn(2, *size)
        try:
            with torch.no_grad():
                network(x)
        except Exception:
            if size == sizes[-1]:
                raise
        else:
            break
    return Sample(name, network, size, x[:1], lambda model: model(x))


def _detection_sample(name: str, network: Any) -> Sample:
    """The sample of a detector: norms and dropout are in eval mode, the other modules return losses."""
    if not torchvision.extension._has_ops():
        torchvision.ops.boxes.batched_nms = _best
    if not network.transform.fixed_size:
        network.transform.min_size, network.transform.max_size = (SMALL,), SMALL
    image = torch.rand(3, SMALL, SMALL)
    box = {"boxes": torch.tensor([[10.0, 20.0, 90.0, 100.0]]), "labels": torch.tensor([1])}
    target = {**box, "masks": torch.ones(1, SMALL, SMALL, dtype=torch.uint8), "keypoints": torch.ones(1, 17, 3) * 50}

    def losses(model: nn.Module) -> Any:
        torch.manual_seed(0)  # the detectors draw samples
        for module in model.modules():
            if type(module).__module__.startswith("torchvision.models.detection"):
                module.training = True
        try:
            with torch.compiler.set_stance("force_eager"):  # torchvision compiles what stands in for a missing operator
                return model([image], [target])
        finally:
            model.eval()

    return Sample(name, network.eval(), tuple(image.shape), ([image],), losses)


def _best(boxes: Tensor, scores: Tensor, classes: Tensor, threshold: float) -> Tensor:
    """The best boxes, for a torchvision whose operator `nms` does not load."""
    return scores.argsort(descending=True)[:MOST_BOXES]
