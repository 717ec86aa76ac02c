"""Whether a mutant is told from the recording, and from plain torch where a recording cannot tell it."""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import torch
from torch import Tensor, autograd

import sefactory as sf
from tests.papers.comparison import evidence, recorded
from tests.papers.recorded_cases import CASES
from tests.papers.references import Golden, State, copy_state, load_golden, run

from .generation import Mutant

TOLERANCE = 1e-4
SHARP = 1e-6
"""Of the largest value, in float64, against plain torch (ATen's hardsigmoid and hardswish are good for 2e-6)."""
Outcome = Literal["refused", "caught", "survived"]


@dataclass(frozen=True)
class Verdict:
    """Refused when built or loaded, caught by the quantity that is farthest off, or not told; how far, in tolerances."""

    outcome: Outcome
    told_by: str = ""
    distance: float = math.inf


@dataclass(frozen=True)
class Probe:
    """An input and a state at which a reference says what is right."""

    name: str
    golden: Golden


def judged(mutant: Mutant, golden: Golden) -> Verdict:
    """What the recording says of a mutant with the authors' weights."""
    try:
        block = loaded(mutant.config, golden, CASES[mutant.case].source)
    except sf.ConfigError as error:
        return Verdict("refused", str(error).splitlines()[0])
    return _compared(block, golden, CASES[mutant.case].source, sharp=False)


def told_by_reference(mutant: Mutant) -> Verdict:
    """The same against plain torch at every probe, of a mutant that can be loaded; the verdict that is farthest off."""
    verdicts = []
    for probe in probes(mutant.case):
        block = loaded(mutant.config, probe.golden, CASES[mutant.case].source)
        verdict = _compared(block, probe.golden, CASES[mutant.case].source, sharp=True)
        verdicts.append(Verdict(verdict.outcome, f"{verdict.told_by}, {probe.name}", verdict.distance))
    return max(verdicts, key=lambda verdict: verdict.distance)


def loaded(config: Any, golden: Golden, source: str) -> sf.Block:
    """The block of a mapping with the weights of a recording, in the dtype of its input."""
    block = sf.build(config, golden.input.shape[1]).to(golden.input.dtype)
    sf.load_official(block, golden.state, source=source)
    return block


def _compared(block: sf.Block, golden: Golden, source: str, *, sharp: bool) -> Verdict:
    """Caught where a quantity is missing, has another shape, or is off by more than the tolerance."""
    with torch.no_grad():
        if block.eval()(golden.input).shape != golden.output.shape:
            return Verdict("caught", "output")
    found, expected = evidence(block, golden, source), recorded(golden)
    if missing := set(found) ^ set(expected):
        return Verdict("caught", min(missing))
    distances = {what: distance(found[what], tensor, sharp=sharp) for what, tensor in expected.items()}
    worst = max(distances, key=distances.__getitem__)
    return Verdict("caught" if distances[worst] > 1 else "survived", worst, distances[worst])


def distance(found: Tensor, expected: Tensor, *, sharp: bool = False) -> float:
    """The largest error in tolerances; what is not finite, or of another shape, is infinitely far."""
    if found.shape != expected.shape:
        return math.inf
    allowed = SHARP * expected.abs().max() if sharp else TOLERANCE + TOLERANCE * expected.abs()
    error = (found - expected).abs() / allowed.clamp(min=torch.finfo(expected.dtype).tiny)
    return float(error.nan_to_num(math.inf).max())


@lru_cache(maxsize=4)
def probes(case: str) -> tuple[Probe, ...]:
    """Where a recording is blind: values far above 6, and variances far below eps."""
    golden = load_golden(case, torch.float64)
    large = {key: 20 * entry if _is_vector(key, entry) else entry for key, entry in golden.state.items()}
    factors = {"bias": 0, "running_mean": 0, "running_var": 1e-4}
    small = {key: entry * factors.get(key.rpartition(".")[2], 1) for key, entry in golden.state.items()}
    at = {"large values": (large, 10 * golden.input), "small values": (small, golden.input / 1000)}
    return tuple(Probe(name, _by_reference(case, golden, state, x)) for name, (state, x) in at.items())


def _is_vector(key: str, entry: Tensor) -> bool:
    """Whether an entry is a bias or the weight of a norm."""
    return entry.is_floating_point() and entry.numel() == max(entry.shape, default=0) and "running" not in key


def _by_reference(case: str, golden: Golden, state: State, x: Tensor) -> Golden:
    """A recording made by plain torch."""
    x = x.clone().requires_grad_()
    output = run(case, copy_state(state), x)
    (gradient,) = autograd.grad(output, x, golden.cotangent)
    moved = copy_state(state)
    train = run(case, moved, x.detach(), training=True)
    buffers = {key: moved[key] for key in golden.buffers_train}
    return Golden(x.detach(), golden.cotangent, output.detach(), gradient, train.detach(), state, buffers)
