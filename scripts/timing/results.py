"""The measurements in one JSON file. It is rewritten after every row, so that a later failure loses nothing."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from .clock import Time

Kind = Literal["forward", "training"]
KINDS: tuple[Kind, Kind] = ("forward", "training")


@dataclass(frozen=True)
class Row:
    """One block at one shape, forward or training. The field names are keys of the JSON file.

    `group` is seven (the papers), variants or compiled, `size` full or tiny.
    `times` and `saved` (bytes saved for backward, training only) are by column, `ratios` by "a/b".
    `traffic` (bytes) and `operations` are the work behind the roofline bound, 0 for tiny shapes.
    `failed` says why a column has no time; its key "" says why nothing was timed.
    """

    group: str
    block: str
    device: str
    size: str
    kind: Kind
    shape: tuple[int, ...]
    times: dict[str, Time] = field(default_factory=dict)
    saved: dict[str, int] = field(default_factory=dict)
    traffic: float = 0.0
    operations: float = 0.0
    rounds: int = 0
    processes: int = 1
    failed: dict[str, str] = field(default_factory=dict)
    ratios: dict[str, float] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """What identifies the row in a file."""
        return "/".join((self.group, self.block, self.device, self.size, self.kind))

    def roofline_bound(self, rates: Mapping[str, float]) -> float | None:
        """Seconds of the roofline bound; None without the work or the rates of the machine."""
        if not self.traffic or not rates:
            return None
        return max(self.traffic / rates["bytes_per_second"], self.operations / rates["flops_per_second"])

    def ratio(self, over: str = "authors", under: str = "ours") -> float | None:
        """Time of one column / time of another, round by round if they were timed together. Above 1 the second is faster."""
        if (pair := f"{over}/{under}") in self.ratios:
            return self.ratios[pair]
        if over in self.times and under in self.times:
            return self.times[over].median / self.times[under].median
        return None

    def main_ratio(self) -> float | None:
        """The ratio of the authors' time to ours, both compiled by inductor in the group compiled."""
        return self.ratio("authors compiled", "ours compiled") if self.group == "compiled" else self.ratio()


class Results:
    """Rows by key, and the other figures ("facts") by name. A new row replaces the old one of the same key.

    `added` holds the keys of the rows that were not read from the file.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path, self.rows, self.facts, self.added = path, dict[str, Row](), dict[str, Any](), dict[str, None]()
        if path and path.exists():
            stored = json.loads(path.read_text(encoding="utf-8"))
            self.facts = stored["facts"]
            self.rows = {row.key: row for row in map(_parse_row, stored["rows"])}

    def add(self, row: Row) -> None:
        """Adds a row and writes the file."""
        self.rows[row.key], self.added[row.key] = row, None
        self.save()

    def set_fact(self, name: str, fact: Any) -> None:
        """Sets a figure that is not a row (the machine, build times, memory of PAM) and writes the file."""
        self.facts[name] = fact
        self.save()

    def save(self) -> None:
        """Writes the file, if there is one."""
        if self.path:
            text = json.dumps({"facts": self.facts, "rows": [asdict(row) for row in self.rows.values()]}, indent=1)
            draft = self.path.with_suffix(".new")
            draft.write_text(text + "\n", encoding="utf-8")
            draft.replace(self.path)

    def select(self, group: str, device: str, size: str | None = None, kind: Kind | None = None) -> list[Row]:
        """The rows of a table, in the order in which they were measured."""
        rows = [row for row in self.rows.values() if row.group == group and row.device == device]
        return [row for row in rows if size in (None, row.size) and kind in (None, row.kind)]


def _parse_row(stored: dict[str, Any]) -> Row:
    times = {name: Time(**time) for name, time in stored.pop("times").items()}
    return Row(shape=tuple(stored.pop("shape")), times=times, **stored)
