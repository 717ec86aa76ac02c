"""Times the authors' operations against our blocks, compares both to the roofline bound, and writes docs/speed.md.

python scripts/speed.py                                      the seven papers, eager, printed
python scripts/speed.py --json s.json --plain --compile --variants --memory-pam --build --write docs/speed.md
python scripts/speed.py --blocks none --compiled-blocks all --json s.json      every shipped block compiled, half an hour
python scripts/speed.py --blocks none --json s.json --write docs/speed.md     only the page, from the rows in s.json
python scripts/speed.py --processes 3 --json s.json          medians over processes, which differ in memory addresses
python scripts/speed.py --device cuda --json gpu.json        on a GPU; its rows go into the same page
python scripts/speed.py --count --write docs/speed.md        launches and bytes on other devices, counted on meta tensors

Restarts itself with malloc tuned, so that page faults are not timed. Exit code 1 if a pair differs or a column failed.
"""

import argparse
import os
import sys
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import torch
from timing import count
from timing.builds import build_seconds, meta_builds_per_minute
from timing.clock import Effort
from timing.compiled import compiled_rows
from timing.measurement import Plan, pam_peak_memory, paper_rows
from timing.page import page
from timing.pairs import SEVEN
from timing.processes import merge_rows, run_processes
from timing.results import Results, Row
from timing.table import format_ratio, mean_ratio
from timing.variants import variant_rows
from torch.utils.benchmark import set_torch_threads

import sefactory as sf
from sefactory.bench.machine import Options, environment, measure_machine

RATES = ("bytes_per_second", "flops_per_second")
TUNED_MALLOC = {"MALLOC_MMAP_THRESHOLD_": "33554432", "MALLOC_TRIM_THRESHOLD_": "4000000000"}


def argument_parser() -> argparse.ArgumentParser:
    """The parser of all options."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    option = parser.add_argument
    option("--blocks", default=",".join(SEVEN), help="papers to measure, between commas; none for none")
    option("--device", default="cpu")
    option("--rounds", type=int, default=15, help="least number of timings of each column")
    option("--seconds", type=float, default=3.0, help="time for each block, size and kind of step, about")
    option("--clock", choices=("wall", "cpu"), default="wall", help="cpu: time of this thread, for a busy machine")
    option("--processes", type=int, default=1, help="measure in this many processes and report the medians")
    option("--core", type=int, help="pin the process to this core")
    option("--plain", action="store_true", help="add a column with our block built with lower=False")
    option("--compile", action="store_true", help="add every column compiled by inductor")
    option("--variants", action="store_true", help="twenty random variants, lowered against plain")
    option("--compiled-blocks", default="none", help="shipped blocks compiled, lowered against plain; or all")
    option("--memory-pam", action="store_true", help="peak memory of a training step of pam at 128 x 128")
    option("--build", action="store_true", help="how long building takes")
    option("--count", action="store_true", help="count launches and bytes on other devices, time nothing")
    option("--json", type=Path, help="file that rows are read from, and written to after each row")
    option("--write", type=Path, help="file for the page")
    return parser


def parse_arguments(given: list[str]) -> argparse.Namespace:
    """The options, with `blocks` and `compiled_blocks` as lists of names, and `clock` cuda on a GPU."""
    parser = argument_parser()
    args = parser.parse_args(given)
    if args.processes < 1:
        parser.error(f"--processes: {args.processes} is not at least 1")
    args.clock = "cuda" if torch.device(args.device).type == "cuda" else args.clock
    args.blocks = _parse_names(parser, "--blocks", args.blocks, SEVEN)
    args.compiled_blocks = _parse_names(parser, "--compiled-blocks", args.compiled_blocks, sf.configs())
    return args


def _parse_names(parser: argparse.ArgumentParser, option: str, given: str, known: Collection[str]) -> list[str]:
    """Names between commas; "none" is no name, "all" is all known names."""
    names = {"none": [], "all": list(known)}.get(given, given.split(","))
    if unknown := [name for name in names if name not in known]:
        parser.error(f"{option}: {', '.join(unknown)} is none of {', '.join(known)}")
    return names


def measure_rows(results: Results, args: argparse.Namespace) -> Iterator[Row]:
    """Measures everything that the options ask for and yields the rows. Facts go into the results."""
    plan = Plan(args.device, Effort(args.rounds, args.seconds, args.clock), args.plain, args.compile)
    if args.blocks or args.variants or args.compiled_blocks or args.build or args.memory_pam:
        record_machine(results, args.device, args.clock)
    for name in args.blocks:
        yield from paper_rows(name, plan)
        record_machine(results, args.device, args.clock)
    if args.variants:
        yield from variant_rows(plan)
    yield from compiled_rows(plan, args.compiled_blocks)
    for name, measure in fact_measurements(args, plan).items():
        results.set_fact(name, measure())


def fact_measurements(args: argparse.Namespace, plan: Plan) -> dict[str, Callable[[], object]]:
    """The figures to measure that are not rows: name to function."""
    measurements: dict[str, Callable[[], object]] = {}
    if args.memory_pam:
        measurements[f"pam {args.device}"] = lambda: pam_peak_memory(plan)
    if args.build:
        measurements["build"] = lambda: build_seconds(args.clock)
        measurements["meta"] = lambda: meta_builds_per_minute(args.clock)
    return measurements


def record_machine(results: Results, device: str, clock: str) -> None:
    """Measures the rates of the machine and sets the fact that the page shows."""
    options = Options(device=device)
    measured, facts = measure_machine(options), environment(options)
    rates = {rate: getattr(measured, rate) for rate in RATES}
    name = facts["device"] if torch.device(device).type == "cuda" else facts["cpu"]
    set_fastest_machine(results, f"machine {device}", {**facts, **rates, "name": name, "clock": clock})


def set_fastest_machine(results: Results, key: str, fact: dict[str, Any]) -> None:
    """Sets the fact of a machine with the highest rates so far, because other processes only slow it down."""
    previous = results.facts.get(key, {})
    if previous.get("name") == fact["name"]:
        fact = {**fact, **{rate: max(fact[rate], previous[rate]) for rate in RATES}}
    results.set_fact(key, fact)


def format_row(row: Row) -> str:
    """One line for the terminal."""
    times = ", ".join(f"{name} {1e3 * time.median:.3g} ({1e3 * time.iqr:.1g})" for name, time in row.times.items())
    failures = "".join(f"; {column or 'refused'}: {why}" for column, why in row.failed.items())
    ratio = format_ratio(row.main_ratio())
    return f"{row.block:12} {row.size} {row.kind:8} {ratio:>6}  {times} ms, {row.rounds} rounds{failures}"


def restart_with_tuned_malloc() -> None:
    """Replaces this process by one with malloc tuned, unless it is."""
    if sys.platform == "linux" and not all(os.environ.get(key) == value for key, value in TUNED_MALLOC.items()):
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **TUNED_MALLOC})


def measure(args: argparse.Namespace, path: Path | None) -> Results:
    """Measures in this process; every row is printed and stored at once."""
    if args.core is not None:
        os.sched_setaffinity(0, {args.core})
    results = Results(path)
    with set_torch_threads(1), torch.backends.cudnn.flags(allow_tf32=False):  # float32 like the matrix product of the bound
        for row in measure_rows(results, args):
            results.add(row)
            print(format_row(row), flush=True)
    return results


def measure_in_processes(args: argparse.Namespace) -> Results:
    """Measures in several processes, one after the other; after each, the medians of all so far are stored."""
    results, parts = Results(args.json), list[Results]()
    for part in run_processes(args.processes, measure, args):
        parts.append(part)
        for key in part.rows:
            results.add(merge_rows([other.rows[key] for other in parts if key in other.rows]))
        for name, fact in part.facts.items():
            (set_fastest_machine if name.startswith("machine") else Results.set_fact)(results, name, fact)
    for key in results.added:
        print(format_row(results.rows[key]))
    return results


def read_page(path: Path) -> str:
    """The text of a page; "" if there is none yet."""
    return path.read_text(encoding="utf-8") if path.exists() else ""


def write_counts(names: list[str], path: Path | None) -> int:
    """Prints the section of counts, and puts it into the page."""
    text = count.section(list(count.count_papers(names)))
    print(text)
    if path is not None:
        path.write_text(count.with_section(read_page(path), text), encoding="utf-8")
    return 0


def main(given: list[str]) -> int:
    args = parse_arguments(given)
    if args.count:
        return write_counts(args.blocks, args.write)
    results = measure(args, args.json) if args.processes == 1 else measure_in_processes(args)
    for size, kind in dict.fromkeys((row.size, row.kind) for row in results.select("seven", args.device)):
        rows = results.select("seven", args.device, size, kind)
        print(f"{size} {kind}: {format_ratio(mean_ratio(row.ratio() for row in rows))}")
    if args.write:
        args.write.write_text(count.keep_section(read_page(args.write), page(results)), encoding="utf-8")
    return int(any(results.rows[key].failed for key in results.added))


if __name__ == "__main__":
    restart_with_tuned_malloc()
    sys.exit(main(sys.argv[1:]))
