"""Builds every variant of a study before anything trains: what it costs, and which are refused."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch

from ...bench.macs import macs
from ...bench.summary import parameters
from ...errors import ConfigError, one_line
from ...store.store import digest
from ..data.dataset import Dataset
from ..runs.config import RunConfig
from ..runs.network import read_network
from ..runs.preparation import build_model, describe_blocks
from ..static_gates import make_gates_static
from .config import StudyConfig


@dataclass(frozen=True)
class Candidate:
    """A variant that can be trained: parameters and MACs of the whole network for one image, and its number of gates.

    `variant` is the digest of its blocks.
    """

    label: str
    variant: str
    parameters: int
    macs: int
    gates: int


@dataclass(frozen=True)
class Candidates:
    """The variants of a study that can be trained, the network without blocks first; and why the others are refused."""

    accepted: Mapping[str, Candidate]
    refused: Mapping[str, str]


def build_candidates(study: StudyConfig, data: Dataset) -> Candidates:
    """Builds all variants on the meta device, at the real widths of the network. Raises ConfigError if it cannot be built."""
    accepted = {study.baseline.label: _build(study.baseline, data)}
    refused = dict[str, str]()
    for label, run in study.variants.items():
        try:
            candidate = _build(run, data)
        except ConfigError as error:
            refused[label] = one_line(error)
            continue
        equal = next((other.label for other in accepted.values() if other.variant == candidate.variant), "")
        if equal:
            refused[label] = f"has the same blocks at the same places as {equal}"
        else:
            accepted[label] = candidate
    return Candidates(accepted, refused)


def _build(run: RunConfig, data: Dataset) -> Candidate:
    with torch.device("meta"):
        network = read_network(run.network)
        model, report = build_model(replace(run, static=False), network, data)
        count, variant = macs(model, torch.zeros(1, *data.shape)), digest(describe_blocks(network, report))
        return Candidate(run.label, variant, parameters(model), count, make_gates_static(model))
