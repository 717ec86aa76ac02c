"""Measurements in a store: the rows of one comparison under the digest of what was measured."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from ..shapes import Shape
from ..store.store import Store, digest
from .case import Case
from .machine import Options
from .results import SCHEMA, Environment, Results, as_document, from_document

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


def stored_results(store: Store, key: str, rounds: int, allow_marked: bool) -> Results | None:
    """The results of a comparison that was finished with at least so many rounds; None if there are none.

    Rows with marks count only if they are allowed.
    """
    results = read_record(store, key)
    if results is None or results.interrupted or (not allow_marked and any(row.marks for row in results.rows)):
        return None
    return results if all(row.error or row.rounds >= rounds for row in results.rows) else None


def read_record(store: Store, key: str) -> Results | None:
    """The results of a comparison, finished or not; None if there are none that can be read."""
    record = store.get(key)
    try:
        return None if record is None else from_document(record)
    except ValueError:
        return None


def store_results(store: Store, key: str, results: Results) -> None:
    """Writes the results of a comparison. Raises OSError if that fails."""
    store.put(key, as_document(results))


def merge_results(parts: Sequence[Results], facts: Mapping[str, str | int | float]) -> Results:
    """All rows of several comparisons as one. Its environment is what theirs have in common, the latest date, and `facts`.

    A block that was measured in several of them, such as the baseline, has one row for each shape: the first.
    """
    rows = {(row.block, row.shape): row for part in reversed(parts) for row in reversed(part.rows)}
    environments = [part.environment for part in parts] or [{}]
    common = {name: value for name, value in environments[0].items() if all(e.get(name) == value for e in environments)}
    latest = {"date": max(str(e["date"]) for e in environments)} if "date" in environments[0] else {}
    configs = {name: config for part in parts for name, config in part.configs.items()}
    interrupted = next((part.interrupted for part in parts if part.interrupted), "")
    ordered = list(dict.fromkeys((row.block, row.shape) for part in parts for row in part.rows))
    return Results([rows[key] for key in ordered], {**common, **latest, **facts}, configs, interrupted)
