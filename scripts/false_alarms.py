"""How often a study without any effect calls a variant different, and how often it finds a planted effect.

    python scripts/false_alarms.py [--studies 2000] [--runs results.csv]

Scores are drawn, and judged as `sefactory report` judges them. `--runs` adds studies that are drawn from the scores of real
runs: the column `score` of the rows whose block is `plain`.
"""

import argparse
import csv
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sefactory.training.verdicts.critical_values import SHARED_BASELINE
from sefactory.training.verdicts.two_way import TwoWay

Draw = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]
SEED_STD = 1.0
"""The standard deviation of what a seed does to all variants, in standard deviations of a run."""


def normal(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Normal errors with standard deviation 1."""
    return rng.standard_normal(shape)


def heavy_tails(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Errors of Student's t with 4 degrees of freedom, with standard deviation 1."""
    return rng.standard_t(4, shape) / np.sqrt(2)


def unequal(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Normal errors whose standard deviation is 1.5, 1 or 1 / 1.5, drawn for each variant."""
    return rng.standard_normal(shape) * rng.choice([1.5, 1.0, 1 / 1.5], (1, shape[1]))


def resampled(scores: np.ndarray) -> Draw:
    """Errors drawn from the scores of real runs, with standard deviation 1."""
    errors = (scores - scores.mean()) / scores.std(ddof=1)
    return lambda rng, shape: rng.choice(errors, shape)


def different(scores_NK: np.ndarray) -> np.ndarray:
    """True for each variant that is called different from the baseline, the first column."""
    analysis = TwoWay.of(scores_NK.tolist())
    differences = np.array(analysis.means[1:]) - analysis.means[0]
    return np.abs(differences) > analysis.half_width(len(differences), SHARED_BASELINE)


class Scenario(NamedTuple):
    """Studies of a baseline and so many variants, of which one is better by `effect` standard deviations of a run."""

    name: str
    variants: int
    seeds: int
    draw: Draw = normal
    effect: float = 0.0


def rate(scenario: Scenario, studies: int, seed: int = 0) -> float:
    """The share of studies that call any variant different; with an effect, that find the variant that has it."""
    rng, count = np.random.default_rng(seed), 0
    for _ in range(studies):
        shape = (scenario.seeds, scenario.variants + 1)
        scores = scenario.draw(rng, shape) + SEED_STD * rng.standard_normal((scenario.seeds, 1))
        scores[:, -1] += scenario.effect
        found = different(scores)
        count += bool(found[-1]) if scenario.effect else bool(found.any())
    return count / studies


def screened_rate(effect: float, studies: int, seed: int = 0) -> float:
    """As `rate`, for 30 variants that are screened with 2 seeds, of which 4 are confirmed with 8 other seeds."""
    variants, screen_seeds, kept, seeds = 30, 2, 4, 8
    rng, count = np.random.default_rng(seed), 0
    for _ in range(studies):
        true = np.zeros(variants)
        true[-1] = effect
        screen = true + rng.standard_normal((screen_seeds, variants)) + SEED_STD * rng.standard_normal((screen_seeds, 1))
        best = np.argsort(-screen.mean(0))[:kept]
        scores = rng.standard_normal((seeds, kept + 1)) + SEED_STD * rng.standard_normal((seeds, 1))
        scores[:, 1:] += true[best]
        found = different(scores)
        count += bool(found[best == variants - 1].any()) if effect else bool(found.any())
    return count / studies


SCENARIOS = (
    Scenario("equal variants, normal errors", 8, 5),
    Scenario("equal variants, heavy tails (t, 4 degrees)", 8, 5, heavy_tails),
    Scenario("equal variants, spreads times or divided by 1.5", 8, 5, unequal),
    Scenario("ten equal variants, spreads times or divided by 1.5", 10, 8, unequal),
    Scenario("one better by 3 standard deviations", 8, 5, effect=3.0),
    Scenario("one better by 2 standard deviations", 8, 8, effect=2.0),
)


def read_scores(file: Path) -> np.ndarray:
    """The scores of the runs without a block in a results.csv."""
    with file.open(encoding="utf-8", newline="") as lines:
        return np.array([float(row["score"]) for row in csv.DictReader(lines) if row["block"] == "plain" and row["score"]])


def main() -> None:
    """Prints a table of Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--runs", type=Path)
    options = parser.parse_args()
    scenarios = list(SCENARIOS)
    if options.runs:
        scores = read_scores(options.runs)
        scenarios.insert(1, Scenario(f"equal variants, drawn from {len(scores)} real runs", 8, 5, resampled(scores)))
    print("| study | variants | seeds | false alarms | found |\n| --- | ---: | ---: | ---: | ---: |")
    for scenario in scenarios:
        share = f"{100 * rate(scenario, options.studies):.1f} %"
        cells = ("", share) if scenario.effect else (share, "")
        print(f"| {scenario.name} | {scenario.variants} | {scenario.seeds} | {cells[0]} | {cells[1]} |")
    for effect in (0.0, 2.0):
        share = f"{100 * screened_rate(effect, options.studies):.1f} %"
        name = f"one better by {effect:g} standard deviations" if effect else "equal variants"
        cells = ("", share) if effect else (share, "")
        print(f"| {name}: 30 screened with 2 seeds, 4 confirmed | 4 | 8 | {cells[0]} | {cells[1]} |")


if __name__ == "__main__":
    main()
