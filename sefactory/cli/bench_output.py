"""What `sefactory bench` leaves: files and tables of a job and of a sweep, and what a job returns to its sweeper."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from ..bench.marks import strict_faults
from ..bench.report import write_report
from ..bench.results import Results, Row, write_results
from ..bench.stored import merge_results
from ..errors import ConfigError, choice_message
from ..store.store import Store
from .arguments import is_sweep, output_format
from .bench_job import Job, JobSpec, write_fault
from .choices import OBJECTIVES
from .interrupts import interrupts_deferred
from .output import print_note, print_results
from .sweep import JobNote, faults_of_run, has_basic_sweeper, new_note, read_notes, sweep_folder, sweep_results, write_note


def run_job(spec: JobSpec, config: DictConfig, command: str) -> float | None:
    """Measures a job, writes its files, prints its table (a line for each row in a sweep), and returns its objective.

    All of this also happens with what was measured before Ctrl-C, which is raised again. Raises ConfigError with what could
    not be written, and with `strict=true` for rows that cannot be trusted.
    """
    _check_objective(config, spec)
    layout = output_format(config, "bench")
    job = Job(spec, _store_of(config), bool(config.fresh), bool(config.strict), command)
    cause: BaseException | None = None
    try:
        job.run()
    except BaseException as error:
        cause = error
    with interrupts_deferred():
        results = _finish(job, layout, bool(config.strict))
    if cause and job.faults:
        print_note(str(ConfigError(job.faults)))
    if cause:
        raise cause
    if job.faults:
        raise ConfigError(job.faults)
    return objective(config.objective, results.rows, spec.asked)


def _finish(job: Job, layout: str, is_strict: bool) -> Results:
    """Writes and prints the results of a job, and adds what goes wrong to its faults."""
    results = merge_results(job.parts, {})
    results = replace(results, rows=[*results.rows, *job.refused])
    marked = strict_faults(results.rows) if is_strict else []
    if is_sweep():
        job.faults += _finish_sweep_job(job, results, layout, marked)
    else:
        job.faults += [*_finish_single_job(results, layout), *marked]
    return results


def _store_of(config: DictConfig) -> Store | None:
    """The store of a job: `store=`, or that of the sweep."""
    if config.store is not None:
        return Store(Path(str(config.store)).absolute())
    return Store(sweep_folder() / "store") if is_sweep() else None


def _finish_single_job(results: Results, layout: str) -> list[tuple[str, str]]:
    folder = Path(HydraConfig.get().runtime.output_dir)
    faults = write_files(results, folder)
    print_results(results, layout, None if faults else folder)
    return faults


def _finish_sweep_job(job: Job, results: Results, layout: str, marked: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Prints a line for each row; writes the files and the note of the job, and the data of the sweep so far.

    The faults of marked rows go into the note. The sweep raises them at its end, with the rows in its table.
    """
    for row in results.rows:
        if row.block in job.spec.asked:
            print_note(_summarize_row(row))
    try:
        write_results(results, Path(HydraConfig.get().runtime.output_dir))
        write_note(_note_of(job, marked), sweep_folder())
        write_results(sweep_results(read_notes(sweep_folder()), ""), sweep_folder())
    except OSError as error:
        print_results(results, layout, None)
        return [write_fault(error, str(sweep_folder()))]
    return []


def _note_of(job: Job, marked: Sequence[tuple[str, str]]) -> JobNote:
    folder = str(job.store.folder) if job.store else ""
    return replace(new_note([*job.faults, *marked]), store=folder, keys=job.keys, refused=job.refused)


def finish_sweep(folder: Path, command: str, layout: str) -> list[tuple[str, str]]:
    """Writes the files of a sweep and prints its table, also after Ctrl-C. Returns the faults of its jobs and of the files."""
    notes = read_notes(folder)
    results = sweep_results(notes, command)
    if not results.rows:
        return list(faults_of_run(notes))
    faults = write_files(results, folder)
    print_results(results, layout, None if faults else folder)
    return [*faults_of_run(notes), *faults]


def write_files(results: Results, folder: Path) -> list[tuple[str, str]]:
    """Writes results.json, results.csv and report.html. Returns the fault if that fails."""
    try:
        with interrupts_deferred():
            write_report(results, folder)
    except OSError as error:
        return [write_fault(error, str(folder))]
    return []


def _summarize_row(row: Row) -> str:
    if reason := row.problem:
        return f"{row.block}  {row.shape}  {reason}"
    ratio = "" if row.forward_ratio is None else f"  x{row.forward_ratio:.2f} of {row.baseline or 'the baseline'}"
    return f"{row.block}  {row.shape}  {(row.forward_s or 0) * 1e6:,.0f} us{ratio}"


# ---- What a sweeper minimises ----------------------------------------------------------------------------------------


def objective(name: str | None, rows: Sequence[Row], asked: Collection[str]) -> float | None:
    """The sum of one figure of the job's block over the input shapes; None without `objective=`.

    Raises ConfigError if the block has no such figure at one of the shapes.
    """
    if name is None:
        return None
    own = [row for row in rows if row.block in asked]
    missing = next((row for row in own if getattr(row, name) is None), None)
    if missing:
        reason = missing.problem or "was not measured"
        raise ConfigError([("objective", f"{missing.block} at {missing.shape} has no {name}: {reason}")])
    return float(sum(getattr(row, name) for row in own))


def _check_objective(config: DictConfig, spec: JobSpec) -> None:
    """Raises ConfigError for an objective that this job cannot return, and for a sweeper that needs one and has none."""
    name = config.objective
    if name is not None and name not in OBJECTIVES:
        raise ConfigError([("objective", choice_message(name, OBJECTIVES))])
    if name is not None and len(spec.asked) != 1:
        raise ConfigError(
            [("objective", f"is a figure of one block, and there are {len(spec.asked)}; give block=NAME or host=NAME")]
        )
    if name is None and is_sweep() and not has_basic_sweeper():
        sweeper = str(HydraConfig.get().sweeper.get("_target_")).rpartition(".")[2]
        cure = f"add objective= with one of {', '.join(OBJECTIVES)}"
        raise ConfigError([("objective", f"{sweeper} chooses by what a job returns; {cure}")])
