"""freeze: a block for inference, in which everything that does not depend on its input is computed once."""

import copy

from torch import Tensor, nn

from ..block import Block
from ..compiler.codegen.params import folded
from ..compiler.graph import topological_order
from ..compiler.ir import Attend, ConvOp, LinearOp
from ..compiler.runtime import CompiledBlock
from ..operators.conv import Conv
from ..operators.elementwise import Gain
from ..operators.linear import Linear
from ..operators.norm import BatchNorm

Learned = Linear | Conv


def freeze(block: Block) -> Block:
    """A copy for inference: y is that of eval mode, and nothing has a gradient.

    Norms are folded into the weights before them, s (W x + b) + t = (s W) x + (s b + t), and gains of attention into its
    values; in their places stand identities. Positions are resized once for each grid, and maps that belong to the block
    are overwritten. It stays in eval mode, pickles, and exports like any other.

    >>> from sefactory import build
    >>> import torch
    >>> block = build("cbam", 64).eval()
    >>> x = torch.randn(2, 64, 7, 7)
    >>> torch.allclose(freeze(block)(x), block(x), atol=1e-6)
    True
    """
    frozen = copy.deepcopy(block).eval().requires_grad_(False)
    for value in topological_order(CompiledBlock(frozen.node, frozen.sizes[0]).graph):
        match value.op:
            case LinearOp(linear, times, BatchNorm() as norm):
                _fold_norm(frozen, linear, norm, times)
            case ConvOp(conv, BatchNorm() as norm):
                _fold_norm(frozen, conv, norm, 1)
            case Attend(attention, Linear() as linear, Gain() as gain):
                _fold_gain(frozen, linear, gain, 2 * attention.width)
    frozen.frozen = True
    if frozen.lowered is not None:
        frozen.lower()
    return frozen


def _fold_norm(block: Block, owner: Learned, norm: BatchNorm, times: int) -> None:
    """`times` is how often the bias is added before the norm sees it."""
    weight, bias = owner.weight, None if owner.bias is None else owner.bias.flatten() * times
    out = weight.shape[: len(owner.each) + 1]
    flat, term = folded(lambda: (weight.reshape(-1, *weight.shape[len(out) :]), bias), norm)()
    assert term is not None
    _set(owner, flat.reshape(weight.shape), (term / times).reshape(out))
    _drop(block, norm)


def _fold_gain(block: Block, linear: Linear, gain: Gain, start: int) -> None:
    """The rows from `start` on are those of the values."""
    weight, bias = linear.weight.clone(), None if linear.bias is None else linear.bias.clone()
    for tensor in (weight, bias):
        if tensor is not None:
            tensor[start:] *= gain.weight
    _set(linear, weight, bias)
    _drop(block, gain)


def _set(owner: Learned, weight: Tensor, bias: Tensor | None) -> None:
    owner.weight = nn.Parameter(weight.detach(), requires_grad=False)
    owner.bias = None if bias is None else nn.Parameter(bias.detach(), requires_grad=False)


def _drop(block: Block, module: nn.Module) -> None:
    """Puts the identity where a module stands."""
    for parent in block.node.modules():
        for name, child in parent._modules.items():
            if child is module:
                parent._modules[name] = nn.Identity()
