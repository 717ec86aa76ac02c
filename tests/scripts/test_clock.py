"""Interleaved timing, and the ratio of two steps."""

from dataclasses import replace

from timing import clock
from timing.clock import WARMUP_ROUNDS, Effort
from timing.results import Row


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


def test_three_columns_are_in_an_order_of_their_own_each_round() -> None:
    calls: list[str] = []
    clock.time_interleaved(
        {name: clock.Step(lambda name=name: calls.append(name), lambda: None) for name in "ABC"}, Effort(60, 0.0)
    )
    text = "".join(calls[3 * WARMUP_ROUNDS :])
    assert len({text[i : i + 3] for i in range(0, len(text), 3)}) == 6
    assert all("".join(sorted(text[i : i + 3])) == "ABC" for i in range(0, len(text), 3))
    assert not any(first == second for first, second in zip(text, text[1:], strict=False))  # none right behind itself
