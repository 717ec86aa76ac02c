"""`sefactory report`: prints the verdicts of a store of runs, and writes the files of the report into it."""

import sys
from pathlib import Path

from omegaconf import DictConfig

from ..bench.layout import fit_columns, print_rows, print_text
from ..bench.text_tables import as_csv, as_json, as_markdown, as_tsv
from ..errors import ConfigError
from ..training.report.files import as_document
from ..training.report.page import list_problems, write_report
from ..training.report.run_table import FIELDS, run_records
from ..training.report.summary import SettingSummary, StoreSummary, summarize_store
from ..training.report.verdict_table import EXPLANATIONS, verdict_columns, verdict_notes
from ..training.runs.store import RunStore
from .arguments import output_format
from .output import print_note, print_title, stdout_console


def report_store(config: DictConfig) -> None:
    """Reports a store. Raises ConfigError if it has no finished run."""
    layout, store = output_format(config, "report"), open_store(config)
    if not store.results():
        raise ConfigError([(str(store.folder), "has no finished runs; sefactory train and sefactory study fill a store")])
    if faults := write_and_print(store, layout):
        raise ConfigError(faults)


def open_store(config: DictConfig) -> RunStore:
    """The store that `store=` names. Raises ConfigError if it names none."""
    if config.store is None:
        raise ConfigError([("store", "is missing; add store=DIR, the folder of the runs")])
    return RunStore(Path(str(config.store)).absolute())


def write_and_print(store: RunStore, layout: str) -> list[tuple[str, str]]:
    """Writes results.csv, results.json and report.html into a store, and prints its verdicts. Returns what went wrong."""
    summary = summarize_store(store)
    print_summary(summary, layout)
    try:
        write_report(summary, store)
    except OSError as error:
        return [(str(store.folder), f"cannot be written to: {error.strerror or error}; the runs stay")]
    print_note(f"results.csv, results.json and report.html are in {store.folder}")
    return []


def print_summary(summary: StoreSummary, layout: str) -> None:
    """Prints the verdicts of each setting as tables, or all runs and verdicts in another format."""
    if layout == "table":
        for setting in summary.settings:
            _print_setting(setting)
        for name, text in list_problems(summary):
            print_note(f"{name}: {text}")
    elif layout == "markdown":
        sys.stdout.write("\n".join(_as_markdown(setting) for setting in summary.settings))
    elif layout == "json":
        sys.stdout.write(as_json(as_document(summary)))
    else:
        write = {"csv": as_csv, "tsv": as_tsv}[layout]
        sys.stdout.write(write(FIELDS, run_records(summary.results, summary.failed.values())))


def _print_setting(setting: SettingSummary) -> None:
    """Prints a table and its notes."""
    console = stdout_console()
    shape = fit_columns(verdict_columns(setting), console.width, console.encoding)
    print_title(console, setting.title, "")
    print_rows(console, shape, range(len(setting.rows)), range(0))
    used = {column.heading for column in shape.columns}
    for line in (*verdict_notes(setting), *(f"{k}: {text}" for k, text in EXPLANATIONS.items() if k in used)):
        print_text(console, line)
    if shape.dropped_line:
        print_text(console, shape.dropped_line)
    print()


def _as_markdown(setting: SettingSummary) -> str:
    columns = verdict_columns(setting)
    rows = list(zip(*(column.cells for column in columns), strict=True))
    table = as_markdown([column.heading for column in columns], rows, len(columns) - 1)
    return f"**{setting.title}**\n\n{table}\n" + "".join(f"- {note}\n" for note in verdict_notes(setting))
