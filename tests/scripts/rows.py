"""Rows and results with known times."""

from pathlib import Path

from timing.clock import Time
from timing.results import Results, Row


def paper_row(block: str, authors: float, ours: float, size: str = "full", kind: str = "forward", group: str = "seven") -> Row:
    """A row of a paper with these times in seconds."""
    times = {"authors": Time(authors, 0.0), "ours": Time(ours, 1e-4)}
    return Row(group, block, "cpu", size, kind, (8, 128, 56, 56), times, {}, 1e6, 1e6, 15)


def results_of(*rows: Row, path: Path | None = None) -> Results:
    """Results with these rows and a machine of 1 GB/s and 10 GFLOP/s."""
    results = Results(path)
    about = {"name": "A Processor", "torch": "2.13", "python": "3.11", "threads": 1, "clock": "wall", "date": "today"}
    results.set_fact("machine cpu", {**about, "allocator": "default", "bytes_per_second": 1e9, "flops_per_second": 1e10})
    for row in rows:
        results.add(row)
    return results
