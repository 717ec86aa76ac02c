"""What a store says: its settings with their verdicts, what was refused, and what failed."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..runs.results import Result
from ..runs.store import RunStore
from ..study.drive import read_notes
from ..verdicts.comparisons import Comparison, Verdicts, judge
from ..verdicts.tables import Setting, Variant, group_results
from .differences import differences


@dataclass(frozen=True)
class VariantRow:
    """One variant of a setting, its scores in percent, and its comparisons; None where there is none.

    The scores are those of the analysed seeds, if the variant has all of them; otherwise all of its scores.
    """

    variant: Variant
    scores: tuple[float, ...]
    to_baseline: Comparison | None
    to_control: Comparison | None

    @property
    def name(self) -> str:
        """The label, which says so if the gates are static."""
        return f"{self.variant.label} with static gates" if self.variant.static else self.variant.label

    @property
    def mean(self) -> float | None:
        """The mean score; None without scores."""
        return statistics.fmean(self.scores) if self.scores else None

    @property
    def std(self) -> float | None:
        """The standard deviation of the scores over seeds; None for fewer than two."""
        return statistics.stdev(self.scores) if len(self.scores) > 1 else None


@dataclass(frozen=True)
class SettingSummary:
    """The variants of a setting, the network without blocks first, with its verdicts. `title` tells it from other settings."""

    setting: Setting
    verdicts: Verdicts
    rows: tuple[VariantRow, ...]
    title: str


@dataclass(frozen=True)
class StoreSummary:
    """All settings of a store. `refused` has why a variant could not be built, `failed` why a run has no result."""

    results: tuple[Result, ...]
    settings: tuple[SettingSummary, ...]
    refused: Mapping[str, str]
    failed: Mapping[str, Mapping[str, Any]]


def summarize_store(store: RunStore) -> StoreSummary:
    """The summary of a store, from its files alone."""
    results = store.results()
    found = group_results(results)
    titles = _titles(found)
    settings = tuple(_summarize(setting, title) for setting, title in zip(found, titles, strict=True))
    notes = read_notes(store.folder)
    refused = {f"{label} of {note['study']}": reason for note in notes for label, reason in note["refused"].items()}
    return StoreSummary(tuple(results), settings, refused, store.failures())


def _titles(settings: Sequence[Setting]) -> list[str]:
    """The title of each setting: data, image passes, scored part, and what else differs between settings."""
    varied = differences([setting.example.setup for setting in settings])
    return [_title(setting.example, values) for setting, values in zip(settings, varied, strict=True)]


TITLED = ("data.dataset", "data.size", "recipe.image_passes")
"""Values that every title has."""


def _title(first: Result, varied: Mapping[str, Any]) -> str:
    data = first.setup["data"]
    name = f"{data['dataset']} {data['size']} x {data['size']}" if "size" in data else str(data["dataset"])
    part = "test" if first.scored_test else "validation"
    others = [f"{key} {value}" for key, value in varied.items() if key not in TITLED]
    return ", ".join([name, f"{first.setup['recipe']['image_passes']:,} image passes", f"{part} images", *others])


def _summarize(setting: Setting, title: str) -> SettingSummary:
    verdicts = judge(setting)
    to_baseline = {c.key: c for c in verdicts.against_baseline.comparisons} if verdicts.against_baseline else {}
    to_control = {c.key: c for c in verdicts.against_control.comparisons} if verdicts.against_control else {}
    rows = []
    for variant in _in_order(setting):
        found = (None, None) if variant.static else (to_baseline.get(variant.key), to_control.get(variant.key))
        rows.append(VariantRow(variant, _analysed_scores(variant, verdicts), *found))
    return SettingSummary(setting, verdicts, tuple(rows), title)


def _in_order(setting: Setting) -> list[Variant]:
    """The variants of a table: the network without blocks, then each variant with its control behind it."""
    keys = dict.fromkeys(variant.key for variant in setting.variants)
    return [variant for key in keys for variant in setting.variants if variant.key == key]


def _analysed_scores(variant: Variant, verdicts: Verdicts) -> tuple[float, ...]:
    scores = variant.scores
    if verdicts.analysis and scores.keys() >= set(verdicts.seeds):
        return tuple(scores[seed] for seed in verdicts.seeds)
    return tuple(scores.values())
