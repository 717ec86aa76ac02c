"""What was measured, in one JSON file that is written anew after every cell: what failed later takes nothing away."""

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
    """One block at one shape in one kind of step. `times` and `saved` (bytes, training) are by column, `ratios` by `a/b`.

    `group` is seven or variants, `size` full or tiny. `traffic` (bytes) and `operations` are the
    least that any implementation has to do, 0 where the shape is too small to say so.
    `failed` says why a column has no time; under "" why nothing was timed at all.
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
        return "/".join((self.group, self.block, self.device, self.size, self.kind))

    def floor(self, rates: Mapping[str, float]) -> float | None:
        """Seconds that the machine needs for that least."""
        if not self.traffic or not rates:
            return None
        return max(self.traffic / rates["bytes_per_second"], self.operations / rates["flops_per_second"])

    def ratio(self, over: str = "authors", under: str = "ours") -> float | None:
        """Time of one column over another's, round by round where they were timed together: above 1, the second is faster."""
        if (pair := f"{over}/{under}") in self.ratios:
            return self.ratios[pair]
        if over in self.times and under in self.times:
            return self.times[over].median / self.times[under].median
        return None


class Results:
    """Rows by their key, and the other figures by name. A row that is measured again replaces the old one.

    `added` are the keys of those that were not read from the file.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path, self.rows, self.facts, self.added = path, dict[str, Row](), dict[str, Any](), dict[str, None]()
        if path and path.exists():
            stored = json.loads(path.read_text(encoding="utf-8"))
            self.facts = stored["facts"]
            self.rows = {row.key: row for row in map(_row, stored["rows"])}

    def add(self, row: Row) -> None:
        self.rows[row.key], self.added[row.key] = row, None
        self.save()

    def note(self, name: str, fact: Any) -> None:
        """A figure that is no row: the machine, the builds, the memory of PAM."""
        self.facts[name] = fact
        self.save()

    def save(self) -> None:
        if self.path:
            text = json.dumps({"facts": self.facts, "rows": [asdict(row) for row in self.rows.values()]}, indent=1)
            fresh = self.path.with_suffix(".new")
            fresh.write_text(text + "\n", encoding="utf-8")
            fresh.replace(self.path)

    def of(self, group: str, device: str, size: str | None = None, kind: Kind | None = None) -> list[Row]:
        """The rows of a table, in the order in which they were measured."""
        found = [row for row in self.rows.values() if row.group == group and row.device == device]
        return [row for row in found if size in (None, row.size) and kind in (None, row.kind)]


def _row(stored: dict[str, Any]) -> Row:
    times = {name: Time(**time) for name, time in stored.pop("times").items()}
    return Row(shape=tuple(stored.pop("shape")), times=times, **stored)
