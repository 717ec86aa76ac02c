"""The files of a report: results.csv and results.json."""

import json
from pathlib import Path
from typing import Any

from ...bench.text_tables import as_csv
from ...store.files import replace_file
from ..verdicts.comparisons import Comparison, Family
from .run_table import FIELDS, run_records, sort_runs
from .summary import SettingSummary, StoreSummary, VariantRow


def write_data(summary: StoreSummary, folder: Path) -> None:
    """Writes results.csv, with a row for each run, and results.json. Raises OSError if that fails."""
    replace_file(folder / "results.csv", as_csv(FIELDS, run_records(summary.results, summary.failed.values())))
    replace_file(folder / "results.json", json.dumps(as_document(summary), indent=1, ensure_ascii=False) + "\n")


def as_document(summary: StoreSummary) -> dict[str, Any]:
    """The summary as plain data: the verdicts of each setting, and all runs."""
    return {
        "settings": [_setting(setting) for setting in summary.settings],
        "refused": dict(summary.refused),
        "failed": dict(summary.failed),
        "runs": [result.as_record() for result in sort_runs(summary.results)],
    }


def _setting(summary: SettingSummary) -> dict[str, Any]:
    """A setting with its verdicts as plain data."""
    verdicts, analysis = summary.verdicts, summary.verdicts.analysis
    return {
        "setting": summary.setting.key,
        "title": summary.title,
        "setup": dict(summary.setting.example.setup),
        "seeds": list(verdicts.seeds),
        "no_verdicts": verdicts.reason,
        "left_out": dict(verdicts.left_out),
        "error": analysis and analysis.error,
        "degrees": analysis and analysis.degrees,
        "correlation": analysis and analysis.correlation,
        "against_baseline": _family(verdicts.against_baseline),
        "against_control": _family(verdicts.against_control),
        "variants": [_variant(row) for row in summary.rows],
    }


def _family(family: Family | None) -> dict[str, Any] | None:
    if family is None:
        return None
    return {"detectable": family.detectable, "seeds_needed": {f"{key:g}": value for key, value in family.seeds_needed.items()}}


def _variant(row: VariantRow) -> dict[str, Any]:
    """A variant with its scores and comparisons as plain data."""
    variant = row.variant
    return {
        "block": variant.label,
        "static": variant.static,
        "scores": {str(seed): score for seed, score in variant.scores.items()},
        "mean": row.mean,
        "std": row.std,
        "diverged": variant.diverged,
        "to_baseline": _comparison(row.to_baseline),
        "to_control": _comparison(row.to_control),
    }


def _comparison(comparison: Comparison | None) -> dict[str, Any] | None:
    if comparison is None:
        return None
    numbers = {name: getattr(comparison, name) for name in ("difference", "low", "high")}
    return {**numbers, "verdict": comparison.word}
