"""Rows of a pair at one shape, compiled blocks, variants and builds."""

from functools import partial

import pytest
import torch
from timing import builds, clock, compiled, measurement, pairs, variants
from timing.clock import Effort
from timing.results import KINDS

import sefactory as sf
from tests.scripts.pairs import SMALL, run_untimed, wrong_pair


def test_different_results_are_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measurement, "time_interleaved", None)
    rows = list(measurement.checked_rows(wrong_pair("senet", "gate=tanh"), "seven", "full", SMALL, measurement.Plan()))
    assert [row.kind for row in rows] == list(KINDS) and not any(row.times for row in rows)
    assert all(row.failed[""].startswith("senet: eval output of ours differs by ") for row in rows)


def test_a_cell_has_both_kinds_and_what_is_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measurement, "time_interleaved", run_untimed)
    forward, training = measurement.checked_rows(pairs.paper_pair("senet", 64), "seven", "full", SMALL, measurement.Plan())
    assert forward.times.keys() == training.times.keys() == {"authors", "ours"} and not forward.failed
    assert not forward.saved and training.saved["authors"] >= 4 * 2 * 64 * 6 * 5
    assert 2 * 4 * 2 * 64 * 6 * 5 < forward.traffic < training.traffic < 2.6 * forward.traffic
    assert training.operations == 3 * forward.operations > 0


def test_a_column_that_fails_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measurement, "time_interleaved", run_untimed)
    monkeypatch.setattr(measurement, "check_equal", lambda pair, shape, device: None)
    pair = pairs.paper_pair("senet", 64)
    pair = pairs.Pair("senet", pair.authors, pair.ours, sf.build("senet", 32))
    forward, training = measurement.checked_rows(pair, "seven", "tiny", SMALL, measurement.Plan())
    assert forward.times.keys() == training.times.keys() == {"authors", "ours"}
    assert forward.failed.keys() == {"plain"} and "expected an input" in forward.failed["plain"]


def test_comparisons_are_timed_in_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
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


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Graphs instead of native code, run once, on small maps."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    monkeypatch.setattr(measurement, "time_interleaved", run_untimed)
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


def test_variants_are_reproducible() -> None:
    first, second = ([pair.name for pair in variants.random_pairs(5, 16, 8)] for _ in range(2))
    assert first == second and len(set(first)) == 5
    assert len(variants.combinations()) == 12 * 7 * 5 - len(variants.PAPER_COMBINATIONS)
    assert variants.PAPER_COMBINATIONS.isdisjoint(variants.combinations())
    for pair in variants.random_pairs(5, 16, 8):
        pairs.check_equal(pair, (2, 16, 8, 8))


def test_build_times_are_measured_for_each_config() -> None:
    assert builds.build_seconds("wall", ["senet"], 32).keys() == {"senet"}
    assert builds.meta_builds_per_minute("cpu", 0.02, 32)["built"] > 0
