"""Tools that replace or average weights."""

from collections.abc import Callable

import timm
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune
from torch.optim.swa_utils import AveragedModel

from .network import Tool


def convolutions(model: nn.Module) -> list[nn.Conv2d]:
    """All convolutions of the network."""
    return [module for module in model.modules() if isinstance(module, nn.Conv2d)]


def prune_convolutions(model: nn.Module) -> nn.Module:
    """torch.nn.utils.prune of no weight: the convolutions get a mask."""
    for conv in convolutions(model):
        prune.l1_unstructured(conv, "weight", amount=0)
    return model


def weight_norm(model: nn.Module) -> nn.Module:
    """parametrizations.weight_norm on all convolutions."""
    for conv in convolutions(model):
        parametrizations.weight_norm(conv)
    return model


def average(model: nn.Module) -> nn.Module:
    """torch.optim.swa_utils.AveragedModel after one update."""
    averaged = AveragedModel(model)
    averaged.update_parameters(model)
    return averaged.eval()


def functional(model: nn.Module) -> Callable[[Tensor], Tensor]:
    """torch.func.functional_call with all parameters and buffers."""
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return lambda x: torch.func.functional_call(model, tensors, (x,))


def to_half_and_back(model: nn.Module) -> nn.Module:
    """bfloat16 and float32 again."""
    return model.bfloat16().float()


def round_by_hand(model: nn.Module) -> nn.Module:
    """The network with each value rounded to bfloat16."""
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.is_floating_point():
            tensor.copy_(tensor.bfloat16())
    return model


TOOLS: dict[str, Tool] = {
    "`prune`": prune_convolutions,
    "`parametrizations.weight_norm`": weight_norm,
    "`swa_utils.AveragedModel`": average,
    "timm `ModelEmaV3`": lambda model: timm.utils.ModelEmaV3(model).module.eval(),
    "`torch.func.functional_call`": functional,
    "`model.bfloat16().float()`": to_half_and_back,
}
