"""The authors' module and our block with the same weights, and the check that both compute the same."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from authors_seaformer import AUTHORS
from torch import Tensor, nn

import sefactory as sf

EXACT, FLOAT32_CONSTANTS = 1e-9, 2e-6  # ATen's hardsigmoid and hardswish have 1/6 in float32, in every dtype
DANET = {"parallel": {"position": "pam", "channel": "cam"}, "fuse": "sum"}
DANET_KEYS = {
    "parallel.position.excite.0": ["sa.query_conv", "sa.key_conv", "sa.value_conv"],
    "parallel.position.gate.0.weight": "sa.gamma",
    "parallel.channel.gate.0.weight": "sc.gamma",
}


class MismatchError(Exception):
    """Two modules do not compute the same."""


@dataclass(frozen=True)
class Paper:
    """Our config of a paper, and how it is measured.

    `load` are the arguments of sf.load_official for the authors' weights. `side` is the height and width at full size,
    `batches` the batch size on a CPU and on a GPU. `scale` is the size of the input values: attention energies grow with
    its square, and a softmax of large energies saturates.
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
CHANNELS = 128
TINY_SHAPE = (2, CHANNELS, 7, 7)


@dataclass(frozen=True)
class Pair:
    """The authors' module and our blocks, lowered and optionally plain, all with the same weights in float32.

    `copy_weights(block, state)` copies a state dict of the authors' module into one of our blocks.
    """

    name: str
    authors: nn.Module
    ours: sf.Block
    plain: sf.Block | None = None
    tolerance: float = EXACT
    scale: float = 1.0
    copy_weights: Callable[[sf.Block, Mapping[str, Tensor]], None] = field(default=lambda block, state: None)

    def modules(self) -> dict[str, nn.Module]:
        """The modules by the name of their column."""
        plain = {"plain": self.plain} if self.plain is not None else {}
        return {"authors": self.authors, "ours": self.ours, **plain}


def paper_pair(name: str, channels: int = CHANNELS, *, plain: bool = False, seed: int = 0) -> Pair:
    """The pair of one paper with random weights, none of them a value that hides an operation."""
    paper = {**SEVEN, "pam": PAM}[name]
    authors = randomize(AUTHORS[name](channels), seed)

    def copy_weights(block: sf.Block, state: Mapping[str, Tensor]) -> None:
        sf.load_official(block, state, **paper.load)

    blocks = [sf.build(paper.config, channels, lower=lower) for lower in ((True, False) if plain else (True,))]
    for block in blocks:
        copy_weights(block, authors.state_dict())
    return Pair(name, authors, *blocks, tolerance=paper.tolerance, scale=paper.scale, copy_weights=copy_weights)


def randomize(module: nn.Module, seed: int) -> nn.Module:
    """Fills all tensors in place and returns the module.

    Weights of norms and scalars are U(0.5, 1.5), biases and running means N(0, 0.3), other weights N(0, 1/fan_in), and
    position embeddings N(0, 1).
    """
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for key, tensor in module.state_dict().items():
            if key.endswith(("running_var", "gamma")) or (key.endswith("weight") and tensor.dim() < 2):
                tensor.uniform_(0.5, 1.5, generator=rng)
            elif key.endswith("weight"):
                tensor.normal_(0, tensor[0].numel() ** -0.5, generator=rng)
            elif tensor.is_floating_point():
                tensor.normal_(0, 1 if key.endswith("pos_embed") else 0.3, generator=rng)
    return module


def random_input(
    pair: Pair, shape: tuple[int, int, int, int], device: str = "cpu", dtype: torch.dtype = torch.float32
) -> Tensor:
    """Normal values plus an offset for each channel, row and column. Without the offsets, mean pooling gives almost 0."""
    b, c, h, w = shape
    rng = torch.Generator().manual_seed(sum(shape))
    x = torch.randn(shape, generator=rng, dtype=torch.float64)
    for std, offset_shape in ((0.7, (b, c, 1, 1)), (0.4, (b, c, h, 1)), (0.4, (b, c, 1, w))):
        x += std * torch.randn(offset_shape, generator=rng, dtype=torch.float64)
    return (x * pair.scale).to(device, dtype).requires_grad_()


# ---- The check ------------------------------------------------------------------------------------------------------


def check_equal(pair: Pair, shape: tuple[int, int, int, int], device: str = "cpu") -> None:
    """Raises MismatchError if outputs, gradients or statistics differ between two modules of a pair, in float64."""
    x = random_input(pair, shape, device, torch.float64)
    modules = {name: copy.deepcopy(module).to(device, torch.float64) for name, module in pair.modules().items()}
    for mode in ("eval", "train"):
        results = {name: _run(module.train(mode == "train"), x) for name, module in modules.items()}
        expected = results.pop("authors")
        for name, result in results.items():
            for what, actual, wanted in zip(("output", "input gradient"), result, expected, strict=True):
                _check_close(f"{pair.name}: {mode} {what} of {name}", actual, wanted, pair.tolerance)
    authors = modules.pop("authors")
    for name, block in modules.items():
        for what, state in (("", nn.Module.state_dict), ("gradient of ", _gradients)):
            _check_states(pair, f"{pair.name}: {what}{{}} of {name} after training", state(block), state(authors), block)


def _run(module: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """The output and the input gradient of sum(y * grad_output); the parameters keep their gradients."""
    for tensor in (x, *module.parameters()):
        tensor.grad = None
    y = module(x)
    grad_output = torch.randn(y.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(y.device)
    torch.autograd.backward(y, grad_output)
    if x.grad is None:
        raise MismatchError("the input has no gradient")
    return y.detach(), x.grad


def _gradients(module: nn.Module) -> dict[str, Tensor]:
    """The state dict of a module with gradients in place of parameters; zeros if a parameter has none."""
    gradients = {key: torch.zeros_like(p) if p.grad is None else p.grad for key, p in module.named_parameters()}
    return {key: gradients.get(key, tensor) for key, tensor in module.state_dict().items()}


def _check_states(pair: Pair, what: str, ours: dict[str, Tensor], theirs: dict[str, Tensor], block: sf.Block) -> None:
    """Checks that our state is the authors' state under our keys.

    Some gradients are zero up to rounding, so the error of each tensor is relative to the largest value of all.
    """
    target = copy.deepcopy(block)
    pair.copy_weights(target, theirs)
    largest = max((float(t.abs().max()) for key, t in ours.items() if "num_batches" not in key), default=1.0)
    for key, wanted in target.state_dict().items():
        _check_close(what.format(key), ours[key], wanted, pair.tolerance, largest)


def _check_close(what: str, actual: Tensor, wanted: Tensor, tolerance: float, largest: float = 0.0) -> None:
    if actual.shape != wanted.shape:
        raise MismatchError(f"{what} is {tuple(actual.shape)}, not {tuple(wanted.shape)}")
    actual, wanted = actual.double(), wanted.double()
    error = float((actual - wanted).abs().max()) / (largest or float(wanted.abs().max()) or 1.0)
    if not error <= tolerance:
        raise MismatchError(f"{what} differs by {error:.1e} of the largest value")
