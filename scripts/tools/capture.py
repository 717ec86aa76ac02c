"""Tools that run a network once and keep its operations."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torchvision.models.feature_extraction import create_feature_extractor

from .network import Tool, images


def export(model: nn.Module) -> nn.Module:
    """torch.export."""
    return torch.export.export(model, (images(),)).module()


def compile_aot(model: nn.Module) -> Callable[[Tensor], Tensor]:
    """torch.compile with AOT autograd, in one graph."""
    torch._dynamo.reset()
    compiled: Callable[[Tensor], Tensor] = torch.compile(model, backend="aot_eager", fullgraph=True)
    return compiled


def extract_features(model: nn.Module) -> Callable[[Tensor], Tensor]:
    """torchvision's create_feature_extractor, at the last layer."""
    extractor = create_feature_extractor(model, {"fc": "y"})
    return lambda x: extractor(x)["y"]


def children_as_sequential(model: nn.Module) -> nn.Module:
    """nn.Sequential of the children, as backbones are cut off."""
    children = list(model.children())
    return nn.Sequential(*children[:-1], nn.Flatten(), children[-1])


TOOLS: dict[str, Tool] = {
    "`torch.fx.symbolic_trace`": torch.fx.symbolic_trace,
    "torchvision `create_feature_extractor`": extract_features,
    "`torch.export`": export,
    "`torch.compile`": compile_aot,
    "`torch.jit.trace`": lambda model: torch.jit.trace(model, images()),
    "`torch.jit.script`": torch.jit.script,
    "`nn.Sequential(*model.children())`": children_as_sequential,
}
