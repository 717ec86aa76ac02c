"""What a store says: its settings with their verdicts, what was refused, and what failed."""

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
    """One variant of a setting, and its comparisons; None where there is none."""

    variant: Variant
    to_baseline: Comparison | None
    to_control: Comparison | None
    control: Variant | None


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
    refused = {label: reason for note in read_notes(store.folder) for label, reason in note["refused"].items()}
    return StoreSummary(tuple(results), settings, refused, store.failures())


def _titles(settings: Sequence[Setting]) -> list[str]:
    """The title of each setting: data, image passes, scored part, and what else differs between settings."""
    varied = differences([setting.first.setup for setting in settings])
    return [_title(setting.first, values) for setting, values in zip(settings, varied, strict=True)]


TITLED = ("data.dataset", "data.size", "recipe.image_passes")
"""Values that every title has."""


def _title(first: Result, varied: Mapping[str, Any]) -> str:
    data = first.setup["data"]
    name = f"{data['dataset']} {data['size']} x {data['size']}" if "size" in data else str(data["dataset"])
    part = "test" if first.is_confirmed else "validation"
    others = [f"{key} {value}" for key, value in varied.items() if key not in TITLED]
    return ", ".join([name, f"{first.setup['recipe']['image_passes']:,} image passes", f"{part} images", *others])


def _summarize(setting: Setting, title: str) -> SettingSummary:
    verdicts = judge(setting)
    to_baseline = {c.key: c for c in verdicts.against_baseline.comparisons} if verdicts.against_baseline else {}
    to_control = {c.key: c for c in verdicts.against_control.comparisons} if verdicts.against_control else {}
    variants = [variant for variant in (setting.baseline, *setting.candidates) if variant is not None]
    rows = [VariantRow(v, to_baseline.get(v.key), to_control.get(v.key), setting.control(v)) for v in variants]
    return SettingSummary(setting, verdicts, tuple(rows), title)
