"""report.html: verdicts, plots and facts of a store in one file that loads nothing else."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from ...store.files import replace_file
from ..runs.results import Result
from ..runs.store import RunStore
from .files import write_data
from .summary import SettingSummary, StoreSummary
from .verdict_table import EXPLANATIONS, verdict_columns, verdict_notes


def write_report(summary: StoreSummary, store: RunStore) -> None:
    """Writes results.csv, results.json and report.html into the store, each of them atomically. Raises OSError."""
    write_data(summary, store.folder)
    replace_file(store.folder / "report.html", render_html(summary, store))


def render_html(summary: StoreSummary, store: RunStore) -> str:
    """The text of report.html. The learning curves come from the folders of the runs."""
    import jinja2
    from markupsafe import Markup

    templates = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    bench, script = "sefactory.bench.report", _read("sefactory.bench.report", "page.js")
    return templates.from_string(_read(__package__, "page.html.j2")).render(
        settings=[_setting(setting, store, i) for i, setting in enumerate(summary.settings)],
        problems=list_problems(summary),
        facts=_facts(summary.results),
        explanations=EXPLANATIONS,
        style=Markup(_read(bench, "page.css")),
        script=Markup(script),
        script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def list_problems(summary: StoreSummary) -> list[tuple[str, str]]:
    """What was refused and what failed, each with the reason."""
    failed = [(_describe_failure(failure), f"failed: {failure.get('error')}") for failure in summary.failed.values()]
    return [(label, f"refused: {reason}") for label, reason in summary.refused.items()] + failed


def _describe_failure(failure: Mapping[str, Any]) -> str:
    gates = " with static gates" if failure.get("static") else ""
    return f"{failure.get('block')}{gates}, seed {failure.get('seed')}, {failure.get('image_passes')} image passes"


def _read(package: str, name: str) -> str:
    return resources.files(package).joinpath(name).read_text(encoding="utf-8")


def _setting(summary: SettingSummary, store: RunStore, index: int) -> dict[str, Any]:
    """What the page shows of one setting."""
    from markupsafe import Markup

    from .plots import cost_plots, curve_plot, forest_plot  # imports matplotlib, which takes half a second

    columns = verdict_columns(summary)
    epochs = {run.run: store.run(run.run).epochs for row in summary.rows for run in row.variant.runs.values()}
    plots = [forest_plot(summary, f"forest{index}-"), curve_plot(summary, epochs, f"curves{index}-")]
    plots += cost_plots(summary, f"costs{index}-")
    return {
        "anchor": f"setting-{index}",
        "title": summary.title,
        "no_verdicts": summary.verdicts.reason,
        "headings": [column.heading for column in columns],
        "rows": [[_cell(text) for text in texts] for texts in zip(*(column.cells for column in columns), strict=True)],
        "notes": list(verdict_notes(summary)),
        "plots": [Markup(svg) for svg in plots if svg],
    }


def _cell(text: str) -> dict[str, Any]:
    """A cell, with the number by which its column is sorted."""
    try:
        return {"text": text, "value": float(text.replace(",", ""))}
    except ValueError:
        return {"text": text, "value": None}


def _facts(results: Sequence[Result]) -> dict[str, str]:
    """The versions and machines of all runs, and how long they took."""
    names = ("sefactory", "torch", "python", "device", "cpu", "threads")
    found = {name: dict.fromkeys(r.environment[name] for r in results if r.environment.get(name)) for name in names}
    dates = sorted(result.environment["date"][:10] for result in results if result.environment.get("date"))
    hours = sum(result.seconds for result in results) / 3600
    facts = {name: ", ".join(values) for name, values in found.items()}
    return facts | {
        "dates": " to ".join(dict.fromkeys([dates[0], dates[-1]])) if dates else "",
        "time of training": f"{hours:.2f} hours",
    }
