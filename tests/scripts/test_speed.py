"""scripts/speed.py: its pairs are equal, one that is not is refused, and what it writes says what was measured."""

import json
import os
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import speed
import torch
from timing import builds, clock, compiled, measurement, page, pairs, processes, variants
from timing.clock import WARMUP_ROUNDS, Effort, Time
from timing.results import KINDS, Results, Row

import sefactory as sf

SMALL = (2, 64, 6, 5)


# ---- The gate -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*pairs.SEVEN, "pam"])
def test_the_authors_operations_and_ours_are_one_function(name: str) -> None:
    pairs.check_equal(pairs.paper_pair(name, 64), SMALL)


def test_there_are_seven() -> None:
    assert len(pairs.SEVEN) == 7


def _wrong(name: str, how: str) -> pairs.Pair:
    """A pair whose block is wrong in one thing."""
    pair = pairs.paper_pair(name, 64)
    block = sf.build(pairs.SEVEN[name].config, 64, overrides=[how])
    pair.copy_weights(block, pair.authors.state_dict())
    return pairs.Pair(name, pair.authors, block, tolerance=pair.tolerance, copy_weights=pair.copy_weights)


@pytest.mark.parametrize(
    ("name", "how", "what"),
    [
        ("senet", "gate=tanh", "senet: eval output of ours differs by "),
        ("sknet", "let.m=0.1", "sknet: series.split.parallel.k3.1.running_mean of ours after training differs by "),
        ("triplet", "fuse=sum", "triplet: eval output of ours differs by "),
        ("cbam", "+series.channel.excite.0.mlp.activation=gelu", "cbam: eval output of ours differs by "),
    ],
)
def test_a_wrong_pair_is_refused(name: str, how: str, what: str) -> None:
    with pytest.raises(pairs.MismatchError) as caught:
        pairs.check_equal(_wrong(name, how), SMALL)
    assert str(caught.value).startswith(what)


class Detached(torch.nn.Module):
    """A right output without its gradients."""

    def __init__(self, block: torch.nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.block(x).detach() + 0 * x


def test_a_wrong_gradient_is_refused() -> None:
    pair = pairs.paper_pair("senet", 64)
    with pytest.raises(pairs.MismatchError, match="senet: eval input gradient of ours differs by"):
        pairs.check_equal(pairs.Pair("senet", pair.authors, Detached(pair.ours), copy_weights=pair.copy_weights), SMALL)


def test_what_differs_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measurement, "time_interleaved", None)
    rows = list(measurement.checked_rows(_wrong("senet", "gate=tanh"), "seven", "full", SMALL, measurement.Plan()))
    assert [row.kind for row in rows] == list(KINDS) and not any(row.times for row in rows)
    assert all(row.failed[""].startswith("senet: eval output of ours differs by ") for row in rows)


# ---- Cells ----------------------------------------------------------------------------------------------------------


def _untimed(steps: dict[str, clock.Step], effort: Effort) -> clock.Timings:
    for step in steps.values():
        step.setup()
        step.run()
    return clock.Timings.from_rounds({name: [1.0] for name in steps})


def test_a_cell_has_both_kinds_and_what_is_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measurement, "time_interleaved", _untimed)
    forward, training = measurement.checked_rows(pairs.paper_pair("senet", 64), "seven", "full", SMALL, measurement.Plan())
    assert forward.times.keys() == training.times.keys() == {"authors", "ours"} and not forward.failed
    assert not forward.saved and training.saved["authors"] >= 4 * 2 * 64 * 6 * 5
    assert 2 * 4 * 2 * 64 * 6 * 5 < forward.traffic < training.traffic < 2.6 * forward.traffic
    assert training.operations == 3 * forward.operations > 0


def test_a_column_that_fails_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measurement, "time_interleaved", _untimed)
    monkeypatch.setattr(measurement, "check_equal", lambda pair, shape, device: None)
    pair = pairs.paper_pair("senet", 64)
    pair = pairs.Pair("senet", pair.authors, pair.ours, sf.build("senet", 32))
    forward, training = measurement.checked_rows(pair, "seven", "tiny", SMALL, measurement.Plan())
    assert forward.times.keys() == training.times.keys() == {"authors", "ours"}
    assert forward.failed.keys() == {"plain"} and "expected an input" in forward.failed["plain"]


def test_the_columns_alternate_call_by_call() -> None:
    calls: list[str] = []
    steps = {name: clock.Step(lambda name=name: calls.append(name), lambda: calls.append("-")) for name in "AB"}
    timed = clock.time_interleaved(steps, Effort(rounds=40, seconds=0.0))
    assert timed.rounds == 40 and timed.times.keys() == {"A", "B"} and timed.ratios.keys() == {"A/B", "B/A"}
    text = "".join(calls).replace("-", "")
    assert text[: 2 * WARMUP_ROUNDS] == "A" * WARMUP_ROUNDS + "B" * WARMUP_ROUNDS and "".join(calls) == "-" + "-".join(text)
    assert text[2 * WARMUP_ROUNDS :] in ("AB" * 40, "BA" * 40)


def test_a_ratio_is_of_the_two_of_a_round() -> None:
    """The machine halves its clock in the middle, and once each is interrupted."""
    timed = clock.Timings.from_rounds({"a": [2.0, 2.0, 9.0, 4.0, 4.0], "b": [1.0, 1.0, 1.0, 2.0, 8.0]})
    assert timed.ratios == {"a/b": 2.0, "b/a": 0.5} and timed.rounds == 5
    assert (timed.times["a"].median, timed.times["b"].median) == (4.0, 1.0)
    row = Row("seven", "senet", "cpu", "full", "forward", (1, 2, 3, 4), {"authors": timed.times["a"], "ours": timed.times["b"]})
    assert (row.ratio(), replace(row, ratios={"authors/ours": 2.0}).ratio()) == (4.0, 2.0)
    assert clock.Timings.from_rounds({}) == clock.Timings({}, {}, 0)


def test_what_is_compared_is_timed_two_by_two(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([[4.0, 2.0], [6.0, 3.0], [1.0, 1.0, 1.0]])
    columns = []

    def timed(steps: dict[str, clock.Step], effort: Effort) -> clock.Timings:
        columns.append(list(steps))
        return clock.Timings.from_rounds({name: [t] for name, t in zip(steps, next(times), strict=True)})

    monkeypatch.setattr(measurement, "time_interleaved", timed)
    steps = dict.fromkeys(("authors", "ours", "plain", "authors compiled", "ours compiled", "plain compiled"))
    found = measurement.time_in_groups(steps, measurement.Plan())  # type: ignore[arg-type]
    assert columns == [["authors", "ours"], ["authors", "plain"], ["authors compiled", "ours compiled", "plain compiled"]]
    assert found.times["authors"].median == 4.0 and found.times["plain"].median == 3.0 and found.rounds == 1
    assert found.ratios["authors/ours"] == found.ratios["authors/plain"] == 2.0 and len(found.times) == 6
    assert measurement.time_in_groups({}, measurement.Plan()) == clock.Timings({}, {}, 0)


def test_three_columns_are_in_an_order_of_their_own_each_round() -> None:
    calls: list[str] = []
    clock.time_interleaved(
        {name: clock.Step(lambda name=name: calls.append(name), lambda: None) for name in "ABC"}, Effort(60, 0.0)
    )
    text = "".join(calls[3 * WARMUP_ROUNDS :])
    assert len({text[i : i + 3] for i in range(0, len(text), 3)}) == 6
    assert all("".join(sorted(text[i : i + 3])) == "ABC" for i in range(0, len(text), 3))
    assert not any(first == second for first, second in zip(text, text[1:], strict=False))  # none right behind itself


# ---- Shipped blocks, compiled ---------------------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Graphs instead of native code, run once, on small maps."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    monkeypatch.setattr(measurement, "time_interleaved", _untimed)
    monkeypatch.setattr(compiled, "SIDE", 8)


@pytest.mark.usefixtures("quick")
def test_a_shipped_block_is_compiled_lowered_and_plain() -> None:
    rows = list(compiled.compiled_rows(measurement.Plan(), ["senet"]))
    assert [(row.block, row.size, row.kind) for row in rows] == [
        ("senet", size, kind) for size in ("full", "tiny") for kind in KINDS
    ]
    for row in rows:
        assert row.times.keys() == {"authors compiled", "ours compiled"} and not row.failed, row
        assert row.group == "compiled" and row.shape[-1] == (8 if row.size == "full" else 7)


@pytest.mark.usefixtures("quick")
def test_a_block_that_cannot_be_built_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = compiled.block_pair
    monkeypatch.setattr(compiled, "block_pair", lambda name: pair({"senet": "no such block"}.get(name, name)))
    rows = list(compiled.compiled_rows(measurement.Plan(), ["senet", "unit"]))
    assert [row.block for row in rows] == ["senet"] * 4 + ["unit"] * 4
    assert all(row.failed[""] and not row.times for row in rows[:4]) and all(row.times for row in rows[4:])


@pytest.mark.usefixtures("quick")
def test_a_block_whose_forms_differ_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "copy_state", lambda block, state: None)
    rows = list(compiled.compiled_rows(measurement.Plan(), ["senet"]))
    assert [row.failed[""].split(" by ")[0] for row in rows] == ["senet: eval output of ours differs"] * 4


# ---- Variants and builds --------------------------------------------------------------------------------------------


def test_variants_are_no_papers_and_the_same_every_time() -> None:
    first, second = ([pair.name for pair in variants.random_pairs(5, 16, 8)] for _ in range(2))
    assert first == second and len(set(first)) == 5
    assert len(variants.combinations()) == 12 * 7 * 5 - len(variants.PAPER_COMBINATIONS)
    assert variants.PAPER_COMBINATIONS.isdisjoint(variants.combinations())
    for pair in variants.random_pairs(5, 16, 8):
        pairs.check_equal(pair, (2, 16, 8, 8))


def test_build_times_are_measured_for_each_config() -> None:
    assert builds.build_seconds("wall", ["senet"], 32).keys() == {"senet"}
    assert builds.meta_builds_per_minute("cpu", 0.02, 32)["built"] > 0


# ---- Results and the page -------------------------------------------------------------------------------------------


def _row(block: str, authors: float, ours: float, size: str = "full", kind: str = "forward", group: str = "seven") -> Row:
    times = {"authors": Time(authors, 0.0), "ours": Time(ours, 1e-4)}
    return Row(group, block, "cpu", size, kind, (8, 128, 56, 56), times, {}, 1e6, 1e6, 15)


def _results(*rows: Row, path: Path | None = None) -> Results:
    results = Results(path)
    about = {
        "name": "A Processor",
        "torch": "2.13",
        "python": "3.11",
        "threads": 1,
        "clock": "wall",
        "allocator": "default",
        "date": "today",
    }
    results.set_fact("machine cpu", {**about, "allocator": "default", "bytes_per_second": 1e9, "flops_per_second": 1e10})
    for row in rows:
        results.add(row)
    return results


def test_the_page_has_ratios_their_mean_and_what_is_slower() -> None:
    text = page.page(_results(_row("senet", 4e-3, 1e-3), _row("cbam", 1e-3, 1e-3), _row("cam", 1e-3, 2e-3, "tiny")))
    assert "| `senet` | 8x128x56x56 | 4 (0) | 1 (0.1) | 4.00 | - | 1 | 100 % |" in text
    assert "| Forward | **2.00** | 1.00 (cbam) | - | - |" in text
    assert "- `cam`, tiny forward: 0.50 of the speed of the authors\n" in text and "`cbam`, forward: " not in text
    assert "- A Processor: torch 2.13, Python 3.11, 1 thread, wall clock, malloc default, 1.0 GB/s, 10 GFLOP/s, today\n" in text
    assert "## Building" not in text and "### Compiled" not in text


def test_the_page_has_what_else_was_measured() -> None:
    row = _row("senet", 4e-3, 2e-3, kind="training")
    row.times.update({"plain": Time(4e-3, 0.0), "authors compiled": Time(3e-3, 0.0), "ours compiled": Time(1e-3, 0.0)})
    row.saved.update({"authors": 30_000_000, "ours": 20_000_000})
    results = _results(row, _row("a b c", 3e-3, 1e-3, group="variants"))
    results.set_fact("build", {"senet": 1e-3, "cbam": 3e-3})
    results.set_fact("meta", {"per_minute": 6000.0})
    results.set_fact("pam cpu", {"authors": 4e9, "ours": 1e9})
    text = page.page(results)
    assert "| `senet` | 30.0 | 20.0 | 12.8 |" in text
    assert "| `senet`, training | 3 (0) | 1 (0) | 3.00 | 1.50 | - | 4.00 |" in text
    assert "| Training | **2.00** | 2.00 (senet) | 1.00 | 3.00 |" in text
    assert "| `a b c` | 3.00 |" in text and "| **lowest** | 3.00 |" in text
    assert "configs takes 2.0 ms (median)" in text and "6,000 variants a minute" in text
    assert "authors 4,000 MB, ours 1,000 MB" in text and "Nothing." in text


def _both_compiled(block: str, plain: float, lowered: float, size: str, kind: str) -> Row:
    times = {"authors compiled": Time(plain, 0.0), "ours compiled": Time(lowered, 0.0)}
    return Row("compiled", block, "cpu", size, kind, (8, 128, 56, 56), times)


def test_the_page_has_every_shipped_block_compiled() -> None:
    rows = [
        _both_compiled("senet", 2e-3, 1e-3, "full", "forward"),
        _both_compiled("senet", 1e-3, 1e-3, "tiny", "training"),
        _both_compiled("lsk", 1e-3, 2e-3, "full", "forward"),
        Row("compiled", "pa", "cpu", "full", "forward", (8, 128, 56, 56), failed={"ours compiled": "no compiler"}),
    ]
    text = page.page(_results(*rows))
    head = "| block | forward | tiny training |\n| --- | ---: | ---: |\n"
    assert head + "| `senet` | 2.00 | 1.00 |\n| `lsk` | 0.50 | - |\n| `pa` | - | - |\n" in text
    assert "| **geometric mean** | 1.00 | 1.00 |\n| **lowest** | 0.50 | 1.00 |\n" in text
    assert "Ratios of medians, from an earlier measurement: `senet`, `lsk`.\n" in text
    assert "- `pa` ours compiled: no compiler\n" in text
    assert "- `lsk`, forward: 0.50 of the speed of plain, both compiled\n" in text
    paired = [replace(row, ratios={"authors compiled/ours compiled": 3.0}) for row in rows[:2]]
    text = page.page(_results(*paired))
    assert "| `senet` | 3.00 | 3.00 |" in text and "earlier measurement" not in text
    assert "### Every shipped block" not in page.page(_results(_row("senet", 1e-3, 1e-3)))


def test_the_page_says_what_was_refused() -> None:
    text = page.page(_results(Row("seven", "senet", "cpu", "full", "forward", (1, 2, 3, 4), failed={"": "they differ"})))
    assert "- `senet` refused: they differ\n" in text and "| `senet` | 1x2x3x4 | - | - | - | - | - | - |" in text


def test_rows_stay_on_disk_and_are_replaced_when_measured_again(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    _results(_row("senet", 4e-3, 1e-3), _row("cbam", 1e-3, 1e-3), path=path)
    again = Results(path)
    assert again.rows == _results(_row("senet", 4e-3, 1e-3), _row("cbam", 1e-3, 1e-3)).rows
    again.add(_row("senet", 4e-3, 2e-3))
    assert [row["block"] for row in json.loads(path.read_text())["rows"]] == ["senet", "cbam"]
    assert Results(path).rows["seven/senet/cpu/full/forward"].ratio() == 2.0


def test_rows_of_several_processes_are_merged_to_medians() -> None:
    """Of the ratios of each process, not the ratio of medians; and every process counts once, however many rounds it had."""
    rows = [
        replace(_row("senet", ours * 2, ours), ratios={"authors/ours": ratio}, rounds=rounds)
        for ours, ratio, rounds in ((1e-3, 1.0, 10), (2e-3, 0.5, 90), (4e-3, 1.1, 20))
    ]
    one = processes.merge_rows(rows)
    assert (one.times["ours"].median, one.times["authors"].median) == (2e-3, 4e-3)
    assert (one.ratio(), one.rounds, one.processes) == (1.0, 120, 3)
    text = page.page(_results(one))
    assert "\nMedians over several processes, which differ in memory addresses. Number of processes: seven 3.\n" in text
    assert "Number of processes" not in page.page(_results(rows[0]))
    mixed = page.page(_results(one, replace(rows[0], block="cbam"), replace(rows[0], group="variants")))
    assert " Number of processes: seven 1 or 3, variants 1.\n" in mixed


def test_a_column_that_failed_in_one_process_keeps_the_times_of_the_others() -> None:
    good = _row("senet", 2e-3, 1e-3)
    one = processes.merge_rows([replace(good, times={"authors": Time(3e-3, 0.0)}, failed={"ours": "no memory"}), good])
    assert one.times["ours"] == good.times["ours"] and one.times["authors"].median == 2.5e-3
    assert one.failed == {"ours": "no memory"}


def _stored(arguments: tuple[int, bool], path: Path) -> None:
    """Stores a row as a process does, and then fails if `breaks` is true."""
    count, breaks = arguments
    Results(path).add(replace(_row("senet", 2e-3, 1e-3), rounds=count))
    if breaks:
        os._exit(3)


def test_rows_of_a_process_that_breaks_off_are_kept() -> None:
    parts = list(processes.run_processes(2, _stored, (5, False)))
    assert [[row.rounds for row in part.rows.values()] for part in parts] == [[5], [5]]
    several = processes.run_processes(2, _stored, (7, True))
    assert [row.rounds for row in next(several).rows.values()] == [7]
    with pytest.raises(SystemExit, match=r"^process 1 of 2 ended with exit code 3; its rows are kept$"):
        next(several)


@pytest.mark.exhaustive
def test_processes_measure_one_after_the_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--blocks", "senet", "--rounds", "1", "--seconds", "0", "--processes", "2", "--json", str(tmp_path / "rows.json")]
    assert speed.main(given) == 0
    rows = Results(tmp_path / "rows.json").rows
    assert len(rows) == 4 and all(row.processes == 2 and row.rounds == 2 for row in rows.values())
    assert capsys.readouterr().out.count("2 rounds") == 4


def test_fewer_than_one_process_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        speed.parse_arguments(["--processes", "0"])
    assert "error: --processes: 0 is not at least 1" in capsys.readouterr().err


def test_the_page_alone_is_written_from_the_file(tmp_path: Path) -> None:
    _results(_row("senet", 4e-3, 1e-3), path=tmp_path / "rows.json")
    code = speed.main(["--blocks", "none", "--json", str(tmp_path / "rows.json"), "--write", str(tmp_path / "speed.md")])
    assert code == 0 and (tmp_path / "speed.md").read_text() == page.page(Results(tmp_path / "rows.json"))


def test_all_shipped_blocks_are_compiled_or_those_that_are_named() -> None:
    assert speed.parse_arguments(["--compiled-blocks", "all"]).compiled_blocks == sf.configs()
    assert speed.parse_arguments(["--compiled-blocks", "lsk,senet"]).compiled_blocks == ["lsk", "senet"]
    assert speed.parse_arguments([]).compiled_blocks == []


def test_a_block_that_is_not_shipped_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        speed.parse_arguments(["--compiled-blocks", "senet,senett"])
    assert "--compiled-blocks: senett is none of a2net, bam, " in capsys.readouterr().err


def test_an_unknown_block_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        speed.parse_arguments(["--blocks", "senet,senett"])
    assert "--blocks: senett is none of senet, cbam, coordatt, triplet, sknet, seaformer, danet" in capsys.readouterr().err
