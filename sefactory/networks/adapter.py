"""A block that stands in a network: it starts as what was there before, and is folded into its gate after training."""

import copy

import torch
from torch import Tensor, nn

from ..block import Block, NodeInfo
from ..config.registry import SLOTS
from ..errors import ConfigError
from ..operators.containers import Unit
from ..operators.elementwise import Affine, Gain
from ..operators.norm import BatchNorm, GroupNorm, LayerNorm

CHILD = "inserted"
"""The name under which a module of the network holds what was inserted behind or before it."""


class ResidualAdapter(nn.Module):
    """y = former + mix (block(x) - former), mix a learned scalar that starts at 0: at first y is what the network had.

    x, former: (B, C, H, W); where a block is inserted and replaces nothing, former is x.
    """

    def __init__(self, block: Block, beside: bool) -> None:
        super().__init__()
        self.block, self.beside = block, beside
        self.mix = nn.Parameter(torch.zeros(()))

    def forward(self, x_BCHW: Tensor, former: Tensor | None = None) -> Tensor:
        former = x_BCHW if former is None else former
        y: Tensor = former + self.mix * (self.block(x_BCHW) - former)
        return y


def starting(block: Block, beside: bool) -> Block | ResidualAdapter:
    """A fresh block as it is, where it leaves its map alone (a residual with a zero start), else its blend."""
    if not beside and _is_identity(block):
        return block
    waken(block)
    return ResidualAdapter(block, beside)


def _is_identity(block: Block) -> bool:
    sizes = block.sizes[0]
    shape = [2, sizes.number("C"), *(n if isinstance(n := sizes[axis], int) else 7 for axis in sizes.grid)]
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=next(block.parameters(), torch.empty(0)).dtype)
    block.eval()
    with torch.no_grad():
        same = torch.equal(block(x), x)
    block.train()
    return same


def waken(block: Block) -> list[str]:
    """Gives weights that start at 0 another start, and returns their names: behind a mix of 0 they would learn nothing.

    Two zeros in a row leave both without a gradient. Norms and gains begin at 1, maps as torch's do.
    """
    found = []
    for path, module in block.node.named_modules():
        weight = getattr(module, "weight", None)
        if not isinstance(weight, nn.Parameter) or weight.any():
            continue
        with torch.no_grad():
            if isinstance(module, Gain | BatchNorm | LayerNorm | GroupNorm):
                weight.fill_(1)
            else:
                fan_in = max(weight[0].numel() if weight.dim() > 1 else 1, 1)
                weight.uniform_(-(fan_in**-0.5), fan_in**-0.5)
        found.append(f"{path}.weight".lstrip("."))
    return found


def folded(blend: ResidualAdapter) -> Block:
    """The block alone that computes what the blend does: x + m (x g - x) = x (m g + 1 - m), and x + m (x + g - x) = x + m g.

    It is a copy, with one `affine` more in its gate. Raises ConfigError for a block that is no single unit that
    multiplies or adds.
    """
    block, mix = copy.deepcopy(blend.block), float(blend.mix.detach())
    unit = block.node
    if blend.beside:
        raise ConfigError([(block.label, "stands beside the module it is to replace; that one is needed until the mix is 1")])
    if not isinstance(unit, Unit) or unit.apply_mode not in ("multiply", "add"):
        what = f"a unit that applies by {unit.apply_mode}" if isinstance(unit, Unit) else "no single unit"
        raise ConfigError([(block.label, f"is {what}: a mix can be folded into the gate of one unit that multiplies or adds")])
    if not any(slot in block.config for slot in SLOTS):
        raise ConfigError([(block.label, "is another config by name: write its unit out, or its file's name alone")])
    scale, shift = (mix, 1 - mix) if unit.apply_mode == "multiply" else (mix, 0.0)
    name = str(len(unit.gate._modules))
    unit.gate.add_module(name, Affine(scale, shift))
    block.config = {**block.config, "gate": [*block.config.get("gate", []), {"affine": {"scale": scale, "shift": shift}}]}
    steps = [part for part in block.parts if part.path.count(".") == 1 and part.path.split(".")[0] in SLOTS]
    block.parts = (*block.parts, NodeInfo(f"gate.{name}", "affine", (steps[-1].sizes[1], steps[-1].sizes[1])))
    if block.lowered is not None:
        block.lower()
    return block
