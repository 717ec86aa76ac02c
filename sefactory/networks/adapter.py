"""How an inserted block runs: in a residual adapter, as a child of a module of the network, called by a forward hook.

The adapter keeps the network's output unchanged at initialisation; no key of the network is renamed.
"""

import copy
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ..block import Block, NodeInfo
from ..config.registry import SLOTS
from ..errors import ConfigError
from ..operators.containers import Unit
from ..operators.elementwise import Affine, Gain
from ..operators.norm import BatchNorm, GroupNorm, LayerNorm
from .options import Where

CHILD = "inserted"
"""The attribute, and part of the state-dict keys, under which a module of the network holds its inserted block."""
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
        y_BCHW: Tensor = original_BCHW + self.mix * (self.block(x_BCHW) - original_BCHW)
        return y_BCHW


def wrap(block: Block, is_parallel: bool) -> Block | ResidualAdapter:
    """A fresh block in a residual adapter; the block itself if it is the identity at initialisation."""
    if not is_parallel and _is_identity(block):
        return block
    reinit_zero_weights(block)
    return ResidualAdapter(block, is_parallel)


def _is_identity(block: Block) -> bool:
    """True if the block in eval mode returns a random input unchanged."""
    sizes = block.sizes[0]
    shape = [2, sizes.number("C"), *(n if isinstance(n := sizes[axis], int) else 7 for axis in sizes.grid)]
    dtype = next(block.parameters(), torch.empty(0)).dtype
    x_BCHW = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=dtype)
    block.eval()
    with torch.no_grad():
        is_identity = torch.equal(block(x_BCHW), x_BCHW)
    block.train()
    return is_identity


def reinit_zero_weights(block: Block) -> None:
    """Initialises weights that are all 0 anew: norms and gains to 1, other layers uniformly as torch does.

    With alpha = 0 and weights of 0 in a row, the gradients of both are 0, and neither is ever trained.
    """
    for module in block.node.modules():
        weight = getattr(module, "weight", None)
        if not isinstance(weight, nn.Parameter) or weight.any():
            continue
        with torch.no_grad():
            if isinstance(module, NORMS_AND_GAINS):
                weight.fill_(1)
            else:
                fan_in = max(weight[0].numel() if weight.dim() > 1 else 1, 1)
                weight.uniform_(-(fan_in**-0.5), fan_in**-0.5)


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


def attach_block(model: nn.Module, path: str, child: Block | ResidualAdapter, where: Where) -> None:
    """Puts a block or its adapter after, before or in place of the module at a path. Keys of the network stay as they are."""
    original = model.get_submodule(path)
    if where == "replace" and isinstance(child, Block):
        parent, _, name = path.rpartition(".")
        nn.Module.register_load_state_dict_pre_hook(child, partial(_discard_original, tuple(original.state_dict())))
        setattr(model.get_submodule(parent), name, child)
        return
    if type(original).forward is nn.Sequential.forward and where != "replace":
        steps = list(original._modules.items())
        original._modules.clear()
        original._modules.update([*steps, (CHILD, child)] if where == "after" else [(CHILD, child), *steps])
    else:
        original.add_module(CHILD, child)
        if where == "before":
            original.register_forward_pre_hook(_call_before)
        else:
            original.register_forward_hook(_call_after if where == "after" else _call_parallel)
    original.register_load_state_dict_pre_hook(_keep_inserted)


def _call_after(module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Any:
    return getattr(module, CHILD)(output)


def _call_before(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
    return (getattr(module, CHILD)(args[0]), *args[1:])


def _call_parallel(module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Any:
    return getattr(module, CHILD)(args[0], output)


def _keep_inserted(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Completes a checkpoint of the network without blocks by the current tensors of the inserted block."""
    if not any(key.startswith(f"{prefix}{CHILD}.") for key in state):
        state.update({f"{prefix}{CHILD}.{key}": tensor for key, tensor in getattr(module, CHILD).state_dict().items()})


def _discard_original(original_keys: tuple[str, ...], block: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Replaces the tensors of the replaced module in a checkpoint of the network without blocks by the block's current ones."""
    own = block.state_dict()
    loaded = {key: state[f"{prefix}{key}"] for key in dict.fromkeys([*own, *original_keys]) if f"{prefix}{key}" in state}
    if any(key not in original_keys for key in loaded):
        return  # a checkpoint with this block
    if all(key in own and own[key].shape == loaded[key].shape for key in loaded):
        return  # the tensors fit the block, or there are none
    for key in loaded:
        del state[f"{prefix}{key}"]
    state.update({f"{prefix}{key}": tensor for key, tensor in own.items()})


def fold(model: nn.Module) -> list[tuple[str, str]]:
    """Folds the mixing coefficient of every inserted block into its gate.

    Returns (path, reason) of every block where this is not possible; it keeps its adapter.
    """
    remaining = []
    for path, module in list(model.named_modules()):
        child = module._modules.get(CHILD)
        if isinstance(child, ResidualAdapter):
            try:
                module._modules[CHILD] = fold_adapter(child)
            except ConfigError as error:
                remaining.append((path, error.faults[0][1]))
    return remaining
