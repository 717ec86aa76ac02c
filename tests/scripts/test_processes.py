"""Rows of several processes."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
import speed
from timing import page, processes
from timing.clock import Time
from timing.results import Results

from tests.scripts.rows import paper_row, results_of


def test_rows_of_several_processes_are_merged_to_medians() -> None:
    """Of the ratios of each process, not the ratio of medians; and every process counts once, however many rounds it had."""
    rows = [
        replace(paper_row("senet", ours * 2, ours), ratios={"authors/ours": ratio}, rounds=rounds)
        for ours, ratio, rounds in ((1e-3, 1.0, 10), (2e-3, 0.5, 90), (4e-3, 1.1, 20))
    ]
    one = processes.merge_rows(rows)
    assert (one.times["ours"].median, one.times["authors"].median) == (2e-3, 4e-3)
    assert (one.ratio(), one.rounds, one.processes) == (1.0, 120, 3)
    text = page.page(results_of(one))
    assert "\nMedians over several processes, which differ in memory addresses. Number of processes: seven 3.\n" in text
    assert "Number of processes" not in page.page(results_of(rows[0]))
    mixed = page.page(results_of(one, replace(rows[0], block="cbam"), replace(rows[0], group="variants")))
    assert " Number of processes: seven 1 or 3, variants 1.\n" in mixed


def test_a_column_that_failed_in_one_process_keeps_the_times_of_the_others() -> None:
    good = paper_row("senet", 2e-3, 1e-3)
    one = processes.merge_rows([replace(good, times={"authors": Time(3e-3, 0.0)}, failed={"ours": "no memory"}), good])
    assert one.times["ours"] == good.times["ours"] and one.times["authors"].median == 2.5e-3
    assert one.failed == {"ours": "no memory"}


def _stored(arguments: tuple[int, bool], path: Path) -> None:
    """Stores a row as a process does, and then fails if `breaks` is true."""
    count, breaks = arguments
    Results(path).add(replace(paper_row("senet", 2e-3, 1e-3), rounds=count))
    if breaks:
        os._exit(3)


def test_rows_of_a_failing_process_are_kept() -> None:
    parts = list(processes.run_processes(2, _stored, (5, False)))
    assert [[row.rounds for row in part.rows.values()] for part in parts] == [[5], [5]]
    several = processes.run_processes(2, _stored, (7, True))
    assert [row.rounds for row in next(several).rows.values()] == [7]
    with pytest.raises(SystemExit, match=r"^process 1 of 2 ended with exit code 3; its rows are kept$"):
        next(several)


def test_medians_of_all_processes_are_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = [results_of(paper_row("senet", 2e-3, ours)) for ours in (1e-3, 4e-3, 2e-3)]
    for part, rate in zip(parts, (2.0, 3.0, 1.0), strict=True):
        part.set_fact("machine cpu", {"name": "one", "bytes_per_second": rate, "flops_per_second": rate})
        part.set_fact("build", rate)
    monkeypatch.setattr(speed, "run_processes", lambda count, measure, args: iter(parts[:count]))
    args = speed.parse_arguments(["--processes", "3", "--json", str(tmp_path / "rows.json")])
    speed.measure_in_processes(args)
    stored = Results(tmp_path / "rows.json")
    (row,) = stored.rows.values()
    assert (row.times["ours"].median, row.processes) == (2e-3, 3)
    assert stored.facts["machine cpu"]["bytes_per_second"] == 3.0 and stored.facts["build"] == 1.0
    assert capsys.readouterr().out.startswith("senet ")


@pytest.mark.exhaustive
def test_processes_measure_one_after_the_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--blocks", "senet", "--rounds", "1", "--seconds", "0", "--processes", "2", "--json", str(tmp_path / "rows.json")]
    assert speed.main(given) == 0
    rows = Results(tmp_path / "rows.json").rows
    assert len(rows) == 4 and all(row.processes == 2 and row.rounds == 2 for row in rows.values())
    assert capsys.readouterr().out.count("2 rounds") == 4
