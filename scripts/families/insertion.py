"""Insertions of blocks into a network at three kinds of places, and the checks of each."""

import copy
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

import sefactory as sf
from sefactory.networks.tracing import tensors_in, trace

from .zoo import Sample

KINDS = ("stage", "class", "pattern")
BLOCKS = ("cbam", "senet")
SHARE = 0.3
"""The modules of the class of a place have at least this share of the parameters of the network."""
MAX_TRIES = 6
"""Patterns of one kind that are tried."""


@dataclass(frozen=True)
class Outcome:
    """The block that a kind of place took and the value of `at`; or the reason why it took none."""

    block: str
    at: str
    reason: str = ""
    is_fault: bool = False
    """True if the reason is no ConfigError."""

    def cell(self) -> str:
        """The cell of the table."""
        return f"{self.block}: `{self.at}`" if self.block else "refused"


class NoGradientError(Exception):
    """Blocks that nothing reads."""


def insert_everywhere(sample: Sample) -> dict[str, Outcome]:
    """The outcome for each kind of place."""
    with torch.no_grad():
        for parameter in sample.network.parameters():
            if not parameter.any():  # residual branches and heads that start at 0 pass no gradient
                nn.init.normal_(parameter, std=0.02)
        before = list(tensors_in(sample.run(sample.network)))
    classes = [*repeated_classes(sample)][:MAX_TRIES]
    patterns = [pattern for name in classes for pattern in patterns_of(sample.network, name)][:MAX_TRIES]
    candidates = {"stage": ["stage:-1", "stage:-2"], "class": classes, "pattern": patterns}
    return {kind: _first_outcome(sample, before, candidates[kind]) for kind in KINDS}


def _first_outcome(sample: Sample, before: list[Tensor], patterns: list[str]) -> Outcome:
    """The outcome of the first pattern that takes a block; that of the first pattern if none does."""
    outcomes = []
    for at in patterns:
        for block in BLOCKS:
            outcomes.append(try_insertion(sample, before, block, at))
            if outcomes[-1].block or outcomes[-1].is_fault:
                return outcomes[-1]
    return outcomes[0] if outcomes else Outcome("", "", "the network has no repeated class", is_fault=True)


def try_insertion(sample: Sample, before: list[Tensor], block: str, at: str) -> Outcome:
    """The outcome of one block at one pattern."""
    network = copy.deepcopy(sample.network)
    try:
        report = sf.insert(network, block, at, example=sample.example)
        check_insertion(sample, before, network, list(report.new))
    except (sf.ConfigError, NoGradientError) as error:
        return Outcome("", at, f"`{at}`: {' '.join(str(error).splitlines()[0].split())}")
    except Exception as error:
        return Outcome("", at, f"{block} at {at}: {type(error).__name__}: {' '.join(str(error).split())[:300]}", is_fault=True)
    return Outcome(block, at)


def check_insertion(sample: Sample, before: list[Tensor], network: nn.Module, new: list[str]) -> None:
    """Raises AssertionError if the output differs, a checkpoint without blocks does not load, or gradients are missing."""
    with torch.no_grad():
        after = list(tensors_in(sample.run(network)))
    assert len(after) == len(before), "the network returns another number of tensors"
    for former, now in zip(before, after, strict=True):
        assert torch.equal(former.nan_to_num(), now.nan_to_num()), f"the output differs by {float((former - now).abs().max())}"
    network.load_state_dict(sample.network.state_dict(), strict=True)
    keys = dict(network.named_parameters())
    learned = {key: p for key, p in keys.items() if any(key.replace("original.", "") == name for name in new)}
    mixes = {key: p for key, p in learned.items() if key.endswith(".mix")}
    _check_gradients(sample, network, mixes)
    with torch.no_grad():
        for mix in mixes.values():
            mix.fill_(0.5)
    _check_gradients(sample, network, learned)


def _check_gradients(sample: Sample, network: nn.Module, parameters: Mapping[str, nn.Parameter]) -> None:
    """Raises AssertionError if a parameter has no finite gradient, and NoGradientError if all gradients are 0.

    That of a single block may be 0: the head of many transformers reads only the class token, and nothing the last block.
    """
    generator = torch.Generator().manual_seed(1)
    results = [y for y in tensors_in(sample.run(network)) if y.requires_grad]
    loss = torch.stack([(y * torch.randn(y.shape, generator=generator)).sum() for y in results]).sum()
    gradients = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
    for key, gradient in zip(parameters, gradients, strict=True):
        assert gradient is not None and gradient.isfinite().all(), f"{key} has no finite gradient"
    if not any(gradient.any() for gradient in gradients):
        raise NoGradientError("the result of the network does not depend on the map at this place; choose one before it")


def repeated_classes(sample: Sample) -> Iterator[str]:
    """The classes of modules that return maps more than once, the most frequent ones first.

    Single layers come last, and before them classes with less than `SHARE` of the parameters.
    """
    calls = trace(sample.network, sample.example)
    groups: dict[str, list[nn.Module]] = {}
    for path, module in sample.network.named_modules():
        if path in calls and len(calls[path][0].output_shape or ()) > 2:
            groups.setdefault(type(module).__name__, []).append(module)
    whole = _parameters([sample.network])

    def order(name: str) -> tuple[bool, bool, int, float]:
        modules = groups[name]
        share = _parameters(modules) / whole
        is_basic = type(modules[0]).__module__.startswith("torch.") or next(modules[0].children(), None) is None
        return is_basic, share < SHARE, -len(modules), -share

    yield from sorted((name for name in groups if len(groups[name]) > 1), key=order)


def _parameters(modules: list[nn.Module]) -> int:
    return sum(p.numel() for p in {p for module in modules for p in module.parameters()})


def patterns_of(network: nn.Module, name: str) -> Iterator[str]:
    """The most frequent pattern of the last norms in the modules of a class, then that of the modules themselves."""
    norms: Counter[str] = Counter()
    own: Counter[str] = Counter()
    for path, module in network.named_modules():
        if type(module).__name__ == name:
            own[_pattern(path)] += 1
            inner = [other for other, part in module.named_modules() if re.search("(?i)norm", type(part).__name__)]
            if inner:
                norms[_pattern(f"{path}.{inner[-1]}".strip("."))] += 1
    yield from [pattern for pattern, _ in norms.most_common(1)] + [pattern for pattern, _ in own.most_common(1)]


def _pattern(path: str) -> str:
    """The path with `*` in the place of numbers."""
    return re.sub(r"\d+", "*", path)
