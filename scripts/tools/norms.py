"""Tools that replace or estimate batch norms."""

import timm
from torch import nn
from torch.optim.swa_utils import update_bn

from .network import Tool, images


def sync(model: nn.Module) -> nn.Module:
    """torch's conversion to synchronised norms, which compute as others in eval mode."""
    converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    return converted


def estimate_norms(model: nn.Module) -> nn.Module:
    """New batch statistics by update_bn."""
    update_bn([images(8)], model)
    return model.eval()


def estimate_by_hand(model: nn.Module) -> nn.Module:
    """The network with the statistics that update_bn estimates."""
    for norm in (module for module in model.modules() if isinstance(module, nn.BatchNorm2d)):
        norm.reset_running_stats()
        norm.momentum = None
    model.train()(images(8))
    return model.eval()


TOOLS: dict[str, Tool] = {
    "`SyncBatchNorm.convert_sync_batchnorm`": sync,
    "timm `convert_sync_batchnorm`": lambda model: timm.layers.convert_sync_batchnorm(model),
    "timm `freeze_batch_norm_2d`": lambda model: timm.layers.freeze_batch_norm_2d(model),
    "timm `convert_splitbn_model`": lambda model: timm.layers.convert_splitbn_model(model, 2).eval(),
    "`swa_utils.update_bn`": estimate_norms,
}
