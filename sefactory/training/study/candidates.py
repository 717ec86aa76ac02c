"""Builds every variant of a study before anything trains: what it costs, and which are refused."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch

from ...bench.macs import macs
from ...bench.summary import parameters
from ...errors import ConfigError
from ..data.dataset import Dataset
from ..runs.config import RunConfig
from ..runs.network import read_network
from ..runs.preparation import build_model
from ..static_gates import make_gates_static
from .config import StudyConfig


@dataclass(frozen=True)
class Candidate:
    """A variant that can be trained: parameters and MACs of the whole network for one image, and its number of gates."""

    label: str
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
            accepted[label] = _build(run, data)
        except ConfigError as error:
            refused[label] = "; ".join(f"{path}: {text}" for path, text in error.faults)
    return Candidates(accepted, refused)


def _build(run: RunConfig, data: Dataset) -> Candidate:
    with torch.device("meta"):
        model, _ = build_model(replace(run, static=False), read_network(run.network), data)
        count = macs(model, torch.zeros(1, *data.shape))
        return Candidate(run.label, parameters(model), count, make_gates_static(model))
