"""`sefactory train`: one run of a store, with a progress bar; in a sweep, one of several."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBar

from ..errors import ConfigError, first_line, one_line
from ..training.report.run_table import list_runs
from ..training.runs.config import NO_BLOCK, RunConfig, read_run
from ..training.runs.results import Result
from ..training.runs.run import Progress, ProgressCallback, execute
from ..training.runs.store import RunStore
from ..training.study.attempt import note_failure
from ..training.study.drive import describe_run
from .arguments import is_given, is_sweep, output_format, plain_containers, search_folders
from .output import Listing, print_listing, print_note
from .selection import block_label, host_label, selected_block, selected_host
from .sweep import faults_of_run, new_note, read_notes, sweep_folder, write_note


def train_network(config: DictConfig) -> float:
    """Executes the run of a job, or takes it from the store, and prints its result. Returns 1 - score, for sweepers.

    Raises ConfigError for a run that cannot be prepared.
    """
    layout, run = output_format(config, "train"), read_job(config)
    store = RunStore(Path(str(config.store)).absolute())
    store.open()
    with _progress(run) as on_progress:
        result = _execute(run, store, on_progress)
    folder = store.run(result.run).path
    if is_sweep():
        print_note(f"{result.label}  seed {result.seed}  {_format_score(result)}")
        write_note(replace(new_note(), store=str(store.folder), keys=[result.run]), sweep_folder())
    else:
        print_listing(_listing([result]), layout)
        print_note(f"config.yaml, epochs.csv, the weights and result.json are in {folder}")
    return 1.0 if result.score is None else 1 - result.score


def _execute(run: RunConfig, store: RunStore, on_progress: ProgressCallback) -> Result:
    """As `execute`. What fails is noted in the folder of the run; in a sweep the other jobs go on."""
    try:
        return execute(run, store, on_progress)
    except Exception as error:
        reason = one_line(error) if isinstance(error, ConfigError) else f"{type(error).__name__}: {first_line(error)}"
        note_failure(run, store, reason)
        if isinstance(error, ConfigError | OSError) or not is_sweep():
            raise
        raise ConfigError([(describe_run(run), f"failed: {reason}")]) from None


def finish_trainings(folder: Path, layout: str) -> Iterator[tuple[str, str]]:
    """Prints the results of a sweep. Yields the faults of its jobs."""
    notes = read_notes(folder)
    found = {key: RunStore(Path(note.store)).run(key).result for note in notes for key in note.keys}
    results = [result for result in found.values() if result is not None]
    if results:
        print_listing(_listing(results), layout)
        print_note(f"sefactory report store={notes[0].store} compares them")
    yield from faults_of_run(notes)


def read_job(config: DictConfig) -> RunConfig:
    """The run that a command line describes. Raises ConfigError."""
    groups = {group: plain_containers(config[group], group) for group in ("data", "network", "recipe")}
    settings = {key: config[key] for key in ("seed", "static", "test", "device", "threads")}
    if is_given(config, "host"):
        host = selected_host(config)
        label = host_label()
        return read_run({**groups, **settings, "network": host, "label": label}, search_folders())
    if HydraConfig.get().runtime.choices.get("block") is None and not is_given(config, "block"):
        return read_run({**groups, **settings, "label": NO_BLOCK}, search_folders())
    source = selected_block(config)
    folders = [*search_folders(), *([source.folder] if source.folder else [])]
    return read_run({**groups, **settings, "block": source.data, "label": block_label()}, folders)


def _format_score(result: Result) -> str:
    """The score that counts, or that the run diverged."""
    if result.score is None:
        return f"{result.status}: {result.error}"
    return f"{result.metric} {100 * result.score:.2f} %"


def _listing(results: Sequence[Result]) -> Listing:
    columns, fields, records = list_runs(results)
    first = results[0].setup
    facts = f"{first['network']}, {first['data']['dataset']}, {first['recipe']['image_passes']:,} image passes"
    notes = [f"{result.label}, seed {result.seed}: {result.error}" for result in results if result.error]
    documents = [result.as_record() for result in results]
    return Listing("runs", facts, columns, 0, notes, fields, records, documents)


@contextmanager
def _progress(run: RunConfig) -> Iterator[ProgressCallback]:
    """A progress bar on a terminal, with the loss and accuracy of the last epoch and the images per second."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with ProgressBar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(f"{run.label}, seed {run.seed}", total=None)
        last: list[Progress] = []

        def on_progress(progress: Progress) -> None:
            last[:] = [progress]
            text = f"{run.label}, seed {run.seed}  {_describe(progress)}"
            bar.update(task, completed=progress.step, total=progress.steps, description=text)

        try:
            yield on_progress
        except KeyboardInterrupt:
            if last:
                where = f"stopped at step {last[0].step} of {last[0].steps}"
                print_note(f"{where}; the same command continues from the last epoch")
            raise


def _describe(progress: Progress) -> str:
    speed = f"{progress.images_per_second:,.0f} images/s"
    if progress.epoch is None:
        return speed
    return f"loss {progress.epoch.loss:.3f}, accuracy {100 * progress.epoch.validation_accuracy:.1f} %, {speed}"
