"""Verdicts: which variants differ from the network without blocks, and which from their control with static gates."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from .critical_values import SEPARATE_PAIRS, SHARED_BASELINE
from .tables import Setting, Variant, common_scores
from .two_way import TwoWay

FEWEST_SEEDS = 5
FEWEST_TO_PLAN = 2
"""The fewest seeds from which the spread can be computed at all."""
MOST_VARIANTS = 10
MOST_LOST = 0.75
"""A variant may cost the others a quarter of their seeds."""
DIFFERENCES = (0.5, 1.0, 2.0)
"""Differences in percent points for which the needed seeds are given."""
Word = Literal["helps", "hurts", "not detected"]


@dataclass(frozen=True)
class Comparison:
    """The difference of two variants in percent points, with its simultaneous 95 % interval. `key` is that of the variant."""

    key: str
    difference: float
    low: float
    high: float

    @property
    def word(self) -> Word:
        """`helps` or `hurts` if the interval excludes 0."""
        return "helps" if self.low > 0 else "hurts" if self.high < 0 else "not detected"


@dataclass(frozen=True)
class Family:
    """Comparisons that are corrected together: 95 % of such families have no false alarm.

    `detectable` is the true difference that is found with a probability of 80 %; `seeds_needed` are the seeds for differences.
    """

    comparisons: tuple[Comparison, ...]
    detectable: float
    seeds_needed: dict[float, int | None]


@dataclass(frozen=True)
class Verdicts:
    """The verdicts of one setting. `reason` says why there are none, and is empty if there are.

    `seeds` are those that are analysed. `left_out` has (label, why) for variants without a verdict. `against_baseline` answers
    whether a variant helps, `against_control` whether it helps because its gates see the image.
    """

    reason: str
    seeds: tuple[int, ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()
    analysis: TwoWay | None = None
    against_baseline: Family | None = None
    against_control: Family | None = None


def judge(setting: Setting) -> Verdicts:
    """The verdicts of a setting. There are none for validation scores, too few seeds or too many variants.

    Without verdicts the families have no comparisons: they say what the study could have seen, if that can be computed.
    """
    included, left_out = select(setting, FEWEST_SEEDS)
    reason = _no_verdict(setting, included)
    if reason:
        included, _ = select(setting, FEWEST_TO_PLAN)
    seeds, scores = common_scores(included)
    if len(included) < 2 or included[0] is not setting.baseline or len(seeds) < FEWEST_TO_PLAN:
        return Verdicts(reason, tuple(seeds), left_out)
    analysis = TwoWay.of(scores)
    means = dict(zip(map(id, included), analysis.means, strict=True))
    baseline, candidates = included[0], [variant for variant in included[1:] if not variant.static]
    pairs = [(v, c) for v in candidates for c in included if c.static and c.key == v.key]
    to_baseline = [(v.key, means[id(v)] - means[id(baseline)]) for v in candidates]
    to_control = [(v.key, means[id(v)] - means[id(c)]) for v, c in pairs]
    families = (
        _family(analysis, to_baseline, SHARED_BASELINE, bool(reason)),
        _family(analysis, to_control, SEPARATE_PAIRS, bool(reason)) if to_control else None,
    )
    return Verdicts(reason, tuple(seeds), left_out, analysis, *families)


def _family(analysis: TwoWay, differences: Sequence[tuple[str, float]], correlation: float, is_plan: bool) -> Family:
    """The comparisons of these differences; none for a plan, which only says what can be seen."""
    count = len(differences)
    width = analysis.half_width(count, correlation)
    comparisons = tuple(Comparison(key, value, value - width, value + width) for key, value in differences)
    needed = {value: analysis.seeds_needed(value, count, correlation) for value in DIFFERENCES}
    return Family(() if is_plan else comparisons, analysis.detectable(count, correlation), needed)


def select(setting: Setting, fewest: int) -> tuple[list[Variant], tuple[tuple[str, str], ...]]:
    """The variants that enter the analysis, the network without blocks first; and (label, why) for the others.

    Only seeds that every variant has are analysed. A variant with a diverged run, or with few of the seeds of the others, is
    left out. Those with the most seeds in common with the others come first.
    """
    included, left_out = [v for v in [setting.baseline] if v is not None and not v.diverged], list[tuple[str, str]]()
    candidates = sorted(setting.candidates, key=lambda variant: (-_common(variant, setting), variant.label))
    for variant in candidates:
        needed = max(fewest, math.ceil(MOST_LOST * len(common_scores(included)[0])) if len(included) > 1 else 0)
        if reason := _fault(variant, included, needed):
            left_out.append((variant.label, reason))
        else:
            included.append(variant)
    seeds = common_scores(included)[0]
    for variant in [v for v in included[1:] if not v.static]:
        control = setting.control(variant)
        if control is not None and (reason := _fault(control, included, len(seeds))):
            left_out.append((f"{variant.label} with static gates", reason))
        elif control is not None:
            included.append(control)
    return included, tuple(left_out)


def _common(variant: Variant, setting: Setting) -> int:
    """The seeds that a variant has in common with the others, summed over these."""
    return sum(len(variant.scores.keys() & other.scores.keys()) for other in setting.variants if not other.static)


def _fault(variant: Variant, included: Sequence[Variant], fewest: int) -> str:
    """Why a variant cannot enter the analysis with others; an empty text if it can."""
    if variant.diverged:
        return f"{variant.diverged} of {len(variant.runs)} runs diverged"
    common = len(common_scores([*included, variant])[0])
    return f"has scores of {common} seeds that the others have too, of {fewest} that are needed" if common < fewest else ""


def _no_verdict(setting: Setting, included: Sequence[Variant]) -> str:
    """Why there are no verdicts, and what to do; an empty text if there can be."""
    if not setting.example.scored_test:
        return "these are scores of the validation images, by which variants are chosen: confirm with test=true and other seeds"
    if setting.baseline is None:
        return "there are no runs without a block: train them with the same seeds"
    if setting.baseline.diverged:
        return "the network without blocks diverged: choose a smaller learning rate"
    if len(setting.candidates) > MOST_VARIANTS:
        return f"{len(setting.candidates)} variants are more than {MOST_VARIANTS}: screen them first, and confirm the best"
    if len(included) < 2:
        return f"no variant has {FEWEST_SEEDS} seeds in common with the network without blocks: add seeds, or screen first"
    return ""
