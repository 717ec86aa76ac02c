"""The rows of a benchmark, and their files results.json and results.csv.

results.json is {"schema": 2, "environment": {...}, "interrupted": "", "configs": {...}, "rows": [{...}, ...]}, strict JSON
(null for what was not measured):

    block, shape                             name, and "BxCxHxW" or the axes that the input has
    batch, channels, depth, height, width    sizes of the input; null for an axis that it lacks
    parameters                               number of parameters
    macs                                     multiply-adds of one forward: convolutions, linear maps, attention
    elements                                 elementwise operations of one forward: values read by pooling, norms, gates
    saved_bytes                              bytes that autograd saves for backward, the input included
    peak_bytes                               peak memory of one forward and backward, in bytes
    forward_s, forward_iqr_s                 seconds of a forward in eval mode without gradients: median, interquartile range
    forward_interval_s                       half the width of the 99 % confidence interval of the median; null below 8 rounds
    forward_rounds_s                         the time of each round
    train_s, train_iqr_s, train_interval_s, train_rounds_s
                                             the same of a forward and backward in train mode
    rounds                                   number of timings behind forward_s
    baseline                                 name of the block that the ratios are to, or null
    baseline_forward_s, baseline_train_s     its times, from the same rounds as this row
    forward_ratio, train_ratio               time / time of the baseline: the median over the rounds
    forward_ratio_interval, train_ratio_interval
                                             half the width of the confidence interval of the ratio
    forward_floor_s, train_floor_s           roofline bound in seconds
    forward_over_floor, train_over_floor     time / roofline bound
    load_before, load_after                  mean number of runnable processes of the last minute
    mhz_before, mhz_after                    clock rate of the processor, null where it cannot be read
    runnable                                 mean number of threads that ran or waited for a core during the timings
    waiting                                  share of the time of the timings in which this process did not run
    marks                                    why the times cannot be trusted; empty if nothing was noticed
    nodes                                    path of a node to seconds of forward_s, "" for the root
    split                                    the same by the name of the operator; "apply multiply" is the work of units, and
                                             "fuse sum" that of parallels, apart from the nodes inside them
    refused                                  why the block could not be built, or null
    error                                    the error that the block raised ("forward: ...", "training: ..."), or null

`environment` holds versions, processor, allocator, options and the command line. `configs` holds the YAML of each block,
`interrupted` says where the benchmark was cut off, "" if it was not. results.csv has the columns of the rows; what is a list
or a mapping there is JSON.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from ..errors import join_words
from ..shapes import Shape
from ..store.files import replace_file
from .text_tables import as_csv, as_json

SCHEMA = 2
Mode = Literal["forward", "training"]
MODES: tuple[Mode, Mode] = ("forward", "training")
Environment = Mapping[str, str | int | float]


@dataclass(frozen=True)
class Row:
    """The measurements of one block at one shape; None for what was not measured.

    The field names are the keys of results.json and results.csv; the docstring of this module describes them.
    `train_s` has as many timings as `forward_s`, or one fewer after an interruption.
    `nodes` and `split` are shares of `forward_s` that are always measured on the module without torch.compile, in eval mode.
    """

    block: str
    shape: str
    batch: int
    channels: int
    depth: int | None
    height: int | None
    width: int
    parameters: int | None = None
    macs: int | None = None
    elements: int | None = None
    saved_bytes: int | None = None
    peak_bytes: int | None = None
    forward_s: float | None = None
    forward_iqr_s: float | None = None
    forward_interval_s: float | None = None
    forward_rounds_s: list[float] = field(default_factory=list)
    train_s: float | None = None
    train_iqr_s: float | None = None
    train_interval_s: float | None = None
    train_rounds_s: list[float] = field(default_factory=list)
    rounds: int = 0
    baseline: str | None = None
    baseline_forward_s: float | None = None
    baseline_train_s: float | None = None
    forward_ratio: float | None = None
    train_ratio: float | None = None
    forward_ratio_interval: float | None = None
    train_ratio_interval: float | None = None
    forward_floor_s: float | None = None
    train_floor_s: float | None = None
    forward_over_floor: float | None = None
    train_over_floor: float | None = None
    load_before: float | None = None
    load_after: float | None = None
    mhz_before: float | None = None
    mhz_after: float | None = None
    runnable: float | None = None
    waiting: float | None = None
    marks: list[str] = field(default_factory=list)
    split: dict[str, float] = field(default_factory=dict)
    nodes: dict[str, float] = field(default_factory=dict)
    refused: str | None = None
    error: str | None = None

    @property
    def problem(self) -> str:
        """Why values are missing in this row; "" if none are."""
        return f"refused: {self.refused}" if self.refused else self.error or ""


@dataclass(frozen=True)
class Results:
    """All that a benchmark knows: its rows, what they depend on, the YAML of each block, and where it was cut off."""

    rows: Sequence[Row]
    environment: Environment
    configs: Mapping[str, str] = field(default_factory=dict)
    interrupted: str = ""


def refused_row(block: str, shape: Shape, reason: str) -> Row:
    """The row of a block that cannot be built at this shape."""
    return Row(block, format_shape(shape), *axis_sizes(shape), refused=reason)


def format_shape(shape: Shape) -> str:
    """The text of a shape, e.g. "8x256x56x56"."""
    return "x".join(map(str, shape))


def axis_sizes(shape: Shape) -> tuple[int, int, int | None, int | None, int]:
    """Batch, channels, depth, height and width of an input.

    >>> axis_sizes((2, 64, 7))
    (2, 64, None, None, 7)
    """
    batch, channels, *outer, width = shape
    height = outer[-1] if outer else None
    depth = outer[0] if len(outer) > 1 else None
    return batch, channels, depth, height, width


def group_by_shape(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """The rows of each shape, shapes in order of appearance, the fastest forward first and rows without a time last."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.shape, []).append(row)
    for group in groups.values():
        group.sort(key=lambda row: math.inf if row.forward_s is None else row.forward_s)
    return groups


def write_results(results: Results, folder: Path) -> None:
    """Writes results.json and results.csv into a folder, which is made if it does not exist."""
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(folder / "results.json", results_as_json(results))
    replace_file(folder / "results.csv", results_as_csv(results))


def results_as_json(results: Results) -> str:
    """The content of results.json."""
    return as_json(as_document(results))


def results_as_csv(results: Results) -> str:
    """The content of results.csv: all fields of the rows."""
    names = [field.name for field in fields(Row)]
    return as_csv(names, [[record[name] for name in names] for record in as_document(results)["rows"]])


def as_document(results: Results) -> dict[str, Any]:
    """The content of results.json."""
    rows = [{key: _drop_non_finite(value) for key, value in asdict(row).items()} for row in results.rows]
    facts = {key: _drop_non_finite(value) for key, value in results.environment.items()}
    settings = {"environment": facts, "interrupted": results.interrupted, "configs": dict(results.configs)}
    return {"schema": SCHEMA, **settings, "rows": rows}


def from_document(document: Any) -> Results:
    """The results of a document of `as_document`. ValueError for anything else."""
    if not isinstance(document, dict):
        raise ValueError("it is not an object")
    try:
        if document["schema"] != SCHEMA:
            raise ValueError(f"it was written by another version of sefactory (form {document['schema']!r}, here {SCHEMA})")
        rows = _check_rows(document["rows"])
        return Results(rows, dict(document["environment"]), dict(document["configs"]), str(document["interrupted"]))
    except (TypeError, KeyError) as error:
        raise ValueError(f"it is not complete: {error}") from error


def _check_rows(records: Any) -> list[Row]:
    """The rows of a document. ValueError in one line for a field that is missing, unknown, or of another type."""
    from pydantic import TypeAdapter, ValidationError  # takes a tenth of a second

    names = [field.name for field in fields(Row)]
    for i, record in enumerate(records):
        if missing := [name for name in names if name not in record]:
            raise ValueError(f"rows.{i} lacks {join_words(missing)}")
        if unknown := [name for name in record if name not in names]:
            raise ValueError(f"rows.{i} has {join_words(unknown)}, which this version of sefactory does not know")
    try:
        return TypeAdapter(list[Row]).validate_python(records)
    except ValidationError as error:
        fault = error.errors()[0]
        raise ValueError(f"rows.{'.'.join(map(str, fault['loc']))}: {fault['msg']}") from None


def read_results(folder: Path) -> Results:
    """The results in a folder's results.json. ValueError if the file is not one of `write_results`."""
    file = folder / "results.json"
    try:
        return from_document(json.loads(file.read_text(encoding="utf-8")))
    except ValueError as error:
        reason = f"it is cut off, or no JSON (line {error.lineno})" if isinstance(error, json.JSONDecodeError) else error
        raise ValueError(f"{file} holds no results that can be read: {reason}") from error


def _drop_non_finite(value: Any) -> Any:
    """None for infinity and NaN, which JSON lacks; in a mapping or a list their entries are left out."""
    if isinstance(value, dict):
        return {key: entry for key, entry in value.items() if _drop_non_finite(entry) is not None}
    if isinstance(value, list):
        return [entry for entry in value if _drop_non_finite(entry) is not None]
    return None if isinstance(value, float) and not math.isfinite(value) else value
