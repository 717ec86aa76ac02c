"""Measures the authors' operations against our blocks and the machine's floor, and writes docs/speed.md.

python scripts/speed.py                                      the seven, eager, printed
python scripts/speed.py --json s.json --plain --compile --variants --memory-pam --build --write docs/speed.md
python scripts/speed.py --blocks none --compiled-blocks all --json s.json      every shipped block compiled: half an hour
python scripts/speed.py --blocks none --json s.json --write docs/speed.md     the page alone, from rows already measured
python scripts/speed.py --processes 3 --json s.json          medians over processes, each with its maps in other memory
python scripts/speed.py --device cuda --json gpu.json        on a GPU; its rows go into the same page

Runs itself anew with malloc tuned, so that no page faults are timed. Exit code 1 where a pair differs or a column failed.
"""

import argparse
import os
import sys
from collections.abc import Callable, Collection, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from timing import builds, cells, compiled, processes, variants
from timing.clock import Effort
from timing.page import of_ours, page
from timing.pairs import LOWERS, SEVEN
from timing.results import Results, Row
from timing.table import mean, ratio

import sefactory as sf
from sefactory.bench.machine import MachineRates, Options, environment, measure_machine, use_threads

TUNED = {"MALLOC_MMAP_THRESHOLD_": "33554432", "MALLOC_TRIM_THRESHOLD_": "4000000000"}


def arguments(given: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--blocks", default=",".join(SEVEN), help="of the seven papers; none for none of them")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=15, help="timings of each column, at least")
    parser.add_argument("--seconds", type=float, default=3.0, help="for each block, size and kind of step, about")
    parser.add_argument(
        "--clock", choices=("wall", "cpu"), default="wall", help="cpu: of this thread, where others are at work"
    )
    parser.add_argument("--processes", type=int, default=1, help="each measures all of it anew; medians of them are told")
    parser.add_argument("--core", type=int, help="pin the process to this core")
    parser.add_argument("--plain", action="store_true", help="a column with ours built with lower=False")
    parser.add_argument("--compile", action="store_true", help="every column compiled by inductor as well")
    parser.add_argument("--variants", action="store_true", help="twenty variants, lowered against plain")
    parser.add_argument("--compiled-blocks", default="none", help="shipped blocks compiled, lowered against plain; or all")
    parser.add_argument("--memory-pam", action="store_true", help="peak bytes of a training step of pam at 128 x 128")
    parser.add_argument("--build", action="store_true", help="how long building takes")
    parser.add_argument("--json", type=Path, help="rows are kept here, after each of them, and read from here")
    parser.add_argument("--write", type=Path, help="where the page goes")
    told = parser.parse_args(given)
    if told.processes < 1:
        parser.error(f"--processes: {told.processes} is not at least 1")
    told.clock = "cuda" if torch.device(told.device).type == "cuda" else told.clock
    told.blocks = _known(parser, "--blocks", told.blocks, SEVEN)
    told.compiled_blocks = _known(parser, "--compiled-blocks", told.compiled_blocks, sf.configs())
    if not LOWERS and (told.plain or told.variants or told.compiled_blocks):
        parser.error("--plain, --variants and --compiled-blocks need sf.build(..., lower=False), which this tree does not have")
    return told


def _known(parser: argparse.ArgumentParser, option: str, given: str, known: Collection[str]) -> list[str]:
    """Names between commas; none is none of them, all is all of them."""
    names = {"none": [], "all": list(known)}.get(given, given.split(","))
    if unknown := [name for name in names if name not in known]:
        parser.error(f"{option}: {', '.join(unknown)} is none of {', '.join(known)}")
    return names


def measured(results: Results, told: argparse.Namespace) -> Iterator[Row]:
    """Everything that was asked for, one row after the other; facts go into the results."""
    plan = cells.Plan(told.device, Effort(told.rounds, told.seconds, told.clock), told.plain, told.compile)
    if told.blocks or told.variants or told.compiled_blocks or told.build or told.memory_pam:
        note_machine(results, told.device, told.clock)
    for name in told.blocks:
        yield from cells.seven(name, plan)
        note_machine(results, told.device, told.clock)
    if told.variants:
        yield from variants.rows(plan)
    yield from compiled.rows(plan, told.compiled_blocks)
    for name, wanted, measure in facts(told, plan):
        if wanted:
            results.note(name, measure())


def facts(told: argparse.Namespace, plan: cells.Plan) -> list[tuple[str, bool, Callable[[], object]]]:
    """The figures that are no rows: their name, whether they are asked for, how to get them."""
    return [
        (f"pam {told.device}", told.memory_pam, lambda: cells.pam_memory(plan)),
        ("build", told.build, lambda: builds.build_seconds(told.clock)),
        ("meta", told.build, lambda: builds.meta_per_minute(told.clock)),
    ]


def note_machine(results: Results, device: str, clock: str) -> None:
    """What the page says of the machine."""
    options = Options(device=device)
    rates, about = vars(measure_machine(options)), environment(options)
    name = about["device"] if torch.device(device).type == "cuda" else about["cpu"]
    note_fastest(results, f"machine {device}", {**about, **rates, "name": name, "clock": clock})


def note_fastest(results: Results, key: str, found: dict[str, Any]) -> None:
    """Rates only rise, as what another process took once is not the machine's floor; of another machine they are others."""
    former, rates = results.facts.get(key, {}), [rate.name for rate in fields(MachineRates)]
    if former.get("name") == found["name"]:
        found = {**found, **{rate: max(found[rate], former[rate]) for rate in rates}}
    results.note(key, found)


def told_of(row: Row) -> str:
    """One line for a row that is done."""
    times = ", ".join(f"{name} {1e3 * time.median:.3g} ({1e3 * time.iqr:.1g})" for name, time in row.times.items())
    wrong = "".join(f"; {column or 'refused'}: {why}" for column, why in row.failed.items())
    return f"{row.block:12} {row.size} {row.kind:8} {ratio(of_ours(row)):>6}  {times} ms, {row.rounds} rounds{wrong}"


def tuned() -> None:
    """Replaces this process by one with malloc tuned, unless it is."""
    if sys.platform == "linux" and not all(os.environ.get(key) == value for key, value in TUNED.items()):
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **TUNED})


def measure(told: argparse.Namespace, path: Path | None) -> Results:
    """Measures in this process; every row is told and stored when it is done."""
    if told.core is not None:
        os.sched_setaffinity(0, {told.core})
    results = Results(path)
    with use_threads(1), torch.backends.cudnn.flags(allow_tf32=False):  # as the floor's matrix product: float32
        for row in measured(results, told):
            results.add(row)
            print(told_of(row), flush=True)
    return results


def measure_apart(told: argparse.Namespace) -> Results:
    """Measures in several processes, one after the other; after each the medians of all so far are stored."""
    results, parts = Results(told.json), list[Results]()
    for part in processes.several(told.processes, measure, told):
        parts.append(part)
        for key in part.rows:
            results.add(processes.joined([other.rows[key] for other in parts if key in other.rows]))
        for name, fact in part.facts.items():
            (note_fastest if name.startswith("machine") else Results.note)(results, name, fact)
    for key in results.added:
        print(told_of(results.rows[key]))
    return results


def main(given: list[str]) -> int:
    told = arguments(given)
    results = measure(told, told.json) if told.processes == 1 else measure_apart(told)
    for size, kind in dict.fromkeys((row.size, row.kind) for row in results.of("seven", told.device)):
        print(f"{size} {kind}: {ratio(mean(row.ratio() for row in results.of('seven', told.device, size, kind)))}")
    if told.write:
        told.write.write_text(page(results), encoding="utf-8")
    return int(any(results.rows[key].failed for key in results.added))


if __name__ == "__main__":
    tuned()
    sys.exit(main(sys.argv[1:]))
