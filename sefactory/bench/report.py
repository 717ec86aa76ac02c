"""report.html: the table and the plots of a benchmark in one file that loads nothing else."""

from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from .plots import cost_split, time_against_parameters
from .results import Environment, Row, group_by_shape, read_results, replace_file, write_results
from .table import filled_columns, is_measured

TIME_NOTE = "Filled: forward. Hollow: forward and backward. Both axes are logarithmic."
SPLIT_NOTE = "Shares of one forward, by operator. Grey is work outside the operators: applying gates, fusing branches."


def write_report(rows: Sequence[Row], environment: Environment, folder: Path) -> None:
    """Writes results.json, results.csv and report.html into a folder, each of them atomically."""
    write_results(rows, environment, folder)
    # read back, because a value that is not finite is missing in the files
    replace_file(folder / "report.html", render_html(*read_results(folder)))


def render_html(rows: Sequence[Row], environment: Environment) -> str:
    """The text of report.html."""
    from jinja2 import Environment as Templates
    from jinja2 import StrictUndefined
    from markupsafe import Markup

    figures = (
        ("Time against parameters", TIME_NOTE, time_against_parameters(rows)),
        ("Where the forward time goes", SPLIT_NOTE, cost_split(rows)),
    )
    source = resources.files(__package__).joinpath("report.html.j2").read_text(encoding="utf-8")
    return (
        Templates(autoescape=True, undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True)
        .from_string(source)
        .render(
            environment=dict(environment),
            shapes=group_by_shape(rows),
            columns=filled_columns(rows),
            is_measured=is_measured,
            plots=[(title, note, Markup(svg)) for title, note, svg in figures if svg],
        )
    )
