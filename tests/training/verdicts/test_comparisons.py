"""Verdicts from results: when there are any, against what, and which runs count."""

from dataclasses import replace

import numpy as np
import pytest

from sefactory.training.runs.results import Result
from sefactory.training.verdicts.comparisons import Verdicts, judge
from sefactory.training.verdicts.tables import group_results
from tests.training.verdicts.results import result

EFFECTS = {"plain": 80.0, "better": 84.0, "worse": 76.0, "alike": 80.1}


def study(effects: dict[str, float] = EFFECTS, seeds: int = 8, static: dict[str, float] | None = None) -> list[Result]:
    """Runs with errors of standard deviation 0.5, and 2 for what a seed does to all."""
    rng = np.random.default_rng(0)
    common = 2 * rng.standard_normal(seeds)
    runs = [result(k, i, v + common[i] + 0.5 * rng.standard_normal()) for i in range(seeds) for k, v in effects.items()]
    for label, value in (static or {}).items():
        runs += [result(label, i, value + common[i] + 0.5 * rng.standard_normal(), static=True) for i in range(seeds)]
    return runs


def verdicts(results: list[Result]) -> Verdicts:
    (setting,) = group_results(results)
    return judge(setting)


def words(found: Verdicts, family: str = "against_baseline") -> dict[str, str]:
    return {c.key.removeprefix("digest of "): c.word for c in getattr(found, family).comparisons}


def test_what_helps_hurts_and_is_not_detected() -> None:
    found = verdicts(study())
    assert found.reason == "" and found.seeds == tuple(range(8)) and found.left_out == ()
    assert words(found) == {"better": "helps", "worse": "hurts", "alike": "not detected"}
    assert found.against_control is None and found.analysis is not None and found.analysis.correlation > 0.8
    assert found.against_baseline is not None and 0.5 < found.against_baseline.detectable < 1.5
    for comparison in found.against_baseline.comparisons:
        assert comparison.low < comparison.difference < comparison.high


def test_a_variant_that_helps_without_looking() -> None:
    found = verdicts(study(static={"better": 84.0, "alike": 78.0}))
    assert words(found) == {"better": "helps", "worse": "hurts", "alike": "not detected"}
    assert words(found, "against_control") == {"better": "not detected", "alike": "helps"}


def test_the_order_of_the_runs_does_not_matter() -> None:
    runs = study(static={"better": 83.0})
    assert verdicts(runs[::-1]) == verdicts(runs)


WITHOUT = {
    "validation": (
        [result(label, seed, 80.0 + seed, test=False) for label in ("plain", "a") for seed in range(8)],
        "these are scores of the validation images, by which variants are chosen: confirm with test=true and other seeds",
    ),
    "no baseline": (
        [run for run in study() if run.label != "plain"],
        "there are no runs without a block: train them with the same seeds",
    ),
    "few seeds": (
        study(seeds=4),
        "no variant has 5 seeds in common with the network without blocks: add seeds, or screen first",
    ),
    "many variants": (
        study({"plain": 80.0} | {f"v{i}": 80.0 for i in range(11)}),
        "11 variants are more than 10: screen them first, and confirm the best",
    ),
    "baseline diverged": (
        [*study(), result("plain", 8, None)],
        "the network without blocks diverged: choose a smaller learning rate",
    ),
    "baseline alone": (
        [run for run in study() if run.label == "plain"],
        "no variant has 5 seeds in common with the network without blocks: add seeds, or screen first",
    ),
}


@pytest.mark.parametrize("case", WITHOUT)
def test_there_is_no_verdict(case: str) -> None:
    runs, reason = WITHOUT[case]
    found = verdicts(runs)
    assert found.reason == reason and (found.against_baseline is None or not found.against_baseline.comparisons)


@pytest.mark.parametrize("case", ["validation", "few seeds", "many variants"])
def test_without_verdicts_a_plan_says_what_can_be_seen(case: str) -> None:
    found = verdicts(WITHOUT[case][0])
    assert found.analysis is not None and found.against_baseline is not None
    assert found.against_baseline.detectable >= 0 and len(found.against_baseline.seeds_needed) == 3


@pytest.mark.parametrize("case", ["no baseline", "baseline diverged", "baseline alone"])
def test_without_a_baseline_there_is_no_plan(case: str) -> None:
    assert verdicts(WITHOUT[case][0]).analysis is None


def test_variants_that_are_left_out() -> None:
    runs = study(static={"better": 83.0, "alike": 80.0})
    runs = [run for run in runs if not (run.label == "alike" and run.static and run.seed == 3)]
    runs += [result("lost", seed, None if seed == 2 else 80.0) for seed in range(8)]
    runs += [result("few", seed, 80.0 + seed) for seed in range(3)]
    found = verdicts(runs)
    assert dict(found.left_out) == {
        "lost": "1 of 8 runs diverged",
        "few": "has scores of 3 seeds that the others have too, of 6 that are needed",
        "alike with static gates": "has scores of 7 seeds that the others have too, of 8 that are needed",
    }
    assert set(words(found)) == {"better", "worse", "alike"} and set(words(found, "against_control")) == {"better"}


def test_a_missing_run_costs_its_seed() -> None:
    runs = [run for run in study() if (run.label, run.seed) != ("worse", 3)]
    assert verdicts(runs).seeds == (0, 1, 2, 4, 5, 6, 7)


def test_a_variant_with_few_seeds_does_not_cost_the_others_theirs() -> None:
    common = [r for r in study(seeds=10) if r.label == "plain" or (r.seed < 5 if r.label != "worse" else r.seed > 4)]
    found = verdicts(common)
    assert [label for label, _ in found.left_out] == ["worse"] and set(words(found)) == {"better", "alike"}
    late = [result("late", seed, 80.0) for seed in range(5)]
    found = verdicts([*study(), *late])
    assert found.left_out == (("late", "has scores of 5 seeds that the others have too, of 6 that are needed"),)
    assert len(found.seeds) == 8


def test_a_diverged_run_is_the_reason_that_is_given() -> None:
    runs = [r for r in study() if r.label in ("plain", "alike")] + [result("alike", 8, None), result("plain", 8, 80.0)]
    assert verdicts(runs).left_out == (("alike", "1 of 9 runs diverged"),)


def test_variants_of_one_label_are_told_apart() -> None:
    runs = [*study(), *(replace(run, variant="other", run=f"{run.run}-2") for run in study() if run.label == "alike")]
    (setting,) = group_results(runs)
    assert [variant.label for variant in setting.variants] == ["plain", "alike", "alike (2)", "better", "worse"]


def test_settings_are_not_mixed() -> None:
    screen = [result(label, seed + 1000, 80.0, test=False) for label in ("plain", "better") for seed in range(2)]
    settings = group_results([*screen, *study(), *(result(label, 0, 50.0, setting="b") for label in ("plain", "other"))])
    assert [(s.example.scored_test, len(s.variants)) for s in settings] == [(True, 4), (True, 2), (False, 2)]
    assert all(setting.baseline is setting.variants[0] for setting in settings)
