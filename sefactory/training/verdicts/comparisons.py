"""Verdicts: which variants differ from the network without blocks, and which from their control with static gates."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from .critical_values import SEPARATE_PAIRS, SHARED_BASELINE
from .tables import Setting, Variant, common_scores
from .two_way import TwoWay

FEWEST_SEEDS = 5
MOST_VARIANTS = 10
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

    `seeds` are those that count. `left_out` has (label, why) for variants without a verdict. `against_baseline` answers
    whether a variant helps, `against_control` whether it helps because its gates see the image.
    """

    reason: str
    seeds: tuple[int, ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()
    analysis: TwoWay | None = None
    against_baseline: Family | None = None
    against_control: Family | None = None


def judge(setting: Setting) -> Verdicts:
    """The verdicts of a setting. There are none for validation scores, too few seeds or too many variants."""
    kept, left_out = _usable(setting)
    candidates = [variant for variant in setting.candidates if variant in kept]
    seeds, scores = common_scores(kept)
    reason = _no_verdict(setting, candidates, seeds)
    if reason:
        return Verdicts(reason, tuple(seeds), left_out)
    analysis = TwoWay.of(scores)
    means = dict(zip((id(variant) for variant in kept), analysis.means, strict=True))
    baseline, pairs = setting.baseline, [(v, c) for v in candidates if (c := setting.control(v)) in kept and c is not None]
    to_baseline = [(v.key, means[id(v)] - means[id(baseline)]) for v in candidates]
    to_control = [(v.key, means[id(v)] - means[id(c)]) for v, c in pairs]
    return Verdicts(
        "",
        tuple(seeds),
        left_out,
        analysis,
        _family(analysis, to_baseline, SHARED_BASELINE),
        _family(analysis, to_control, SEPARATE_PAIRS) if to_control else None,
    )


DIFFERENCES = (0.5, 1.0, 2.0)
"""Differences in percent points for which the needed seeds are given."""


def _family(analysis: TwoWay, differences: Sequence[tuple[str, float]], correlation: float) -> Family:
    count = len(differences)
    width = analysis.half_width(count, correlation)
    comparisons = tuple(Comparison(key, value, value - width, value + width) for key, value in differences)
    needed = {value: analysis.seeds_needed(value, count, correlation) for value in DIFFERENCES}
    return Family(comparisons, analysis.detectable(count, correlation), needed)


def _usable(setting: Setting) -> tuple[list[Variant], tuple[tuple[str, str], ...]]:
    """The variants that enter the analysis, and (label, why) for the others.

    A diverged run has no score. A variant with few seeds, or a control without those of all variants, would leave no seeds.
    """
    kept, left_out = [v for v in [setting.baseline] if v is not None], list[tuple[str, str]]()
    for variant in setting.candidates:
        if reason := _fault(variant, kept, FEWEST_SEEDS):
            left_out.append((variant.label, reason))
        else:
            kept.append(variant)
    candidates = kept[1:]
    seeds, _ = common_scores(kept)
    for variant, control in [(v, c) for v in candidates if (c := setting.control(v)) is not None]:
        if reason := _fault(control, kept, len(seeds)):
            left_out.append((f"{variant.label} with static gates", reason))
        else:
            kept.append(control)
    return kept, tuple(left_out)


def _fault(variant: Variant, kept: Sequence[Variant], fewest: int) -> str:
    """Why a variant cannot enter the analysis with others; an empty text if it can."""
    if variant.diverged:
        return f"{variant.diverged} of {len(variant.runs)} runs diverged"
    common = len(common_scores([*kept, variant])[0])
    return f"has scores of {common} seeds that the others have too, of {fewest} that are needed" if common < fewest else ""


def _no_verdict(setting: Setting, candidates: Sequence[Variant], seeds: Sequence[int]) -> str:
    """Why there are no verdicts, and what to do; an empty text if there can be."""
    if not setting.first.is_confirmed:
        return "these are scores of the validation images, by which variants are chosen: confirm with test=true and other seeds"
    if setting.baseline is None:
        return "there are no runs without a block: train them with the same seeds"
    if setting.baseline.diverged:
        return "the network without blocks diverged: choose a smaller learning rate"
    if len(setting.candidates) > MOST_VARIANTS:
        return f"{len(setting.candidates)} variants are more than {MOST_VARIANTS}: screen them first, and confirm the best"
    if not candidates:
        return f"no variant has {FEWEST_SEEDS} seeds in common with the network without blocks: add seeds"
    return ""
