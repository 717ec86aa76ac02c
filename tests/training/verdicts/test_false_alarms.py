"""Simulated studies: false alarms are rare, also with errors that are not normal, and planted effects are found.

docs/studies.md has the figures of more studies, made by scripts/false_alarms.py.
"""

from pathlib import Path

import false_alarms
import numpy as np
import pytest

RUNS = Path(__file__).with_name("plain_runs.csv")
STUDIES = 2000
MOST = {"normal": 0.06, "heavy_tails": 0.10, "unequal": 0.10}


@pytest.mark.parametrize("scenario", false_alarms.SCENARIOS, ids=lambda scenario: scenario.name)
def test_simulated_studies(scenario: false_alarms.Scenario) -> None:
    share = false_alarms.rate(scenario, STUDIES)
    if scenario.effect:
        assert share >= (0.90 if scenario.effect == 3 else 0.85)
    else:
        assert share <= MOST[scenario.draw.__name__]


def test_studies_drawn_from_real_runs() -> None:
    scores = false_alarms.read_scores(RUNS)
    assert len(scores) >= 40 and 0.001 < scores.std() < 0.01
    scenario = false_alarms.Scenario("real", 8, 5, false_alarms.resampled(scores))
    assert false_alarms.rate(scenario, 1000) <= 0.06


def test_screened_studies() -> None:
    assert false_alarms.screened_rate(0.0, STUDIES) <= 0.06
    assert false_alarms.screened_rate(2.0, STUDIES) >= 0.85


def test_uncorrected_intervals_would_raise_false_alarms(monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control: with the critical value of a single comparison most corrections are lost."""
    from sefactory.training.verdicts import two_way

    alone = two_way.critical_value
    monkeypatch.setattr(two_way, "critical_value", lambda comparisons, correlation, degrees: alone(1, correlation, degrees))
    assert false_alarms.rate(false_alarms.SCENARIOS[0], 500) > 0.15


def test_a_seed_that_is_not_paired_costs_power() -> None:
    """What pairing gains: the same scores with the seeds of each variant shuffled find the effect less often."""
    rng, found = np.random.default_rng(0), [0, 0]
    for _ in range(300):
        scores = rng.standard_normal((5, 4)) + 2 * rng.standard_normal((5, 1))
        scores[:, 1] += 3
        for index, table in enumerate((scores, rng.permuted(scores, axis=0))):
            found[index] += bool(false_alarms.different(table)[0])
    assert found[0] > 1.5 * found[1]
