"""report.html: the tables, plots and configs of a benchmark in one file that loads nothing else."""

import base64
import hashlib
from importlib import resources
from pathlib import Path
from typing import Any

from ...store.files import replace_file
from ..columns import filled_columns
from ..results import Results, group_by_shape, read_results, write_results
from .blocks import block_details, config_anchors
from .facts import environment_groups, explanations
from .shares import bar_charts, operator_fills
from .tables import make_tables

MIN_ROWS_TO_FILTER = 16


def write_report(results: Results, folder: Path) -> None:
    """Writes results.json, results.csv and report.html into a folder, each of them atomically."""
    write_results(results, folder)
    # read back, because a value that is not finite is missing in the files
    replace_file(folder / "report.html", render_html(read_results(folder)))


def render_html(results: Results) -> str:
    """The text of report.html."""
    import jinja2
    from markupsafe import Markup

    templates = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    script = _read("page.js")
    page = templates.from_string(_read("page.html.j2"))
    return page.render(
        _facts(results) | _contents(results),
        style=Markup(_read("page.css")),
        script=Markup(script),
        script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def _read(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _facts(results: Results) -> dict[str, Any]:
    """What the head and the foot of the page say."""
    environment = results.environment
    return {
        "command": environment.get("command", ""),
        "date": str(environment.get("date", "")).replace("T", " ").replace("+00:00", " UTC"),
        "interrupted": results.interrupted,
        "groups": environment_groups(environment),
        "explanations": explanations(results.rows),
    }


def _contents(results: Results) -> dict[str, Any]:
    """The tables, plots and configs of the page."""
    from markupsafe import Markup

    from .scatter import MAX_PLOTS, time_against_parameters, timed_groups  # imports matplotlib, which takes half a second

    rows, columns, fills = results.rows, filled_columns(results.rows), operator_fills(results.rows)
    tables = make_tables(group_by_shape(rows), columns, config_anchors(rows, results.configs))
    return {
        "columns": columns,
        "tables": tables,
        "has_filter": len(rows) >= MIN_ROWS_TO_FILTER,
        "row_count": len(rows),
        "plots": [(plot.shape, Markup(plot.svg), plot.note) for plot in time_against_parameters(rows)],
        "plots_left_out": max(0, len(timed_groups(rows)) - MAX_PLOTS),
        "fills": fills,
        "charts": bar_charts(rows, fills),
        "details": block_details(rows, results.configs, tables),
    }
