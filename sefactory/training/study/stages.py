"""The stages of a study: which runs come next, given the results so far."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from ..runs.config import RunConfig
from ..runs.results import Result
from .config import FIRST_SCREEN_SEED, Screen, StudyConfig


def screen_runs(study: StudyConfig, labels: Sequence[str], screen: Screen) -> list[RunConfig]:
    """The runs of the screen at the largest budget, seed by seed, with validation scores alone."""
    seeds = range(FIRST_SCREEN_SEED, FIRST_SCREEN_SEED + screen.seeds)
    runs = [study.baseline, *(study.variants[label] for label in labels)]
    return [with_budget(replace(run, seed=seed), study.budgets[-1]) for seed in seeds for run in runs]


def choose(labels: Sequence[str], results: Iterable[tuple[str, Result]], keep: int) -> list[str]:
    """The variants with the best mean validation scores, in the order of the study. A variant with a diverged run is out.

    `results` are pairs of a label of the study and a result, which may have been stored under another label.
    """
    scores: dict[str, list[float | None]] = {label: [] for label in labels}
    for label, result in results:
        if label in scores:
            scores[label].append(result.score)
    means = {}
    for label, values in scores.items():
        finished = [value for value in values if value is not None]
        if finished and len(finished) == len(values):
            means[label] = sum(finished) / len(finished)
    best = sorted(means, key=lambda label: -means[label])[:keep]
    return [label for label in labels if label in best]


def confirm_runs(study: StudyConfig, labels: Sequence[str], without_gates: Sequence[str] = ()) -> list[RunConfig]:
    """The runs of the confirmation with test scores: budget by budget, and seed by seed in each.

    `without_gates` are the variants that have no static control.
    """
    runs = []
    for budget in study.budgets:
        with_controls = study.controls and budget == study.budgets[-1]
        variants = [study.baseline, *(study.variants[label] for label in labels)]
        if with_controls:
            variants += [replace(study.variants[label], static=True) for label in labels if label not in without_gates]
        runs += [with_budget(replace(run, seed=seed, test=True), budget) for seed in range(study.seeds) for run in variants]
    return runs


def with_budget(run: RunConfig, image_passes: int) -> RunConfig:
    """The run with another budget."""
    return replace(run, recipe={**run.recipe, "image_passes": image_passes})
