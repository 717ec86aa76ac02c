"""Runs that take a second."""

from dataclasses import replace
from typing import Any

from sefactory.training.runs.config import RunConfig, read_run

PLACES = [{"at": "layer*.*.bn2", "where": "after", "start": "identity"}]
NETWORK = {"host": "residual", "depth": 8, "width": 8, "place": PLACES}
RECIPE = {"image_passes": 512, "lr": 0.05, "batch_size": 32, "subset": 256}
RUN: dict[str, Any] = {"data": "digits", "network": NETWORK, "recipe": RECIPE}


def example(label: str = "plain", **changes: Any) -> RunConfig:
    """A run on digits: `plain`, or with the block of this name."""
    config = dict(RUN) if label == "plain" else RUN | {"block": label, "overrides": ["let.r=4"] if label == "senet" else []}
    return replace(read_run(config | {"label": label}), **changes)
