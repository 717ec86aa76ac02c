"""Insertions of blocks into a network at three kinds of places, and the checks of each."""

import copy
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from forks import one_line
from torch import Tensor, nn

import sefactory as sf
from sefactory.errors import first_line
from sefactory.networks.adapter import ResidualAdapter
from sefactory.networks.attachment import inserted_block
from sefactory.networks.tracing import tensors_in, trace

from .zoo import Sample

KINDS = ("stage", "class", "pattern")
BLOCK = "cbam"
SHARE = 0.3
"""The modules of the class of a place have at least this share of the parameters of the network."""
MAX_TRIES = 6
"""Patterns of one kind that are tried."""


@dataclass(frozen=True)
class Outcome:
    """The value of `at` that took a block, or the reason why none did."""

    at: str
    reason: str = ""
    is_fault: bool = False
    """True if the reason is no ConfigError."""

    @property
    def is_taken(self) -> bool:
        """True if the place takes a block."""
        return not self.reason

    def cell(self) -> str:
        """The cell of the table."""
        return f"`{self.at}`" if self.is_taken else "refused"


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
        outcomes.append(try_insertion(sample, before, at))
        if outcomes[-1].is_taken or outcomes[-1].is_fault:
            return outcomes[-1]
    return outcomes[0] if outcomes else Outcome("", "the network has no repeated class", is_fault=True)


def try_insertion(sample: Sample, before: list[Tensor], at: str) -> Outcome:
    """The outcome of the block at one pattern."""
    network = copy.deepcopy(sample.network)
    try:
        report = sf.insert(network, BLOCK, at, example=sample.example)
        check_insertion(sample, before, network, [place.path for place in report.places])
    except (sf.ConfigError, NoGradientError) as error:
        return Outcome(at, f"`{at}`: {first_line(error)}")
    except Exception as error:
        return Outcome(at, f"`{at}`: {one_line(error)}", is_fault=True)
    return Outcome(at)


def check_insertion(sample: Sample, before: list[Tensor], network: nn.Module, paths: Sequence[str]) -> None:
    """Raises AssertionError if the output differs, a checkpoint without blocks does not load, or gradients are missing."""
    with torch.no_grad():
        after = list(tensors_in(sample.run(network)))
    assert len(after) == len(before), "the network returns another number of tensors"
    for former, now in zip(before, after, strict=True):
        assert torch.equal(former.nan_to_num(), now.nan_to_num()), f"the output differs by {float((former - now).abs().max())}"
    network.load_state_dict(sample.network.state_dict(), strict=True)
    blocks = {path: _adapter(network, path) for path in paths}
    _check_gradients(sample, network, {path: {"mix": block.mix} for path, block in blocks.items()})
    with torch.no_grad():
        for block in blocks.values():
            block.mix.fill_(0.5)
    _check_gradients(sample, network, {path: dict(block.named_parameters()) for path, block in blocks.items()})


def _adapter(network: nn.Module, path: str) -> ResidualAdapter:
    """The block that was inserted at a path, with its mixing coefficient."""
    block = inserted_block(network.get_submodule(path))
    assert isinstance(block, ResidualAdapter), f"{path} has no block"
    return block


def _check_gradients(sample: Sample, network: nn.Module, blocks: dict[str, dict[str, nn.Parameter]]) -> None:
    """Raises AssertionError if a parameter has no finite gradient, and NoGradientError if all those of a block are 0.

    Those of the last of several blocks may be 0: the head of many transformers reads only the class token, and no other
    token of the last layer.
    """
    generator = torch.Generator().manual_seed(1)
    last, results = _run_and_find_last(sample, network, list(blocks))
    loss = torch.stack([(y * torch.randn(y.shape, generator=generator)).sum() for y in results if y.requires_grad]).sum()
    parameters = [(path, name, parameter) for path, own in blocks.items() for name, parameter in own.items()]
    gradients = torch.autograd.grad(loss, [parameter for _, _, parameter in parameters], allow_unused=True)
    learning = set()
    for (path, name, _), gradient in zip(parameters, gradients, strict=True):
        assert gradient is not None and gradient.isfinite().all(), f"{name} of {path} has no finite gradient"
        if gradient.any():
            learning.add(path)
    unread = blocks.keys() - learning - ({last} if len(blocks) > 1 else set())
    if unread:
        raise NoGradientError(
            f"the result of the network does not depend on the map at {min(unread)}; choose a place before it"
        )


def _run_and_find_last(sample: Sample, network: nn.Module, paths: Sequence[str]) -> tuple[str, list[Tensor]]:
    """The path of the block that is called last, and the results of the network."""
    called: list[str] = []
    hooks = [_adapter(network, path).register_forward_hook(lambda *_, path=path: called.append(path)) for path in paths]
    results = list(tensors_in(sample.run(network)))
    for hook in hooks:
        hook.remove()
    return called[-1], results


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
