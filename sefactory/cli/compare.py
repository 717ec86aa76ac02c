"""`sefactory bench compare A B`: compares the results of two runs. Imports neither Hydra nor torch."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, astuple, fields
from pathlib import Path
from typing import Any

from ..bench.columns import format_ratio, format_time
from ..bench.compare import PairedTime, environment_differences, paired_times, remarks
from ..bench.layout import TextColumn, print_text
from ..bench.results import Results, read_results
from ..bench.table import MARK
from ..bench.text_tables import FORMATS, one_line
from ..errors import ConfigError, choice_message, did_you_mean
from .output import Listing, print_listing, print_note, stdout_console

USAGE = """\
usage: sefactory bench compare A B [format=table|csv|tsv|json|markdown]

Compares the results of two runs: two commits, two machines, two versions of torch.
A and B are output folders of `sefactory bench`, or their results.json."""
MEANINGS = {
    "no difference shown": "no difference shown: 1 is within the interval of B / A",
    "no interval": "no interval: too few rounds to tell",
}
LOCATION = "bench compare"


def run_compare(arguments: Sequence[str]) -> None:
    """Prints the comparison of two folders. Raises ConfigError for arguments and files that cannot be used."""
    if {"--help", "-h"} & set(arguments):
        print(USAGE)
        return
    names, layout = _read_arguments(arguments)
    a, b = (_read(name) for name in names)
    pairs, differences = paired_times(a, b), environment_differences(a, b)
    if not pairs:
        raise ConfigError([(LOCATION, f"{names[0]} and {names[1]} have no time of the same block at the same shape")])
    lines = [f"A: {names[0]}", f"B: {names[1]}"]
    lines += [f"{key}: {of_a or 'nothing'} in A, {of_b or 'nothing'} in B" for key, (of_a, of_b) in differences.items()]
    notes = list(remarks(a, b))
    document = {"a": names[0], "b": names[1], "differences": differences, "rows": [asdict(pair) for pair in pairs]}
    _print_lines(lines, layout)
    print_listing(_list_times(pairs, notes, {**document, "remarks": notes}), layout)
    if layout in ("csv", "tsv"):
        _print_lines(notes, layout)


def _print_lines(lines: Sequence[str], layout: str) -> None:
    """Prints lines above a table; on standard error where standard output is for programs. JSON has them as data."""
    if layout == "table":
        console = stdout_console()
        for line in (*lines, ""):
            print_text(console, line)
    elif layout == "markdown":
        print("".join(f"- {one_line(line)}\n" for line in lines))
    elif layout != "json":
        for line in lines:
            print_note(line)


def _read_arguments(arguments: Sequence[str]) -> tuple[list[str], str]:
    """The names of the two folders, and the format."""
    names, layout = [], "table"
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if key == "format" and equals:
            layout = value
        elif argument.startswith("-") or (equals and key.isidentifier() and not Path(argument).exists()):
            hint = did_you_mean(key, ["format"])
            raise ConfigError([(LOCATION, f"{argument!r} is neither a folder nor format={'|'.join(FORMATS)}{hint}")])
        else:
            names.append(argument)
    if layout not in FORMATS:
        raise ConfigError([("format", choice_message(layout, FORMATS))])
    if len(names) != 2:
        given = f"{len(names)} {'is' if len(names) == 1 else 'are'} given"
        raise ConfigError([(LOCATION, f"takes two folders with results.json, and {given}; write sefactory bench compare A B")])
    return names, layout


def _read(name: str) -> Results:
    """The results in a folder, which can also be given by its results.json."""
    path = Path(name)
    folder = path.parent if path.name == "results.json" else path
    try:
        return read_results(folder)
    except ValueError as error:
        raise ConfigError([(LOCATION, str(error))]) from None
    except OSError as error:
        reason = "there is no results.json" if folder.is_dir() and not (folder / "results.json").exists() else error.strerror
        raise ConfigError([(name, f"{reason}; give an output folder of sefactory bench")]) from None


def _list_times(pairs: Sequence[PairedTime], notes: Sequence[str], document: Mapping[str, Any]) -> Listing:
    """One line for each block, shape and mode; below them why rows are marked, and what the times do not show."""
    verdicts = {pair.verdict for pair in pairs}
    columns = [
        TextColumn("block", [pair.block for pair in pairs], align="left"),
        TextColumn("shape", [pair.shape for pair in pairs], align="left"),
        TextColumn("mode", [pair.mode for pair in pairs], align="left"),
        TextColumn("A", _times([(pair.a_s, pair.a_interval_s, pair.a_marks) for pair in pairs]), 0),
        TextColumn("B", _times([(pair.b_s, pair.b_interval_s, pair.b_marks) for pair in pairs]), 1),
        TextColumn("B / A", [format_ratio(pair.ratio, pair.ratio_interval) for pair in pairs]),
        TextColumn("verdict", [pair.verdict for pair in pairs], 2),
    ]
    meanings = [text for verdict, text in MEANINGS.items() if verdict in verdicts]
    return Listing(
        title="B / A",
        facts="ratio of the times, ± half the width of its interval",
        columns=columns,
        totals=0,
        notes=[*_mark_lines(pairs), *notes, *meanings],
        fields=[field.name for field in fields(PairedTime)],
        records=[astuple(pair) for pair in pairs],
        document=document,
    )


def _times(times: Sequence[tuple[float, float | None, Sequence[str]]]) -> list[str]:
    """Times with their intervals, and a sign beside those of marked rows."""
    has_marks = any(marks for _, _, marks in times)
    return [
        format_time(seconds, interval_s) + (f" {MARK if marks else ' '}" if has_marks else "")
        for seconds, interval_s, marks in times
    ]


def _mark_lines(pairs: Sequence[PairedTime]) -> Iterator[str]:
    """Yields why rows of A and of B are marked: a line for each row, or for several with the same reasons."""
    rows: dict[tuple[str, str], dict[str, None]] = {}
    for pair in pairs:
        for side, marks in (("A", pair.a_marks), ("B", pair.b_marks)):
            if marks:
                rows.setdefault((side, "; ".join(marks)), {})[f"{pair.block} {pair.shape}"] = None
    for (side, reasons), names in rows.items():
        yield f"{MARK} {side}: {', '.join(names)}: {reasons}"
