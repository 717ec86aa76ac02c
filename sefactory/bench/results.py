"""The rows of a benchmark, and their files results.json and results.csv.

results.json is {"schema": 1, "environment": {...}, "rows": [{...}, ...]}, strict JSON (null for what was not measured):

    block, shape                             name, and "BxCxHxW" or the axes that the input has
    batch, channels, depth, height, width    sizes of the input; null for an axis that it lacks
    parameters                               number of parameters
    macs                                     multiply-adds of one forward: convolutions, linear maps, attention
    elements                                 elementwise operations of one forward: values read by pooling, norms, gates
    saved_bytes                              bytes that autograd saves for backward, the input included
    peak_bytes                               peak memory of one forward and backward, in bytes
    forward_s, forward_iqr_s                 seconds of a forward in eval mode without gradients: median, interquartile range
    train_s, train_iqr_s                     the same of a forward and backward in train mode
    rounds                                   number of timings behind forward_s
    forward_ratio, train_ratio               time / time of the baseline at the same shape
    forward_floor_s, train_floor_s           roofline bound in seconds
    forward_over_floor, train_over_floor     time / roofline bound
    split                                    operator name to seconds of one forward
    refused                                  why the block could not be built, or null
    error                                    the error that the block raised ("forward: ...", "training: ..."), or null

`environment` holds versions, processor, load, allocator and options. results.csv has the same columns; `split` is JSON.
"""

import csv
import io
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from ..shapes import Shape

SCHEMA = 1
Environment = Mapping[str, str | int | float]


@dataclass(frozen=True)
class Row:
    """The measurements of one block at one shape; None for what was not measured.

    The field names are the keys of results.json and results.csv; the docstring of this module describes them.
    `train_s` has as many timings as `forward_s`, or one fewer after an interruption.
    `split` is always measured on the uncompiled module in eval mode.
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
    train_s: float | None = None
    train_iqr_s: float | None = None
    rounds: int = 0
    forward_ratio: float | None = None
    train_ratio: float | None = None
    forward_floor_s: float | None = None
    train_floor_s: float | None = None
    forward_over_floor: float | None = None
    train_over_floor: float | None = None
    split: dict[str, float] = field(default_factory=dict)
    refused: str | None = None
    error: str | None = None

    @property
    def problem(self) -> str:
        """Why values are missing in this row; "" if none are."""
        return f"refused: {self.refused}" if self.refused else self.error or ""


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


def write_results(rows: Sequence[Row], environment: Environment, folder: Path) -> None:
    """Writes results.json and results.csv into a folder, which is made if it does not exist."""
    folder.mkdir(parents=True, exist_ok=True)
    records = [{key: _drop_non_finite(value) for key, value in asdict(row).items()} for row in rows]
    facts = {key: _drop_non_finite(value) for key, value in environment.items()}
    document = {"schema": SCHEMA, "environment": facts, "rows": records}
    replace_file(folder / "results.json", json.dumps(document, indent=1, allow_nan=False, ensure_ascii=False) + "\n")
    replace_file(folder / "results.csv", _csv(records))


def read_results(folder: Path) -> tuple[list[Row], dict[str, str | int | float]]:
    """The rows and the environment of a folder's results.json. ValueError if the file is not one of `write_results`."""
    file = folder / "results.json"
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        if document["schema"] != SCHEMA:
            raise ValueError(f"schema {document['schema']!r} is not {SCHEMA}")
        return [Row(**record) for record in document["rows"]], dict(document["environment"])
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{file} holds no results that can be read: {error}") from error


def replace_file(file: Path, text: str) -> None:
    """Writes a file atomically: an interruption leaves the old version."""
    draft = file.with_name(f".{file.name}.{os.getpid()}")  # a rename is atomic only within one file system
    try:
        draft.write_text(text, encoding="utf-8")
        os.replace(draft, file)
    finally:
        draft.unlink(missing_ok=True)


def _drop_non_finite(value: Any) -> Any:
    """None for infinity and NaN, which JSON lacks; in a mapping their entries are left out."""
    if isinstance(value, dict):
        return {key: entry for key, entry in value.items() if _drop_non_finite(entry) is not None}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _csv(records: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(Row)], lineterminator="\n")
    writer.writeheader()
    writer.writerows({**record, "split": json.dumps(record["split"], ensure_ascii=False)} for record in records)
    return text.getvalue()
