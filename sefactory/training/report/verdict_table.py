"""The verdicts of a setting as a table for people, with notes about what the study could see."""

from collections.abc import Iterator

from ...bench.layout import TextColumn
from ..verdicts.comparisons import Comparison, Family
from .summary import SettingSummary, VariantRow

HEADINGS = {
    "block": None,
    "seeds": 2,
    "mean %": None,
    "std": 1,
    "vs plain": None,
    "95 % interval": 5,
    "helps?": None,
    "vs static": 6,
    "sees?": 7,
    "parameters": 3,
    "MACs": 0,
    "ms/image": 4,
}
"""The columns, and the order in which a narrow terminal drops them."""
EXPLANATIONS = {
    "mean %": "mean score over seeds",
    "std": "standard deviation of the scores over seeds, in points",
    "vs plain": "difference to the network without blocks, in points; simultaneous 95 % intervals",
    "helps?": "whether the interval excludes 0",
    "vs static": "difference to the same block with static gates, in points: what it adds that the gates see the image",
    "sees?": "whether the block is better than with static gates, so that it helps that its gates see the image",
    "ms/image": "time of the evaluation for an image; other runs at the same time slow it down",
}


def verdict_columns(summary: SettingSummary) -> list[TextColumn]:
    """The columns of a table with a row for each variant. Columns without any value are left out."""
    rows = [_cells(row) for row in summary.rows]
    columns = []
    for i, (heading, drop) in enumerate(HEADINGS.items()):
        texts = [row[i] for row in rows]
        if any(texts):
            columns.append(TextColumn(heading, texts, drop, "left" if i == 0 else "right"))
    return columns


def verdict_notes(summary: SettingSummary) -> Iterator[str]:
    """Yields lines about the setting: recipe, budget, what could be detected, and which variants have no verdict."""
    first = summary.setting.example
    yield f"{first.setup['network']}; recipe: {_format_recipe(first.setup['recipe'])}; {_format_places(summary)}"
    if first.setup["data"].get("dataset") == "digits":
        yield "digits of 8 x 8 pixels show that everything works; they are no evidence about a block"
    verdicts = summary.verdicts
    if verdicts.reason:
        yield f"no verdicts: {verdicts.reason}"
    if verdicts.analysis:
        a = verdicts.analysis
        yield (
            f"{a.seeds} seeds: a score varies by {a.error:.2f} points within a seed, with {a.degrees} degrees of freedom; "
            f"two variants of a seed correlate by {a.correlation:.2f}"
        )
    yield from _family_note("against plain", verdicts.against_baseline)
    yield from _family_note("against static gates", verdicts.against_control)
    yield from (f"{label}: no verdict: {why}" for label, why in verdicts.left_out)


def format_interval(comparison: Comparison | None) -> str:
    """`-0.50 to +0.90`; empty without a comparison."""
    return f"{comparison.low:+.2f} to {comparison.high:+.2f}" if comparison else ""


def _family_note(name: str, family: Family | None) -> Iterator[str]:
    if family is None:
        return
    needed = ", ".join(f"{difference:g}: {count or 'more than 1000'}" for difference, count in family.seeds_needed.items())
    yield (
        f"{name}: this study would have seen a difference of {family.detectable:.2f} points (with 80 % power); "
        f"seeds needed for a difference in points: {needed}"
    )


def _cells(row: VariantRow) -> tuple[str, ...]:
    """The cells of a row, in the order of HEADINGS."""
    runs = list(row.variant.runs.values())
    times = sorted(run.inference_ms for run in runs if run.inference_ms)
    return (
        row.name,
        _format_seeds(row),
        "" if row.mean is None else f"{row.mean:.2f}",
        "" if row.std is None else f"{row.std:.2f}",
        f"{row.to_baseline.difference:+.2f}" if row.to_baseline else "",
        format_interval(row.to_baseline),
        row.to_baseline.word if row.to_baseline else "",
        f"{row.to_control.difference:+.2f}" if row.to_control else "",
        row.to_control.word if row.to_control else "",
        f"{runs[0].parameters:,}",
        f"{runs[0].macs:,}",
        f"{times[len(times) // 2]:.3f}" if times else "",
    )


def _format_seeds(row: VariantRow) -> str:
    diverged = f" ({row.variant.diverged} diverged)" if row.variant.diverged else ""
    return f"{len(row.scores)}{diverged}"


def _format_recipe(recipe: dict[str, object]) -> str:
    """The settings of a recipe that are not None, off or 0."""
    shown = {key: value for key, value in recipe.items() if value not in (None, False, 0) and key != "image_passes"}
    return ", ".join(f"{key} {value}" for key, value in shown.items())


def _format_places(summary: SettingSummary) -> str:
    """Where the blocks are, and how they start."""
    places = [place for row in summary.rows for run in row.variant.runs.values() for place in run.setup["places"]]
    texts = dict.fromkeys(f"{p.get('where', 'after')} {p['at']}, start: {p.get('start', 'identity')}" for p in places)
    return "blocks " + " or ".join(texts) if texts else "no places of blocks"
