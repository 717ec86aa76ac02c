"""The jobs of a sweep, also in other processes: what each leaves in the folder of the sweep, and their common results.

A job writes SWEEP/jobs/DIGEST.json, under the digest of its overrides and measurements: its number, the keys of its
measurements in the store, the rows of blocks that could not be built, and its faults. The results of the sweep are made from
these notes and the store, so that it does not matter which process measured what, and in which order.
"""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from ..bench.results import Results, Row
from ..bench.stored import merge_results, read_record
from ..store.store import Store, digest
from .arguments import task_overrides

RUN = "SEFACTORY_RUN"
"""The environment variable that tells the jobs of this sweep from those of earlier ones in the same folder.

Hydra sets it in every job, also where a launcher passes no environment (`hydra.job.env_set`).
"""
LOCAL_LAUNCHERS = ("JoblibLauncher", "LocalLauncher")
"""Launchers that run several jobs at a time on this machine."""
SHARED_MACHINE = (
    "this launcher runs jobs side by side on one machine, where they disturb each other's times; "
    "for times use one job at a time (hydra.launcher.n_jobs=1), or a machine for each job"
)


@dataclass(frozen=True)
class JobNote:
    """What one job leaves for the others. `store` is the folder of its measurements, `keys` are their digests."""

    num: int
    overrides: list[str]
    run: str = ""
    store: str = ""
    keys: list[str] = field(default_factory=list)
    refused: list[Row] = field(default_factory=list)
    faults: list[list[str]] = field(default_factory=list)


def sweep_folder() -> Path:
    """The folder of the sweep that this job belongs to."""
    return Path(HydraConfig.get().sweep.dir).absolute()


def new_note(faults: Iterable[tuple[str, str]] = ()) -> JobNote:
    """The note of this job, without measurements."""
    hydra, run = HydraConfig.get(), os.environ.get(RUN, "")
    return JobNote(int(hydra.job.num), task_overrides(), run, faults=[[path, text] for path, text in faults])


def new_run() -> str:
    """Begins a sweep: the argument for Hydra that tells its jobs from others."""
    os.environ[RUN] = uuid4().hex
    return f"+hydra.job.env_set.{RUN}={os.environ[RUN]}"


def has_basic_sweeper() -> bool:
    """True if the sweep runs all combinations, and no job depends on the result of another."""
    return str(HydraConfig.get().sweeper.get("_target_")).endswith(".BasicSweeper")


def has_basic_launcher() -> bool:
    """True if all jobs run in the process of the command line."""
    return str(HydraConfig.get().launcher.get("_target_")).endswith(".BasicLauncher")


def write_note(note: JobNote, folder: Path) -> None:
    """Writes the note of a job. Raises OSError if that fails."""
    Store(folder / "jobs").put(digest([note.overrides, note.keys]), asdict(note))


def read_notes(folder: Path) -> list[JobNote]:
    """The notes of all jobs in a sweep's folder, in the order of the jobs, those of this run first."""
    notes = []
    for _, record in Store(folder / "jobs").records():
        try:
            notes.append(JobNote(**{**record, "num": int(record["num"]), "refused": [Row(**row) for row in record["refused"]]}))
        except (TypeError, KeyError, ValueError):  # written by another version
            continue
    return sorted(notes, key=lambda note: (note.run != os.environ.get(RUN, ""), note.num))


def faults_of_run(notes: Sequence[JobNote]) -> Iterator[tuple[str, str]]:
    """The faults of the jobs of this run."""
    for note in notes:
        if note.run == os.environ.get(RUN, ""):
            yield from ((path, text) for path, text in note.faults)


def sweep_results(notes: Sequence[JobNote], command: str) -> Results:
    """The rows of all jobs: those of the store, and the blocks that could not be built."""
    measured = dict.fromkeys((note.store, key) for note in notes for key in note.keys)  # a search can repeat a job
    parts = [results for folder, key in measured if (results := read_record(Store(Path(folder)), key)) is not None]
    merged = merge_results(parts, {"command": command})
    refused = {(row.block, row.shape): row for note in notes for row in note.refused}
    for row in merged.rows:  # an earlier sweep in this folder may have refused it
        refused.pop((row.block, row.shape), None)
    return replace(merged, rows=[*merged.rows, *refused.values()])


class SweepStart(Callback):
    """Notes the folder of a sweep, and the format of its table. Hydra calls it (configs/bench.yaml) before the first job.

    `is_timed`: the jobs measure times. It runs in the process of the command line, the jobs perhaps in others.
    """

    started: list[tuple[Path, str]] = []

    def __init__(self, is_timed: bool = False) -> None:
        self.is_timed = is_timed

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Called once, before the first job. Warns of launchers that disturb times."""
        SweepStart.started.append((Path(config.hydra.sweep.dir).absolute(), str(config.get("format", "table"))))
        if self.is_timed and _shares_machine(config.hydra.launcher):
            print(f"warning: {SHARED_MACHINE}", file=sys.stderr)


def _shares_machine(launcher: DictConfig) -> bool:
    """True if the launcher runs jobs side by side on this machine."""
    name = str(launcher.get("_target_", "")).rpartition(".")[2]
    return name.startswith(LOCAL_LAUNCHERS) and launcher.get("n_jobs") != 1
