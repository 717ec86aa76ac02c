"""The stages of a study: which runs they have, and which variants go on."""

from sefactory.training.study.config import FIRST_SCREEN_SEED, read_study
from sefactory.training.study.stages import choose, confirm_runs, screen_runs
from tests.training.study.test_config import STUDY
from tests.training.verdicts.results import result

SCREENED = read_study(STUDY | {"screen": {"seeds": 2, "keep": 2}, "budgets": [128, 512], "confirm": {"seeds": 3}})


def test_the_screen_has_seeds_of_its_own_and_no_test_images() -> None:
    assert SCREENED.screen is not None
    runs = screen_runs(SCREENED, ["se", "ecanet"], SCREENED.screen)
    assert [(run.label, run.seed) for run in runs] == [
        (label, FIRST_SCREEN_SEED + seed) for seed in range(2) for label in ("plain", "se", "ecanet")
    ]
    assert all(run.recipe["image_passes"] == 512 and not run.test and not run.static for run in runs)


def test_the_confirmation_has_controls_at_the_largest_budget() -> None:
    runs = confirm_runs(SCREENED, ["se", "mine"], without_gates=["mine"])
    found = [(run.recipe["image_passes"], run.seed, run.label, run.static) for run in runs]
    small = [(128, seed, label, False) for seed in range(3) for label in ("plain", "se", "mine")]
    both = (("plain", False), ("se", False), ("mine", False), ("se", True))
    assert found == small + [(512, seed, *which) for seed in range(3) for which in both] and all(run.test for run in runs)
    assert not any(run.static for run in confirm_runs(read_study(STUDY | {"controls": False}), ["se"]))


def test_the_best_by_validation_scores_go_on_in_the_order_of_the_study() -> None:
    scores = {"a": (70, 74), "b": (80, 81), "c": (75, 76), "d": (99, None)}
    results = [
        (label, result(f"stored as {label}", seed, score, test=False))
        for label, values in scores.items()
        for seed, score in enumerate(values)
    ]
    results += [("plain", result("plain", 0, 100.0, test=False))]
    assert choose(["a", "b", "c", "d"], results, 2) == ["b", "c"]
    assert choose(["c", "b"], results, 5) == ["c", "b"] and choose(["missing"], results, 1) == []
