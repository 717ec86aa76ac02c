"""Comparisons of two results: ratios, intervals, verdicts, and what the times do not show."""

import math
from dataclasses import replace

import pytest

from sefactory.bench.compare import environment_differences, paired_times, remarks
from sefactory.bench.results import Results, Row, refused_row
from tests.bench.rows import ENVIRONMENT, SHAPES, row, seven


def timed(seconds: float, interval_s: float | None, name: str = "senet") -> Row:
    """A row with a forward time alone."""
    return replace(row(name), forward_s=seconds, forward_interval_s=interval_s, train_s=None)


def results(*rows: Row, **configs: str) -> Results:
    return Results(rows, ENVIRONMENT, configs)


@pytest.mark.parametrize(
    ("seconds", "interval_s", "verdict"),
    [
        (0.8, 0.03, "faster"),
        (1.2, 0.03, "slower"),
        (1.03, 0.03, "no difference shown"),
        (0.97, 0.03, "no difference shown"),
        (0.8, 0.3, "no difference shown"),
        (0.8, None, "no interval"),
    ],
)
def test_the_verdict_depends_on_the_interval_of_the_ratio(seconds: float, interval_s: float | None, verdict: str) -> None:
    (pair,) = paired_times(results(timed(1.0, 0.04)), results(timed(seconds, interval_s)))
    assert (pair.ratio, pair.verdict, pair.mode) == (seconds, verdict, "forward")
    expected = None if interval_s is None else seconds * math.sqrt(0.04**2 + (interval_s / seconds) ** 2)
    assert pair.ratio_interval == (None if expected is None else pytest.approx(expected))


def test_the_same_results_show_no_difference() -> None:
    pairs = paired_times(Results(seven(), {}), Results(seven(), {}))
    assert len(pairs) == 7 * 4 * 2 and {pair.verdict for pair in pairs} == {"no difference shown"}
    assert [pair.block for pair in pairs[:4]] == ["senet", "senet", "sknet", "sknet"]
    assert list(remarks(Results(seven(), {}), Results(seven(), {}))) == []


def test_exchanged_results_give_the_opposite_verdict() -> None:
    a, b = results(timed(1.0, 0.01)), results(timed(2.0, 0.01))
    assert [paired_times(*pair)[0].verdict for pair in ((a, b), (b, a))] == ["slower", "faster"]


def test_rows_are_paired_by_block_and_shape() -> None:
    a, b = results(row("senet"), row("cbam"), row("a")), results(row("senet", SHAPES[1]), row("b"), row("cbam"))
    assert [(pair.block, pair.shape) for pair in paired_times(a, b)] == 2 * [("cbam", "8x256x56x56")]
    assert list(remarks(a, b)) == [
        "only in A: senet 8x256x56x56, a 8x256x56x56",
        "only in B: senet 8x512x28x28, b 8x256x56x56",
    ]


def test_marks_of_both_sides_are_kept() -> None:
    a, b = (results(replace(row("senet"), marks=[text])) for text in ("load", "one round"))
    assert {(*pair.a_marks, *pair.b_marks) for pair in paired_times(a, b)} == {("load", "one round")}


def test_missing_times_have_their_reason() -> None:
    a = results(row("senet"), timed(1.0, None, "cbam"), refused_row("x", SHAPES[0], "no fit"))
    b = results(refused_row("senet", SHAPES[0], "no fit"), row("cbam"), refused_row("x", SHAPES[0], "no fit"))
    assert list(remarks(a, b)) == [
        "no forward and training time in B: senet 8x256x56x56: refused: no fit",
        "no training time in A: cbam 8x256x56x56",
        "no forward and training time in A and B: x 8x256x56x56: refused: no fit",
    ]


def test_blocks_that_are_not_the_same_are_named_once() -> None:
    a = results(*(row(name, shape) for name in ("senet", "cbam", "sknet") for shape in SHAPES[:2]), cbam="x", sknet="x")
    b = results(*(replace(r, parameters=5) if r.block == "senet" else r for r in a.rows), cbam="y", sknet="x")
    assert list(remarks(a, b)) == [
        "senet is another block in B: 811,264 parameters in A, 5 in B at 8x256x56x56",
        "senet is another block in B: 811,264 parameters in A, 5 in B at 8x512x28x28",
        "cbam has another config in B",
    ]


def test_interruptions_are_said() -> None:
    a, b = results(row("a")), replace(results(row("a")), interrupted="cut off at x")
    assert list(remarks(a, b)) == ["B was interrupted: cut off at x"]


def test_differences_of_the_environments() -> None:
    a, b = Results([], {"torch": "2.8.0", "cores": 2, "load": 0.5}), Results([], {"torch": "2.13.0", "cores": 2, "x": 1})
    assert environment_differences(a, b) == {"torch": ("2.8.0", "2.13.0"), "load": ("0.5", ""), "x": ("", "1")}
