"""Whether the recording catches a mutant, and whether the reference does where the recording cannot."""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import torch
from torch import Tensor, autograd

import sefactory as sf
from tests.papers.comparison import measured_values, recorded_values
from tests.papers.recorded_cases import CASES
from tests.papers.references import Recording, State, copy_state, load_recording, run

from .generation import Mutant

TOLERANCE = 1e-4
SHARP = 1e-6
"""Of the largest value, in float64, against plain torch (ATen's hardsigmoid and hardswish are good for 2e-6)."""
Outcome = Literal["refused", "caught", "survived"]


@dataclass(frozen=True)
class Verdict:
    """Refused when built or loaded, caught by the quantity with the largest error, or survived; the error in tolerances."""

    outcome: Outcome
    quantity: str = ""
    distance: float = math.inf


@dataclass(frozen=True)
class Probe:
    """An input and a state at which the reference gives the expected values."""

    name: str
    recording: Recording


def verdict_of_recording(mutant: Mutant, recording: Recording) -> Verdict:
    """The verdict of the recording on a mutant with the authors' weights."""
    try:
        block = loaded(mutant.config, recording, CASES[mutant.case].source)
    except sf.ConfigError as error:
        return Verdict("refused", str(error).splitlines()[0])
    return _compared(block, recording, CASES[mutant.case].source, sharp=False)


def verdict_of_reference(mutant: Mutant) -> Verdict:
    """The verdict of the reference at the probe with the largest error; the mutant must load."""
    verdicts = []
    for probe in probes(mutant.case):
        block = loaded(mutant.config, probe.recording, CASES[mutant.case].source)
        verdict = _compared(block, probe.recording, CASES[mutant.case].source, sharp=True)
        verdicts.append(Verdict(verdict.outcome, f"{verdict.quantity}, {probe.name}", verdict.distance))
    return max(verdicts, key=lambda verdict: verdict.distance)


def loaded(config: Any, recording: Recording, source: str) -> sf.Block:
    """The block of a mapping with the weights of a recording, in the dtype of its input."""
    block = sf.build(config, recording.input.shape[1]).to(recording.input.dtype)
    sf.load_official(block, recording.state, source=source)
    return block


def _compared(block: sf.Block, recording: Recording, source: str, *, sharp: bool) -> Verdict:
    """Caught where a quantity is missing, has another shape, or is off by more than the tolerance."""
    with torch.no_grad():
        if block.eval()(recording.input).shape != recording.output.shape:
            return Verdict("caught", "output")
    found, expected = measured_values(block, recording, source), recorded_values(recording)
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
    """Probes outside of the recorded values: values far above 6, and variances far below eps."""
    recording = load_recording(case, torch.float64)
    large = {key: 20 * entry if _is_vector(key, entry) else entry for key, entry in recording.state.items()}
    factors = {"bias": 0, "running_mean": 0, "running_var": 1e-4}
    small = {key: entry * factors.get(key.rpartition(".")[2], 1) for key, entry in recording.state.items()}
    at = {"large values": (large, 10 * recording.input), "small values": (small, recording.input / 1000)}
    return tuple(Probe(name, _by_reference(case, recording, state, x)) for name, (state, x) in at.items())


def _is_vector(key: str, entry: Tensor) -> bool:
    """Whether an entry is a bias or the weight of a norm."""
    return entry.is_floating_point() and entry.numel() == max(entry.shape, default=0) and "running" not in key


def _by_reference(case: str, recording: Recording, state: State, x: Tensor) -> Recording:
    """A recording made by plain torch."""
    x = x.clone().requires_grad_()
    output = run(case, copy_state(state), x)
    (gradient,) = autograd.grad(output, x, recording.cotangent)
    moved = copy_state(state)
    train = run(case, moved, x.detach(), training=True)
    buffers = {key: moved[key] for key in recording.buffers_train}
    return Recording(x.detach(), recording.cotangent, output.detach(), gradient, train.detach(), state, buffers)
