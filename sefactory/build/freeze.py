"""Prepares a block for inference: constant folding of batch norms and learned scales into the layers before them."""

import copy
from collections import Counter

import torch
from torch import Tensor, nn

from ..block import Block
from ..compiler.codegen.params import fold_norm, read_norm_params
from ..compiler.graph import topological_order
from ..compiler.ir import AttentionOp, ConvOp, LinearOp
from ..compiler.runtime import CompiledBlock
from ..operators.conv import Conv
from ..operators.elementwise import Gain
from ..operators.linear import Linear
from ..operators.norm import BatchNorm

Layer = Linear | Conv


def freeze(block: Block) -> Block:
    """Returns a copy of the block for inference: the output is that of eval mode, and nothing has a gradient.

    - Batch norms are folded into the layers before them: s (W x + b) + t = (s W) x + (s b + t).
    - The learned scale of an attention is folded into its values.
    - Identities stand in the places of the folded modules. A module that is used at several places is not folded.
    - On a CPU, resized position embeddings are kept for the last 8 grids, while the weight stays the same.
    - Intermediate feature maps are overwritten in place.

    The copy stays in eval mode. It can be pickled and exported as any block.

    >>> from sefactory import build
    >>> import torch
    >>> block = build("cbam", 64).eval()
    >>> x = torch.randn(2, 64, 7, 7)
    >>> torch.allclose(freeze(block)(x), block(x), atol=1e-6)
    True
    """
    frozen = copy.deepcopy(block).eval().requires_grad_(False)
    graph = CompiledBlock(frozen.node, frozen.sizes[0]).graph
    uses = Counter(module for _, module in frozen.node.named_modules(remove_duplicate=False))
    for node in [] if graph is None else topological_order(graph):
        match node.op:
            case LinearOp(linear, times, BatchNorm() as norm) if uses[linear] == uses[norm] == 1:
                _fold_norm(frozen, linear, norm, times)
            case ConvOp(conv, BatchNorm() as norm, others) if all(uses[module] == 1 for module in (conv, norm, *others)):
                for other in others:  # their sum goes into the norm: the bias of one takes the shift
                    _scale_outputs(other, norm)
                _fold_norm(frozen, conv, norm, 1)
            case AttentionOp(attention, Linear() as linear, Gain() as gain) if uses[linear] == uses[gain] == 1:
                _fold_gain(frozen, linear, gain, 2 * attention.width)
    frozen.frozen = True
    if frozen.lowered is not None:
        frozen.lower()
    return frozen


def _fold_norm(block: Block, layer: Layer, norm: BatchNorm, times: int) -> None:
    """Folds a batch norm into the layer before it, whose bias is added `times` times before the norm."""
    weight, bias = layer.weight, None if layer.bias is None else layer.bias.flatten() * times
    outputs = weight.shape[: len(layer.each) + 1]
    new_weight, new_bias = fold_norm(lambda: (weight.reshape(-1, *weight.shape[len(outputs) :]), bias), norm)()
    assert new_bias is not None
    _set_parameters(layer, new_weight.reshape(weight.shape), (new_bias / times).reshape(outputs))
    _replace_by_identity(block, norm)


def _scale_outputs(layer: Conv, norm: BatchNorm) -> None:
    """Multiplies the outputs of a convolution by the scale of a batch norm."""
    gain, _, _, variance = read_norm_params(norm)()
    scale = gain * torch.rsqrt(variance + norm.eps)
    outputs = layer.weight.shape[: len(layer.each) + 1]
    weight = (layer.weight * scale.reshape(*outputs, *[1] * (layer.weight.dim() - len(outputs)))).to(layer.weight.dtype)
    bias = None if layer.bias is None else (layer.bias * scale.reshape(outputs)).to(weight.dtype)
    _set_parameters(layer, weight, bias)


def _fold_gain(block: Block, linear: Linear, gain: Gain, first_row: int) -> None:
    """Folds a learned scale into the rows of the values, which begin at `first_row`."""
    weight, bias = linear.weight.clone(), None if linear.bias is None else linear.bias.clone()
    for tensor in (weight, bias):
        if tensor is not None:
            tensor[first_row:] *= gain.weight
    _set_parameters(linear, weight, bias)
    _replace_by_identity(block, gain)


def _set_parameters(layer: Layer, weight: Tensor, bias: Tensor | None) -> None:
    layer.weight = nn.Parameter(weight.detach(), requires_grad=False)
    layer.bias = None if bias is None else nn.Parameter(bias.detach(), requires_grad=False)


def _replace_by_identity(block: Block, module: nn.Module) -> None:
    for parent in block.node.modules():
        for name, child in parent._modules.items():
            if child is module:
                parent._modules[name] = nn.Identity()
