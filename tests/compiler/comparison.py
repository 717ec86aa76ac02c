"""A block in its compiled and its uncompiled form, and whether the two compute the same."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

import sefactory as sf

FIXED_GRID = {"unit", "fcanet"}


def outcome(block: sf.Block, x: Tensor) -> tuple[Tensor, list[Tensor], dict[str, Tensor]]:
    """Output, gradients of the input and of every parameter, statistics."""
    torch.manual_seed(0)  # of dropout
    given = x.clone().requires_grad_()
    y = block(given)
    cotangent = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).reshape(y.shape)
    found = torch.autograd.grad(y, [given, *block.parameters()], cotangent, materialize_grads=True)
    return y.detach(), list(found), {key: t.double() for key, t in block.named_buffers()}


def close(found: Tensor, wanted: Tensor, scale: float, within: float = 1e-12) -> None:
    """Asserts that two tensors differ by less than `within` times the largest value."""
    limit = within * max(scale, float(wanted.abs().max()) if wanted.numel() else 0.0)
    assert found.shape == wanted.shape and (not found.numel() or float((found - wanted).abs().max()) <= limit)


def compare(lowered: sf.Block, plain: sf.Block, x: Tensor, within: float = 1e-12) -> bool:
    """Asserts that both compute the same; False if both reject one value per channel, or values are not finite."""
    try:
        y, gradients, statistics = outcome(plain, x)
    except ValueError as error:
        with pytest.raises(ValueError, match=str(error).partition(", got")[0]):
            lowered(x)
        return False
    if not all(t.isfinite().all() for t in (y, *gradients)):
        return False
    y2, gradients2, statistics2 = outcome(lowered, x)
    close(y2, y, 0.0)
    scale = max(1e-3, *(float(t.abs().max()) for t in gradients if t.numel()))  # some gradients are 0 but for rounding
    for found, wanted in zip(gradients2, gradients, strict=True):
        close(found, wanted, scale, within)
    for key, wanted in statistics.items():
        close(statistics2[key], wanted, 1.0)
    return True


def pair(config: Any, channels: int, **given: Any) -> tuple[sf.Block, sf.Block]:
    """A block in both forms, with the same random weights; neither zero nor one."""
    lowered, plain = (sf.build(config, channels, lower=lower, **given).double() for lower in (True, False))
    generator = torch.Generator().manual_seed(1)
    for parameter in lowered.parameters():
        parameter.data.normal_(generator=generator).mul_(0.3)
    for key, buffer in lowered.named_buffers():
        if key.endswith("running_var"):
            buffer.uniform_(0.5, 1.5, generator=generator)
    plain.load_state_dict(lowered.state_dict())
    assert lowered.lowered is not None and plain.lowered is None
    return lowered, plain


def built(name: str) -> tuple[sf.Block, Tensor]:
    """A compiled block of 32 channels with random weights, and an input."""
    grid = {"height": 6, "width": 8} if name in FIXED_GRID else {}
    return pair(name, 32, **grid)[0], torch.randn(2, 32, 6, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def tree_of(block: sf.Block) -> sf.Block:
    """A copy that runs its module tree."""
    tree = copy.deepcopy(block)
    tree.lowered = None
    return tree
