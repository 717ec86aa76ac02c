"""Groups the results of a store: settings, the variants of each, and their scores by seed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ...store.store import digest
from ..runs.results import Result


@dataclass(frozen=True)
class Variant:
    """The runs of one variant in one setting, by seed. `static`: with static gates, as the control of a variant."""

    key: str
    label: str
    static: bool
    runs: dict[int, Result]

    @property
    def scores(self) -> dict[int, float]:
        """The scores in percent, by seed; diverged runs have none."""
        return {seed: 100 * score for seed, run in sorted(self.runs.items()) if (score := run.score) is not None}

    @property
    def diverged(self) -> int:
        """The number of diverged runs."""
        return sum(run.status == "diverged" for run in self.runs.values())


@dataclass(frozen=True)
class Setting:
    """All runs that can be compared: of one data set, network, recipe, and scored part."""

    key: str
    variants: list[Variant] = field(default_factory=list)

    @property
    def example(self) -> Result:
        """One of its results, which tells the setting."""
        return next(iter(self.variants[0].runs.values()))

    @property
    def candidates(self) -> list[Variant]:
        """The variants with blocks whose gates see the image."""
        return [variant for variant in self.variants if not variant.static and variant is not self.baseline]

    @property
    def baseline(self) -> Variant | None:
        """The network without blocks; None if it has no runs."""
        return next((variant for variant in self.variants if variant.key == NO_BLOCKS), None)

    def control(self, variant: Variant) -> Variant | None:
        """The variant with static gates; None if it has no runs."""
        return next((other for other in self.variants if other.static and other.key == variant.key), None)


NO_BLOCKS = digest([])
"""The digest of a network without blocks."""


def group_results(results: Iterable[Result]) -> list[Setting]:
    """The settings of results, those with test scores first, the larger budgets first; the baseline is its first variant."""
    settings: dict[str, Setting] = {}
    found: dict[tuple[str, str, bool], Variant] = {}
    for result in sorted(results, key=lambda result: (result.static, result.label, result.seed)):
        setting = settings.setdefault(result.setting, Setting(result.setting))
        key = (result.setting, result.variant, result.static)
        if key not in found:
            found[key] = Variant(result.variant, _unique_label(result, setting), result.static, {})
            setting.variants.append(found[key])
        found[key].runs[result.seed] = result
    for setting in settings.values():
        setting.variants.sort(key=lambda variant: (variant.key != NO_BLOCKS, variant.static))
    return sorted(settings.values(), key=_order)


def _unique_label(result: Result, setting: Setting) -> str:
    """The label of a new variant, with a number behind it if another variant of the setting has the same."""
    known = {variant.key: variant.label for variant in setting.variants if variant.static == result.static}
    equal = [label for label in known.values() if label == result.label or label.startswith(f"{result.label} (")]
    same_blocks = next((variant.label for variant in setting.variants if variant.key == result.variant), "")
    return same_blocks or (f"{result.label} ({len(equal) + 1})" if equal else result.label)


def common_scores(variants: Sequence[Variant]) -> tuple[list[int], list[list[float]]]:
    """The seeds that all variants have scores of, and the scores in percent: scores[seed][variant]."""
    seeds = sorted(set.intersection(*(set(variant.scores) for variant in variants))) if variants else []
    return seeds, [[variant.scores[seed] for variant in variants] for seed in seeds]


def _order(setting: Setting) -> tuple[bool, str, int, str]:
    first = setting.example
    return not first.scored_test, str(first.setup["data"]), -int(first.setup["recipe"]["image_passes"]), setting.key
