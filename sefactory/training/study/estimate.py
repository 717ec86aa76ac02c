"""The time that a study will take, from a few timed steps of each variant."""

import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain, count, islice

from ..runs.config import RunConfig
from ..runs.preparation import prepare
from ..threads import torch_threads
from ..trainer import Trainer

STEPS = 2
"""Timed steps of each variant, after one that is not timed."""


def seconds_per_pass(run: RunConfig) -> float:
    """The seconds of training per image on this machine, without evaluations. Raises ConfigError."""
    prepared = prepare(replace(run, static=False))
    trainer = Trainer(prepared.model, prepared.data, prepared.recipe, run.seed, run.device)
    batches = list(islice(chain.from_iterable(map(trainer.batches.epoch, count(1))), STEPS + 1))
    trainer.model.train()
    with torch_threads(run.threads):
        trainer.step(batches[0])
        started = time.perf_counter()
        for batch in batches[1:]:
            float(trainer.step(batch))  # waits for the device
        seconds = time.perf_counter() - started
    return seconds / STEPS / prepared.recipe.batch_size


def study_hours(runs: Sequence[RunConfig], seconds: dict[str, float], workers: int) -> float:
    """The hours that runs take with so many at a time; `seconds` are those per image of each variant."""
    total = sum(int(run.recipe["image_passes"]) * seconds[run.label] for run in runs)
    return total / workers / 3600
