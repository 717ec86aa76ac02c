"""Measurements in a store: the rows of one comparison under the digest of what was measured."""

from collections.abc import Sequence
from dataclasses import asdict, replace

from ..shapes import Shape
from ..store.store import Store, digest
from .case import Case
from .machine import Options
from .results import SCHEMA, Environment, Results, Row, as_document, from_document

MACHINE = ("cpu", "cores", "device", "allocator", "python", "torch", "sefactory")
"""The facts of an environment that a time depends on."""
PRECISION = ("rounds", "seconds")
"""The options that say how often to measure, and not what."""


def measurement_key(
    cases: Sequence[Case], baseline: str | None, shape: Shape, options: Options, environment: Environment
) -> str:
    """The digest of one comparison: what the cases are built from, the shape, the options, the machine and the versions."""
    settings = {name: value for name, value in asdict(options).items() if name not in PRECISION}
    machine = {name: environment.get(name) for name in MACHINE}
    blocks = [[case.name, case.tree] for case in cases]
    what = {"blocks": blocks, "baseline": baseline, "shape": list(shape)}
    return digest({"schema": SCHEMA, **what, "options": settings, "machine": machine})


def stored_results(store: Store, key: str, options: Options, allow_marked: bool) -> Results | None:
    """The results of a comparison that was finished with at least these rounds of these seconds; None if there are none.

    A row with an error is not finished. Rows with marks count only if they are allowed.
    """
    results = read_record(store, key)
    if results is None or results.interrupted or (not allow_marked and any(row.marks for row in results.rows)):
        return None
    has_seconds = float(results.environment.get("seconds", 0)) >= options.seconds
    has_rounds = all(not row.error and row.rounds >= options.rounds for row in results.rows)
    return results if has_seconds and has_rounds else None


def read_record(store: Store, key: str) -> Results | None:
    """The results of a comparison, finished or not; None if there are none that can be read."""
    record = store.get(key)
    try:
        return None if record is None else from_document(record)
    except ValueError:
        return None


def store_results(store: Store, key: str, results: Results) -> None:
    """Writes the results of a comparison, but not those that were cut off over finished ones. Raises OSError if that fails."""
    earlier = read_record(store, key) if results.interrupted else None
    if earlier is None or earlier.interrupted:
        store.put(key, as_document(results))


def merge_results(parts: Sequence[Results], facts: Environment) -> Results:
    """All rows of several comparisons as one, with `facts` added to the environment.

    A baseline that several of them measured has one row for each shape: the first. Rows of another machine or version than
    the first comparison's are marked.
    """
    rows: list[Row] = []
    baselines: set[tuple[str, str]] = set()
    for part in parts:
        for row in part.rows:
            if row.block == row.baseline and (row.block, row.shape) in baselines:
                continue
            baselines.add((row.block, row.shape))
            rows.append(replace(row, marks=[*row.marks, *_other_machine(part, parts[0])]))
    configs = {name: config for part in parts for name, config in part.configs.items()}
    interrupted = next((part.interrupted for part in parts if part.interrupted), "")
    return Results(rows, {**_merge_environments([part.environment for part in parts]), **facts}, configs, interrupted)


def _other_machine(part: Results, first: Results) -> list[str]:
    """A mark for rows whose machine or versions are not those of the first comparison."""
    both = part.environment, first.environment
    differs = [name for name in MACHINE if all(both) and both[0].get(name) != both[1].get(name) and name != "device"]
    facts = ", ".join(f"{name} {part.environment.get(name)}" for name in differs)
    return [f"measured elsewhere than the first rows: {facts}; measure all on one machine"] if differs else []


def _merge_environments(environments: Sequence[Environment]) -> dict[str, str | int | float]:
    """The facts of all environments: the latest date, the range of numbers that differ, and all texts that differ."""
    names = dict.fromkeys(name for environment in environments for name in environment)
    values = {name: list(dict.fromkeys(e[name] for e in environments if name in e)) for name in names}
    return {name: _merge_values(name, several) for name, several in values.items()}


def _merge_values(name: str, values: Sequence[str | int | float]) -> str | int | float:
    if len(values) == 1:
        return values[0]
    if name == "date":
        return max(map(str, values))
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    return f"{min(numbers)} to {max(numbers)}" if len(numbers) == len(values) else "; ".join(map(str, values))
