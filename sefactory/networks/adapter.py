"""The residual adapter in which an inserted block starts: it keeps the network's output unchanged at initialisation."""

import copy

import torch
from torch import Tensor, nn

from ..block import Block, NodeInfo
from ..config.registry import SLOTS
from ..errors import ConfigError
from ..kernels.dispatch import is_eager
from ..operators.containers import Unit
from ..operators.elementwise import Affine, Gain
from ..operators.norm import BatchNorm, GroupNorm, LayerNorm

NORMS_AND_GAINS = (Gain, BatchNorm, LayerNorm, GroupNorm)


class ResidualAdapter(nn.Module):
    """y = original + alpha (block(x) - original), with a learned scalar alpha that starts at 0.

    x_BCHW is the block's input; `original` is the output of the module that the block is to replace. Without such a
    module original = x. Residual connections with such a scalar are known from ReZero (arXiv:2003.04887). alpha is the
    parameter `mix`; checkpoints hold that key.
    """

    def __init__(self, block: Block, is_parallel: bool) -> None:
        """`is_parallel`: the block runs in parallel to a module, whose output `forward` gets as `original`."""
        super().__init__()
        self.block, self.is_parallel = block, is_parallel
        self.mix = nn.Parameter(torch.zeros(()))

    def forward(self, x_BCHW: Tensor, original_BCHW: Tensor | None = None) -> Tensor:
        original_BCHW = x_BCHW if original_BCHW is None else original_BCHW
        y_BCHW: Tensor = original_BCHW + self.mix * self._without_overflow(self.block(x_BCHW) - original_BCHW)
        return y_BCHW

    def dry_forward(self, x_BCHW: Tensor, original_BCHW: Tensor | None = None) -> Tensor:
        """A tensor of the shape of the result: no module runs. Raises ConfigError as the block does."""
        y_BCHW = self.block.dry_forward(x_BCHW)
        return y_BCHW if original_BCHW is None else original_BCHW

    def _without_overflow(self, delta_BCHW: Tensor) -> Tensor:
        """While alpha is 0, 0 in the place of values that are not finite: 0 times infinity is NaN.

        The gradient of alpha then leaves out these values. With another alpha they are passed on, as the block returns them.
        """
        if is_eager(delta_BCHW) and delta_BCHW.is_cpu and self.mix.is_cpu and self.mix.item() != 0:
            return delta_BCHW
        return torch.where(self.mix == 0, torch.nan_to_num(delta_BCHW, 0.0, 0.0, 0.0), delta_BCHW)


def is_identity(block: Block) -> bool:
    """True if the block in eval mode returns a random input unchanged."""
    sizes = block.sizes[0]
    shape = [2, sizes.number("C"), *(n if isinstance(n := sizes[axis], int) else 7 for axis in sizes.grid)]
    dtype = next(block.parameters(), torch.empty(0)).dtype
    x_BCHW = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=dtype)
    lowered, block.lowered = block.lowered, None  # the module tree runs, since compiling it takes longer than one run
    block.eval()
    with torch.no_grad():
        is_identity = torch.equal(block(x_BCHW), x_BCHW)
    block.train()
    block.lowered = lowered
    return is_identity


def reinit_zero_weights(block: Block) -> Block:
    """The block, with weights that are all 0 initialised anew: norms and gains to 1, other layers uniformly as torch does.

    With alpha = 0 and weights of 0 in a row, the gradients of both are 0, and neither is ever trained.
    """
    for module in block.node.modules():
        weight = module._parameters.get("weight")
        if weight is None or weight.any():
            continue
        with torch.no_grad():
            if isinstance(module, NORMS_AND_GAINS):
                weight.fill_(1)
            else:
                fan_in = max(weight[0].numel() if weight.dim() > 1 else 1, 1)
                weight.uniform_(-(fan_in**-0.5), fan_in**-0.5)
    return block


def fold_adapter(adapter: ResidualAdapter) -> Block:
    """A copy of the adapter's block with one more `affine` in its gate, which computes the same output as the adapter.

    With a = alpha and the gate g: x + a (x g - x) = x (a g + 1 - a) for `multiply`, x + a (x + g - x) = x + a g for `add`.
    Raises ConfigError if the block is not a single unit that multiplies or adds.
    """
    _check_foldable(adapter)
    block, alpha = copy.deepcopy(adapter.block), float(adapter.mix.detach())
    unit = block.node
    assert isinstance(unit, Unit)
    scale, shift = (alpha, 1 - alpha) if unit.apply_mode == "multiply" else (alpha, 0.0)
    name = str(len(unit.gate._modules))
    unit.gate.add_module(name, Affine(scale, shift))
    block.config = {**block.config, "gate": [*block.config.get("gate", []), {"affine": {"scale": scale, "shift": shift}}]}
    slot_nodes = [node for node in block.parts if node.path.count(".") == 1 and node.path.split(".")[0] in SLOTS]
    gate_sizes = slot_nodes[-1].sizes[1]
    block.parts = (*block.parts, NodeInfo(f"gate.{name}", "affine", (gate_sizes, gate_sizes)))
    if block.lowered is not None:
        block.lower()
    return block


def _check_foldable(adapter: ResidualAdapter) -> None:
    """Raises ConfigError with the reason if the adapter cannot be folded into the gate of its block."""
    block, unit = adapter.block, adapter.block.node
    if adapter.is_parallel:
        reason = "runs in parallel to the module that it replaces, which is needed until the mixing coefficient is 1"
    elif not isinstance(unit, Unit):
        reason = "is not a single unit; only a unit that multiplies or adds can be folded"
    elif unit.apply_mode not in ("multiply", "add"):
        reason = f"is a unit with apply: {unit.apply_mode}; only a unit that multiplies or adds can be folded"
    elif not any(slot in block.config for slot in SLOTS):
        reason = "uses another config with parameters; write out its slots, or use its name alone"
    else:
        return
    raise ConfigError([(block.label, reason)])
