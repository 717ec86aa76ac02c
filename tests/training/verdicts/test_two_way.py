"""The two-way analysis: against a least-squares fit, and what pairing gains."""

import numpy as np
import pytest

from sefactory.training.verdicts.critical_values import SHARED_BASELINE
from sefactory.training.verdicts.two_way import TwoWay


def table(seeds: int, variants: int, seed_std: float = 1.0) -> np.ndarray:
    rng = np.random.default_rng(1)
    return rng.standard_normal((seeds, variants)) + seed_std * rng.standard_normal((seeds, 1)) + np.arange(variants)


def test_a_least_squares_fit_gives_the_same() -> None:
    y = table(6, 4)
    seed, variant = (index.ravel() for index in np.indices(y.shape))
    design = np.column_stack([np.eye(6)[seed], np.eye(4)[variant][:, 1:]])
    fit, residual, *_ = np.linalg.lstsq(design, y.ravel(), rcond=None)
    analysis = TwoWay.of(y.tolist())
    assert analysis.degrees == 15 == y.size - design.shape[1]
    assert analysis.error**2 == pytest.approx(float(residual[0]) / 15)
    assert np.array(analysis.means[1:]) - analysis.means[0] == pytest.approx(fit[6:])


def test_what_a_seed_does_to_all_variants_drops_out() -> None:
    y = table(8, 3)
    shifted = TwoWay.of((y + 10 * np.arange(8)[:, None]).tolist())
    plain = TwoWay.of(y.tolist())
    assert shifted.error == pytest.approx(plain.error) and shifted.correlation > 0.98 > plain.correlation > 0


def test_the_correlation_is_that_of_the_draws() -> None:
    assert TwoWay.of(table(4000, 3).tolist()).correlation == pytest.approx(0.5, abs=0.03)
    assert TwoWay.of(table(4000, 3, seed_std=0).tolist()).correlation == pytest.approx(0.0, abs=0.03)


def test_seeds_needed_are_the_fewest_that_detect_a_difference() -> None:
    analysis = TwoWay.of(table(8, 4).tolist())
    for difference in (0.5, 1.0, 3.0):
        needed = analysis.seeds_needed(difference, 3, SHARED_BASELINE)
        assert needed is not None and analysis._detectable(needed, 3, SHARED_BASELINE) <= difference
        assert needed == 2 or analysis._detectable(needed - 1, 3, SHARED_BASELINE) > difference
    assert analysis.seeds_needed(0.01, 3, SHARED_BASELINE) is None


def test_equal_scores_and_small_tables() -> None:
    analysis = TwoWay.of([[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]])
    assert (analysis.error, analysis.correlation, analysis.half_width(1, SHARED_BASELINE)) == (0.0, 0.0, 0.0)
    for scores in ([], [[1.0, 2.0]], [[1.0], [2.0]]):
        with pytest.raises(ValueError, match="needs at least two seeds and two variants"):
            TwoWay.of(scores)
