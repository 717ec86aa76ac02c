"""The runs of a store as a table: a row for each, in an order that does not depend on when it ran."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ...bench.layout import TextColumn
from ..runs.results import Result
from ..trainer import Scores
from .differences import differences

FIELDS = (
    *("block", "static", "seed", "stage", "status", "metric", "score"),
    *(f"{part}_{name}" for part in ("validation", "test") for name in Scores._fields),
    *("data", "network", "image_passes", "epochs", "parameters", "macs", "setting", "run", "error"),
    *("seconds", "images_per_second", "date", "device", "cpu", "torch"),
)
"""The columns of results.csv. Those of the last line depend on where and when a run was executed; the others do not."""
TIMES = FIELDS[-6:]


def sort_runs(results: Sequence[Result]) -> list[Result]:
    """The results by setting, block and seed; within a block those with static gates last."""
    return sorted(results, key=lambda r: (-r.scored_test, r.image_passes, r.setting, r.label, r.static, r.seed))


def run_records(results: Sequence[Result], failures: Iterable[Mapping[str, Any]] = ()) -> list[list[Any]]:
    """A row of FIELDS for each result, then one for each failed run."""
    rows = [[_values(result)[name] for name in FIELDS] for result in sort_runs(results)]
    failed = [[{**failure, "status": "failed"}.get(name) for name in FIELDS] for failure in failures]
    return rows + failed


def list_runs(results: Sequence[Result]) -> tuple[list[TextColumn], Sequence[str], list[list[Any]]]:
    """The columns of a table for people, the fields for programs, and their records."""
    ordered = sort_runs(results)
    cells: dict[str, list[str]] = {
        "block": [_name(result) for result in ordered],
        "seed": [str(result.seed) for result in ordered],
        "status": [result.status for result in ordered],
        "validation %": [_percent(result.validation, result.metric) for result in ordered],
        "test %": [_percent(result.test, result.metric) for result in ordered],
        "parameters": [f"{result.parameters:,}" for result in ordered],
        "MACs": [f"{result.macs:,}" for result in ordered],
        "image passes": [f"{result.image_passes:,}" for result in ordered],
        "images/s": [f"{result.images_per_second:,.0f}" for result in ordered],
    }
    varied = differences([result.setup for result in ordered])
    for name in varied[0] if varied else ():
        if name != "recipe.image_passes":  # has a column
            cells[name] = [str(values[name]) for values in varied]
    drops = {"MACs": 0, "image passes": 1, "images/s": 2, "parameters": 3}
    if not any(result.test for result in ordered):
        del cells["test %"]
    columns = []
    for name, texts in cells.items():
        columns.append(TextColumn(name, texts, drops.get(name), "left" if name == "block" else "right"))
    return columns, FIELDS, run_records(ordered)


def _name(result: Result) -> str:
    return f"{result.label} with static gates" if result.static else result.label


def _percent(scores: Scores | None, metric: str) -> str:
    return "" if scores is None else f"{100 * getattr(scores, metric):.2f}"


def _values(result: Result) -> dict[str, Any]:
    """The values of FIELDS."""
    names = ("seed", "static", "status", "metric", "score", "image_passes", "epochs", "parameters", "macs", "setting", "run")
    values = {name: getattr(result, name) for name in (*names, "error", "seconds", "images_per_second")}
    for part in ("validation", "test"):
        scores: Scores | None = getattr(result, part)
        values |= {f"{part}_{name}": value for name, value in (scores._asdict() if scores else {}).items()}
    values |= {
        "block": result.label,
        "stage": "confirm" if result.scored_test else "screen",
        "data": str(result.setup["data"].get("dataset", "")),
        "network": result.setup["network"],
        "images_per_second": round(result.images_per_second, 1),
    }
    return dict.fromkeys(FIELDS) | values | {name: result.environment.get(name) for name in ("date", "device", "cpu", "torch")}
