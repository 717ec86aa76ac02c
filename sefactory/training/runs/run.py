"""Executes a run: trains from its checkpoint or from the beginning, and writes its result last."""

import platform
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

import torch

from ...bench.hardware import cpu_name
from ...bench.macs import macs
from ...bench.summary import parameters
from ...bench.versions import package_version
from ..data.dataset import Part
from ..threads import torch_threads
from ..trainer import Diverged, Trainer
from .config import RunConfig
from .preparation import PreparedRun, prepare
from .results import Result, Status
from .store import Epoch, RunFolder, RunStore

CURVE_IMAGES = 1000
"""The number of validation images that are scored after each epoch; all of them are scored at the end."""


class Progress(NamedTuple):
    """How far a run is: finished steps of all, and the last line of epochs.csv."""

    step: int
    steps: int
    images_per_second: float
    epoch: Epoch | None


ProgressCallback = Callable[[Progress], None]


def execute(config: RunConfig, store: RunStore, on_progress: ProgressCallback = lambda progress: None) -> Result:
    """The result of a run, from the store if it is finished there. Otherwise the run is executed and its result stored.

    A run that was interrupted continues after its last epoch; on a CPU its final weights are equal bit for bit.
    Raises ConfigError if it cannot be prepared, OSError if the store cannot be written to.
    """
    run = prepare(config)
    folder = store.run(run.identity.run)
    if (found := folder.result) is not None:
        return found
    with folder.locked():
        if (found := folder.result) is not None:  # another process has finished it
            return found
        folder.write_config(config)
        result = _train(run, folder, on_progress)
        folder.write_result(result)
    return result


def _train(run: PreparedRun, folder: RunFolder, on_progress: ProgressCallback) -> Result:
    """Trains a run epoch by epoch, with a checkpoint after each."""
    count = macs(run.model, torch.zeros(1, *run.data.shape))
    trainer = Trainer(run.model, run.data, run.recipe, run.config.seed, run.config.device)
    trainer.load(folder.checkpoint)
    epochs = folder.epochs[: trainer.finished]
    curve = _first(run.data.validation, CURVE_IMAGES)
    with torch_threads(run.config.threads):
        try:
            while not trainer.is_done:
                epochs.append(_train_epoch(trainer, curve, epochs, on_progress))
                folder.write_epochs(epochs)
                trainer.save(folder.checkpoint)
            return _result(run, trainer, epochs, count)
        except Diverged as error:
            return _without_scores(run, trainer, epochs, count, "diverged", str(error))


def _train_epoch(trainer: Trainer, curve: Part, before: list[Epoch], on_progress: ProgressCallback) -> Epoch:
    """Trains one epoch and scores the network. Raises Diverged."""
    started, images = time.perf_counter(), trainer.recipe.batch_size
    first = trainer.finished * len(trainer.batches)

    def on_step(number: int) -> None:
        rate = number * images / (time.perf_counter() - started)
        on_progress(Progress(first + number, trainer.steps, rate, before[-1] if before else None))

    loss = trainer.train_epoch(on_step)
    scores = trainer.evaluate(curve)
    return Epoch(trainer.finished, loss, *scores, time.perf_counter() - started)


def _first(part: Part, count: int) -> Part:
    return part.select(torch.arange(min(count, len(part))))


def _result(run: PreparedRun, trainer: Trainer, epochs: list[Epoch], count: int) -> Result:
    """The result of a run whose training has ended: the network is scored."""
    started = time.perf_counter()
    validation = trainer.evaluate(run.data.validation)
    inference = (time.perf_counter() - started) / len(run.data.validation)
    test = trainer.evaluate(run.data.test) if run.config.test else None
    result = _without_scores(run, trainer, epochs, count, "finished", "")
    return replace(result, validation=validation, test=test, inference_ms=round(1000 * inference, 6))


def _without_scores(run: PreparedRun, trainer: Trainer, epochs: list[Epoch], count: int, status: Status, error: str) -> Result:
    """The result of a run without scores."""
    config, identity = run.config, run.identity
    return Result(
        run=identity.run,
        setting=identity.setting,
        variant=identity.variant,
        label=config.label,
        seed=config.seed,
        static=config.static,
        status=status,
        metric="mean_iou" if run.data.is_segmentation else "accuracy",
        validation=None,
        test=None,
        epochs=trainer.finished,
        image_passes=min(trainer.steps, trainer.finished * len(trainer.batches)) * run.recipe.batch_size,
        parameters=parameters(run.model),
        macs=count,
        seconds=round(sum(epoch.seconds for epoch in epochs), 3),
        error=error,
        setup=_setup(run),
        environment=_environment(config),
    )


def _setup(run: PreparedRun) -> dict[str, Any]:
    """What was trained, for a reader of the result."""
    places = [{**entry, "block": str(entry.get("block", run.config.label))} for entry in run.network.places]
    return {
        "data": dict(run.config.data),
        "network": run.network.label,
        "places": places,
        "recipe": asdict(run.recipe),
        "test": run.config.test,
    }


def _environment(config: RunConfig) -> dict[str, str]:
    """Where and with what a run is executed."""
    is_cuda = torch.device(config.device).type == "cuda"
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "sefactory": package_version("sefactory"),
        "torch": str(torch.__version__),
        "python": platform.python_version(),
        "device": torch.cuda.get_device_name(config.device) if is_cuda else config.device,
        "cpu": cpu_name(),
        "threads": str(config.threads),
    }
