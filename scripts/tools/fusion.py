"""Tools that fold batch norms into convolutions."""

from torch import nn
from torch.ao import quantization
from torch.nn.utils.fusion import fuse_conv_bn_eval

from .network import Tool

BLOCKS = [f"layer{i}.{j}" for i in range(1, 5) for j in (0, 1)]
PAIRS = [("conv1", "bn1"), *((f"{block}.conv{k}", f"{block}.bn{k}") for block in BLOCKS for k in (1, 2))]


def fuse_pairs(model: nn.Module) -> nn.Module:
    """fuse_conv_bn_eval of each convolution and norm, as detectors do it in their own fuse()."""
    for conv, norm in PAIRS:
        fused = fuse_conv_bn_eval(model.get_submodule(conv), model.get_submodule(norm))
        model.set_submodule(conv, fused)
        model.set_submodule(norm, nn.Identity())
    return model


def fuse_modules(model: nn.Module) -> nn.Module:
    """torch.ao.quantization.fuse_modules of the same pairs."""
    fused: nn.Module = quantization.fuse_modules(model, [list(pair) for pair in PAIRS])
    return fused


def fuse_fx(model: nn.Module) -> nn.Module:
    """torch.fx.experimental.optimization.fuse."""
    from torch.fx.experimental.optimization import fuse

    return fuse(model)


TOOLS: dict[str, Tool] = {
    "`fuse_conv_bn_eval`": fuse_pairs,
    "`torch.ao` `fuse_modules`": fuse_modules,
    "`torch.fx` `fuse`": fuse_fx,
}
