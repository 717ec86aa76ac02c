"""Tools that round weights to int8."""

from torch import nn
from torch.ao import quantization
from torch.ao.quantization import quantize_fx

from .network import Tool, images


def quantize_by_fx(model: nn.Module) -> nn.Module:
    """Static int8 quantisation of a traced network."""
    mapping = quantization.get_default_qconfig_mapping("x86")
    prepared = quantize_fx.prepare_fx(model, mapping, (images(),))
    prepared(images(8))
    return quantize_fx.convert_fx(prepared)


def quantize_dynamic(model: nn.Module) -> nn.Module:
    """Dynamic int8 quantisation of linear layers."""
    quantized: nn.Module = quantization.quantize_dynamic(model, {nn.Linear})
    return quantized


TOOLS: dict[str, Tool] = {
    "`prepare_fx`, `convert_fx`": quantize_by_fx,
    "`quantize_dynamic`": quantize_dynamic,
}
