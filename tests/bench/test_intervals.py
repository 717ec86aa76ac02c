"""Confidence intervals of medians against their definition."""

import math
import random
from statistics import median

import pytest

from sefactory.bench.intervals import CONFIDENCE, fewest_values, median_interval


def level(count: int, rank: int) -> float:
    """The probability that the median is between the rank-th smallest and largest of so many values."""
    return 1 - 2 * sum(math.comb(count, i) for i in range(rank)) / 2**count


@pytest.mark.parametrize("count", range(1, 60))
def test_the_interval_is_the_narrowest_at_its_level(count: int) -> None:
    values = [float(i * i) for i in range(count)]
    random.Random(0).shuffle(values)
    ranks = [rank for rank in range(1, count // 2 + 1) if level(count, rank) >= CONFIDENCE]
    expected = ((count - ranks[-1]) ** 2 - (ranks[-1] - 1) ** 2) / 2 if ranks else None
    assert median_interval(values) == expected
    assert (expected is None) == (count < 8)


def test_the_fewest_values_with_an_interval() -> None:
    assert fewest_values() == 8
    assert median_interval([1.0] * 7) is None and median_interval([1.0] * 8) == 0.0


def test_two_disturbed_rounds_of_fifteen_do_not_widen_it() -> None:
    quiet = [1.0 + i / 100 for i in range(13)]
    assert median_interval([*quiet, 50.0, 90.0]) == pytest.approx(0.05)
    assert median_interval([*quiet, 50.0, 90.0, 70.0]) > 20.0  # type: ignore[operator]


@pytest.mark.parametrize("noise", ["normal", "skewed", "disturbed"])
def test_two_measurements_of_one_thing_agree_within_it(noise: str) -> None:
    generator = random.Random(noise)

    def rounds() -> list[float]:
        times = [100 + generator.gauss(0, 1) for _ in range(15)]
        if noise == "skewed":
            times = [100 + generator.lognormvariate(0, 1) for _ in times]
        if noise == "disturbed":
            times = [t + generator.uniform(2, 20) * (generator.random() < 0.15) for t in times]
        return times

    agree = 0
    for _ in range(400):
        first, second = rounds(), rounds()
        half = median_interval(first) or 0.0
        agree += abs(median(first) - median(second)) < half
    assert 360 < agree < 396  # about 94 %: fewer would be too narrow, more too wide
