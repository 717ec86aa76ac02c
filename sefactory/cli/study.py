"""`sefactory study`: executes the runs of a study, then prints and writes its report."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ..bench.layout import TextColumn as Column
from ..errors import ConfigError, choice_message, short_repr
from ..training.runs.preparation import load_run_data
from ..training.study.candidates import Candidates, build_candidates
from ..training.study.config import StudyConfig, read_study
from ..training.study.drive import Study, describe_run
from ..training.study.estimate import seconds_per_pass, study_hours
from ..training.study.local import LocalRunner
from ..training.study.outcomes import Outcome, Runner
from ..training.study.ray_tasks import RayRunner
from ..training.study.stages import confirm_runs, screen_runs
from .arguments import is_given, output_format, plain_containers, positive_int, search_folders
from .choices import RUNNERS
from .given_configs import given_config
from .output import Listing, print_listing
from .report import open_store, write_and_print


def run_study(config: DictConfig) -> None:
    """Executes a study and reports it, also after Ctrl-C; with `dry=true` prints what it would execute.

    Raises ConfigError for a study that cannot be executed, and with the runs that failed.
    """
    layout, store = output_format(config, "study"), open_store(config)
    label = study_name()
    study = read_study(plain_containers(config.study, label), "study", search_folders())
    runner, workers = _read_runner(config), _read_workers(config)
    if config.dry:
        _print_dry_run(study, label, workers, layout)
        return
    drive = Study(study, label, store, runner)
    faults: list[tuple[str, str]] = []
    try:
        with _progress(drive):
            drive.run()
    finally:
        if drive.stage:
            faults = write_and_print(store, layout)
    _raise_failed(drive.failed, faults)


def _raise_failed(failed: Mapping[str, str], others: Sequence[tuple[str, str]]) -> None:
    """Raises ConfigError for runs that failed, if there are any, and for other faults."""
    faults = [(run, f"failed: {error}; the same command tries it again") for run, error in failed.items()]
    if faults or others:
        raise ConfigError([*faults, *others])


def study_name() -> str:
    """The name of the study of a job: that of its config or of its file."""
    given = given_config("study")
    if given is None:
        return str(HydraConfig.get().runtime.choices["study"])
    return given.file.stem if given.file else "study"


def _read_workers(config: DictConfig) -> int:
    """The number of runs at a time."""
    return usable_processors() if config.workers is None else positive_int("workers", config.workers)


def _read_runner(config: DictConfig) -> Runner:
    """What executes the runs. Raises ConfigError for an unknown name, and for an address without Ray."""
    if config.runner not in RUNNERS:
        raise ConfigError([("runner", choice_message(config.runner, RUNNERS))])
    if config.runner == "ray":
        if is_given(config, "address") and is_given(config, "workers"):
            raise ConfigError([("workers", "is for this machine; a cluster at an address has its own; remove one")])
        return RayRunner(_read_workers(config), None if config.address is None else str(config.address))
    if is_given(config, "address"):
        raise ConfigError([("address", f"{short_repr(config.address)} is that of a cluster of Ray; add runner=ray")])
    return LocalRunner(_read_workers(config))


def usable_processors() -> int:
    """The number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _progress(study: Study) -> Iterator[None]:
    """Shows the finished runs of each stage: a bar on a terminal, and a line for each run."""
    console = Console(stderr=True, highlight=False)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:

        def start(stage: str, runs: Sequence[Any]) -> None:
            for task in bar.task_ids:
                bar.remove_task(task)
            bar.add_task(f"{stage} of {study.name}", total=len(runs))

        def finish(outcome: Outcome) -> None:
            bar.advance(bar.task_ids[-1])
            console.print(_describe(outcome), markup=False, soft_wrap=True)

        study.on_start, study.on_outcome = start, finish
        yield


def _describe(outcome: Outcome) -> str:
    """One line about a run that has ended."""
    result, text = outcome.result, describe_run(outcome.config)
    if result is None:
        return f"{text}  failed: {outcome.error}"
    score = "diverged" if result.score is None else f"{result.metric} {100 * result.score:.2f} %"
    return f"{text}  {score}  {result.image_passes:,} image passes in {result.seconds:.0f} s"


# ---- dry=true --------------------------------------------------------------------------------------------------------


def _print_dry_run(study: StudyConfig, name: str, workers: int, layout: str) -> None:
    """Prints what each variant costs, which are refused, and the time that the study takes on this machine."""
    candidates = build_candidates(study, load_run_data(study.baseline))
    runs = {study.baseline.label: study.baseline, **{k: run for k, run in study.variants.items() if k in candidates.accepted}}
    seconds = {label: seconds_per_pass(run) for label, run in runs.items()}
    notes = [*_counts(study, candidates, seconds, workers)]
    notes += [f"refused: {label}: {reason}" for label, reason in candidates.refused.items()]
    rows = [(c.label, c.parameters, c.macs, c.gates, round(1 / seconds[c.label])) for c in candidates.accepted.values()]
    headings = ("variant", "parameters", "MACs", "gates", "images/s")
    cells = [[str(value) if isinstance(value, str) else f"{value:,}" for value in row] for row in rows]
    columns = [
        Column(heading, texts, None, "left" if heading == "variant" else "right")
        for heading, texts in zip(headings, zip(*cells, strict=True), strict=True)
    ]
    document = {"variants": [dict(zip(headings, row, strict=True)) for row in rows], "refused": dict(candidates.refused)}
    print_listing(Listing(name, "dry run", columns, 0, notes, headings, rows, document), layout)


def _counts(study: StudyConfig, candidates: Candidates, seconds: Mapping[str, float], workers: int) -> Iterator[str]:
    """Yields a line for each stage: its runs and its hours."""
    labels = [label for label in candidates.accepted if label != study.baseline.label]
    if study.screen:
        runs = screen_runs(study, labels, study.screen)
        yield f"screen: {len(runs)} runs, {study_hours(runs, dict(seconds), workers):.2f} hours with {workers} at a time"
        by_time = sorted(labels, key=lambda label: -seconds[label])
        labels = by_time[: study.screen.keep]  # the slowest may be the best
    without_gates = [label for label in labels if not candidates.accepted[label].gates]
    runs = confirm_runs(study, labels, without_gates)
    most = "at most " if study.screen else ""
    yield f"confirm: {len(runs)} runs, {most}{study_hours(runs, dict(seconds), workers):.2f} hours with {workers} at a time"
