"""Authors' operations and our block with one set of weights, and the gate: no pair is timed whose two differ."""

import copy
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from authors_seaformer import AUTHORS
from torch import Tensor, nn

import sefactory as sf

EXACT, FLOAT32_CONSTANTS = 1e-9, 2e-6  # ATen's hardsigmoid and hardswish take 1/6 in float32, in every dtype
LOWERS = "lower" in inspect.signature(sf.build).parameters
DANET = {"parallel": {"position": "pam", "channel": "cam"}, "fuse": "sum"}
DANET_KEYS = {
    "parallel.position.excite.0": ["sa.query_conv", "sa.key_conv", "sa.value_conv"],
    "parallel.position.gate.0.weight": "sa.gamma",
    "parallel.channel.gate.0.weight": "sc.gamma",
}


class Differs(Exception):
    """Two modules that are said to compute the same do not."""


@dataclass(frozen=True)
class Paper:
    """Our config, how the authors' weights come into it, side and batch at full size (CPU, GPU), how near is equal.

    `scale` is the size of the input: energies grow with its square, and a softmax over them saturates.
    """

    config: Any
    load: dict[str, Any]
    side: int
    batches: tuple[int, int]
    tolerance: float = EXACT
    scale: float = 1.0


def _source(name: str) -> dict[str, Any]:
    return {"source": name}


SEVEN: dict[str, Paper] = {
    "senet": Paper("senet", _source("moskomule/senet.pytorch"), 56, (8, 128)),
    "cbam": Paper("cbam", _source("Jongchan/attention-module"), 56, (8, 128)),
    "coordatt": Paper("coordatt", _source("houqb/CoordAttention"), 56, (8, 128), FLOAT32_CONSTANTS),
    "triplet": Paper("triplet", _source("landskape-ai/triplet-attention"), 56, (8, 64)),
    "sknet": Paper("sknet", _source("huggingface/pytorch-image-models"), 28, (8, 128)),
    "seaformer": Paper("seaformer", _source("fudan-zvg/SeaFormer"), 28, (8, 128), FLOAT32_CONSTANTS),
    "danet": Paper(DANET, {"keys": DANET_KEYS}, 32, (4, 64), scale=0.35),
}
PAM = Paper("pam", _source("junfu1115/DANet"), 128, (1, 1), scale=0.35)
CHANNELS, TINY = 128, (2, 7)


@dataclass(frozen=True)
class Pair:
    """The authors' module and our blocks, lowered and (where asked for) plain, all with the same weights, in float32."""

    name: str
    authors: nn.Module
    ours: sf.Block
    plain: sf.Block | None = None
    tolerance: float = EXACT
    scale: float = 1.0
    copied: Callable[[sf.Block, Mapping[str, Tensor]], None] = field(default=lambda block, state: None)

    def modules(self) -> dict[str, nn.Module]:
        """By the name of their column."""
        plain = {"plain": self.plain} if self.plain is not None else {}
        return {"authors": self.authors, "ours": self.ours, **plain}


def built(config: Any, channels: int, *, lower: bool = True, **options: Any) -> sf.Block:
    """sf.build, with lower= where it has one. RuntimeError for a plain block where it has none."""
    if LOWERS:
        return sf.build(config, channels, lower=lower, **options)
    if not lower:
        raise RuntimeError("sf.build has no lower= here: what it builds is plain")
    return sf.build(config, channels, **options)


def paired(name: str, channels: int = CHANNELS, *, plain: bool = False, seed: int = 0) -> Pair:
    """The pair of one paper, its weights random and none of them at a value that hides an operation."""
    paper = {**SEVEN, "pam": PAM}[name]
    authors = randomised(AUTHORS[name](channels), seed)

    def copied(block: sf.Block, state: Mapping[str, Tensor]) -> None:
        sf.load_official(block, state, **paper.load)

    blocks = [built(paper.config, channels, lower=lower) for lower in ((True, False) if plain else (True,))]
    for block in blocks:
        copied(block, authors.state_dict())
    return Pair(name, authors, *blocks, tolerance=paper.tolerance, scale=paper.scale, copied=copied)


def randomised(module: nn.Module, seed: int) -> nn.Module:
    """Norms and scalars U(0.5, 1.5), their biases and means N(0, 0.3), weights N(0, 1/fan_in), positions N(0, 1)."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for key, tensor in module.state_dict().items():
            if key.endswith(("running_var", "gamma")) or (key.endswith("weight") and tensor.dim() < 2):
                tensor.uniform_(0.5, 1.5, generator=random)
            elif key.endswith("weight"):
                tensor.normal_(0, tensor[0].numel() ** -0.5, generator=random)
            elif tensor.is_floating_point():
                tensor.normal_(0, 1 if key.endswith("pos_embed") else 0.3, generator=random)
    return module


def inputs(pair: Pair, shape: tuple[int, int, int, int], device: str = "cpu", dtype: torch.dtype = torch.float32) -> Tensor:
    """Normal values with an offset for each channel, row and column, which mean pools would else hardly see."""
    b, c, h, w = shape
    random = torch.Generator().manual_seed(sum(shape))
    x = torch.randn(shape, generator=random, dtype=torch.float64)
    for size, side in ((0.7, (b, c, 1, 1)), (0.4, (b, c, h, 1)), (0.4, (b, c, 1, w))):
        x += size * torch.randn(side, generator=random, dtype=torch.float64)
    return (x * pair.scale).to(device, dtype).requires_grad_()


# ---- The gate -------------------------------------------------------------------------------------------------------


def check(pair: Pair, shape: tuple[int, int, int, int], device: str = "cpu") -> None:
    """Raises Differs where, in float64, outputs, gradients or statistics of two of the pair are not the same."""
    x = inputs(pair, shape, device, torch.float64)
    modules = {name: copy.deepcopy(module).to(device, torch.float64) for name, module in pair.modules().items()}
    for mode in ("eval", "train"):
        results = {name: _run(module.train(mode == "train"), x) for name, module in modules.items()}
        expected = results.pop("authors")
        for name, result in results.items():
            for what, found, wanted in zip(("output", "input gradient"), result, expected, strict=True):
                _same(f"{pair.name}: {mode} {what} of {name}", found, wanted, pair.tolerance)
    authors = modules.pop("authors")
    for name, block in modules.items():
        for what, state in (("", nn.Module.state_dict), ("gradient of ", _gradients)):
            _same_state(pair, f"{pair.name}: {what}{{}} of {name} after training", state(block), state(authors), block)


def _run(module: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """Output, and the gradient of sum(y * cotangent) in x; those of the parameters stay with them."""
    for tensor in (x, *module.parameters()):
        tensor.grad = None
    y = module(x)
    cotangent = torch.randn(y.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(y.device)
    torch.autograd.backward(y, cotangent)
    if x.grad is None:
        raise Differs("no gradient comes back to the input")
    return y.detach(), x.grad


def _gradients(module: nn.Module) -> dict[str, Tensor]:
    """The state of a module with gradients for parameters; zeros where there is none."""
    gradients = {key: torch.zeros_like(p) if p.grad is None else p.grad for key, p in module.named_parameters()}
    return {key: gradients.get(key, tensor) for key, tensor in module.state_dict().items()}


def _same_state(pair: Pair, what: str, found: dict[str, Tensor], theirs: dict[str, Tensor], block: sf.Block) -> None:
    """Their state under our keys is ours. Some gradients are zero but for rounding: all are held to the largest."""
    target = copy.deepcopy(block)
    pair.copied(target, theirs)
    largest = max((float(t.abs().max()) for key, t in found.items() if "num_batches" not in key), default=1.0)
    for key, wanted in target.state_dict().items():
        _same(what.format(key), found[key], wanted, pair.tolerance, largest)


def _same(what: str, found: Tensor, wanted: Tensor, tolerance: float, largest: float = 0.0) -> None:
    if found.shape != wanted.shape:
        raise Differs(f"{what} is {tuple(found.shape)}, not {tuple(wanted.shape)}")
    found, wanted = found.double(), wanted.double()
    error = float((found - wanted).abs().max()) / (largest or float(wanted.abs().max()) or 1.0)
    if not error <= tolerance:
        raise Differs(f"{what} differs by {error:.1e} of the largest value")
