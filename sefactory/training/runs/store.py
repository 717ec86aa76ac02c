"""A folder of runs: DIR/runs/DIGEST/ with config.yaml, epochs.csv, checkpoint.safetensors and, if finished, result.json."""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from filelock import FileLock, Timeout

from ...errors import ConfigError
from ...store.files import replace_file
from .config import RunConfig
from .results import Result

FORMAT = 1
"""The format of the files. A store of another format is read and not extended."""


class Epoch(NamedTuple):
    """One line of epochs.csv: the mean loss of an epoch, scores on a fixed part of the validation images, and its duration."""

    epoch: int
    loss: float
    validation_loss: float
    validation_accuracy: float
    validation_mean_iou: float | None
    seconds: float


MEAN_IOU = "validation_mean_iou"


def _read_epoch(row: Mapping[str, str]) -> Epoch:
    """The epoch of a line of epochs.csv. Raises ValueError, KeyError or TypeError for another line."""
    mean_iou = row[MEAN_IOU]
    loss, validation_loss, accuracy, seconds = (float(row[name]) for name in Epoch._fields if name not in ("epoch", MEAN_IOU))
    return Epoch(int(row["epoch"]), loss, validation_loss, accuracy, float(mean_iou) if mean_iou else None, seconds)


class RunFolder:
    """The folder of one run. A run is finished if and only if `result` returns something: result.json is written last."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoint = path / "checkpoint.safetensors"

    @property
    def result(self) -> Result | None:
        """The result; None if the run is not finished, or if the file is damaged."""
        try:
            return Result.from_record(json.loads((self.path / "result.json").read_text(encoding="utf-8")))
        except (OSError, ValueError):
            return None

    @property
    def failure(self) -> dict[str, Any]:
        """What the last attempt was, and why it ended without a result; empty if it did not."""
        try:
            failure = json.loads((self.path / "failure.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return failure if isinstance(failure, dict) else {}

    @property
    def epochs(self) -> list[Epoch]:
        """The lines of epochs.csv. Lines that cannot be read are left out."""
        try:
            rows = list(csv.DictReader(io.StringIO((self.path / "epochs.csv").read_text(encoding="utf-8"))))
            return [_read_epoch(row) for row in rows]
        except (OSError, ValueError, KeyError, TypeError):
            return []

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Waits until no other process trains this run, and removes what a killed one left. Its lock is gone."""
        self.path.mkdir(parents=True, exist_ok=True)
        with FileLock(self.path / "lock"):
            for draft in self.path.glob(".*"):  # of a process that was killed while it wrote
                draft.unlink(missing_ok=True)
            yield

    def write_config(self, config: RunConfig) -> None:
        """Writes config.yaml. Raises OSError if that fails."""
        replace_file(self.path / "config.yaml", yaml.safe_dump(config.as_dict(), sort_keys=False, allow_unicode=True))

    def write_epochs(self, epochs: Sequence[Epoch]) -> None:
        """Writes epochs.csv. Raises OSError if that fails."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(Epoch._fields)
        writer.writerows(["" if value is None else f"{value:.6g}" for value in epoch] for epoch in epochs)
        replace_file(self.path / "epochs.csv", text.getvalue())

    def write_result(self, result: Result) -> None:
        """Writes result.json, after which the run is finished. Raises OSError if that fails."""
        replace_file(self.path / "result.json", json.dumps(result.as_record(), indent=1, ensure_ascii=False) + "\n")
        (self.path / "failure.json").unlink(missing_ok=True)

    def write_failure(self, config: RunConfig, error: str) -> None:
        """Writes why a run has no result. Raises OSError if that fails."""
        stage = "confirm" if config.test else "screen"
        failure = {"block": config.label, "static": config.static, "seed": config.seed, "stage": stage, "error": error}
        failure["image_passes"] = config.recipe.get("image_passes")
        self.path.mkdir(parents=True, exist_ok=True)
        replace_file(self.path / "failure.json", json.dumps(failure, indent=1, ensure_ascii=False) + "\n")


class RunStore:
    """A folder of runs, which several processes and machines may fill at a time. Stores are merged by copying `runs/`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, digest: str) -> RunFolder:
        """The folder of a run, which need not exist."""
        return RunFolder(self.folder / "runs" / digest)

    def results(self) -> list[Result]:
        """The results of all finished runs, in the order of their digests. Other folders and damaged files are left out."""
        folders = sorted((self.folder / "runs").glob("*"))
        return [result for path in folders if (result := RunFolder(path).result) is not None and result.run == path.name]

    def failures(self) -> dict[str, dict[str, Any]]:
        """The runs whose last attempt failed, by digest: block, seed, static, stage, and the error."""
        folders = map(RunFolder, sorted((self.folder / "runs").glob("*")))
        return {run.path.name: {**run.failure, "run": run.path.name} for run in folders if run.failure and run.result is None}

    def open(self) -> None:
        """Prepares the folder for new runs. Raises ConfigError if it is of another format or cannot be written to."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            given = self._read_format()
            if given is None:
                replace_file(self.folder / "store.json", json.dumps({"format": FORMAT}) + "\n")
        except OSError as error:
            cause = f"cannot be written to: {error.strerror or error}; choose another folder with store=DIR"
            raise ConfigError([(str(self.folder), cause)]) from None
        if given not in (None, FORMAT):
            text = f"is a store of format {given}; this version reads it, but extends format {FORMAT} alone"
            raise ConfigError([(str(self.folder), f"{text}; choose another folder with store=DIR")])

    @contextmanager
    def locked_for_study(self) -> Iterator[None]:
        """Holds the store for one study. Raises ConfigError if another process does."""
        try:
            with FileLock(self.folder / "study.lock", timeout=0):
                yield
        except Timeout:
            cure = "wait until it ends, or choose another folder with store=DIR"
            raise ConfigError([(str(self.folder), f"another study runs in this store; {cure}")]) from None

    def _read_format(self) -> Any:
        try:
            return json.loads((self.folder / "store.json").read_text(encoding="utf-8")).get("format")
        except (FileNotFoundError, ValueError, AttributeError):
            return None
