"""Critical values: against published tables, against scipy's multivariate t, and by simulation."""

import math

import numpy as np
import pytest
from scipy.stats import multivariate_t, studentized_range, t

from sefactory.training.verdicts.critical_values import (
    SEPARATE_PAIRS,
    SHARED_BASELINE,
    coverage,
    critical_value,
    detectable_ratio,
)

# Dunnett, "New tables for multiple comparisons with a control", Biometrics 20 (1964), two-sided, 5 %.
DUNNETT = {(2, 5): 3.03, (4, 10): 2.89, (9, 10): 3.24, (5, 20): 2.73, (8, 30): 2.81, (4, 60): 2.51, (9, 120): 2.73}


@pytest.mark.parametrize("comparisons, degrees", DUNNETT)
def test_published_values(comparisons: int, degrees: int) -> None:
    value = critical_value(comparisons, SHARED_BASELINE, degrees)
    assert value == pytest.approx(DUNNETT[comparisons, degrees], abs=0.011)


@pytest.mark.parametrize("degrees", [4, 10, 56])
def test_one_comparison_is_students_t(degrees: int) -> None:
    for correlation in (SHARED_BASELINE, SEPARATE_PAIRS):
        assert critical_value(1, correlation, degrees) == pytest.approx(t.ppf(0.975, degrees), abs=1e-4)


@pytest.mark.parametrize("comparisons, degrees", [(3, 8), (8, 32), (5, 100)])
def test_the_multivariate_t_distribution(comparisons: int, degrees: int) -> None:
    for correlation in (SHARED_BASELINE, SEPARATE_PAIRS):
        shape = np.full((comparisons, comparisons), correlation) + (1 - correlation) * np.eye(comparisons)
        limit = np.full(comparisons, 2.5)
        rng = np.random.default_rng(0)
        expected = multivariate_t.cdf(limit, shape=shape, df=degrees, lower_limit=-limit, random_state=rng, maxpts=400_000)
        assert coverage(2.5, comparisons, correlation, degrees) == pytest.approx(expected, abs=2e-4)


def test_two_separate_means_are_the_studentized_range() -> None:
    """The range of two means is the difference of one pair: its critical value is that of t, times the root of 2."""
    value = critical_value(1, SEPARATE_PAIRS, 12)
    assert value * math.sqrt(2) == pytest.approx(studentized_range.ppf(0.95, 2, 12), abs=1e-4)


def test_more_comparisons_and_fewer_degrees_need_more() -> None:
    by_count = [critical_value(count, SHARED_BASELINE, 20) for count in (1, 2, 4, 8)]
    by_degrees = [critical_value(4, SHARED_BASELINE, degrees) for degrees in (5, 10, 40, 400)]
    assert by_count == sorted(by_count) and by_degrees == sorted(by_degrees, reverse=True)
    assert critical_value(4, SEPARATE_PAIRS, 20) > critical_value(4, SHARED_BASELINE, 20)


def test_the_detectable_difference_is_found_in_80_percent() -> None:
    ratio, critical = detectable_ratio(2.8, 30), 2.8
    rng = np.random.default_rng(0)
    statistics = (rng.standard_normal(200_000) + ratio) / np.sqrt(rng.chisquare(30, 200_000) / 30)
    assert np.mean(statistics > critical) == pytest.approx(0.8, abs=0.005)
