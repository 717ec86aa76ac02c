"""report.html: the table and the plots of a benchmark in one file that loads nothing else."""

from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from .columns import filled_columns, is_measured
from .results import Environment, Row, group_by_shape, read_results, replace_file, write_results


def write_report(rows: Sequence[Row], environment: Environment, folder: Path) -> None:
    """Writes results.json, results.csv and report.html into a folder, each of them atomically."""
    write_results(rows, environment, folder)
    # read back, because a value that is not finite is missing in the files
    replace_file(folder / "report.html", render_html(*read_results(folder)))


def render_html(rows: Sequence[Row], environment: Environment) -> str:
    """The text of report.html."""
    import jinja2
    from markupsafe import Markup

    from .plots import cost_split, time_against_parameters  # imports matplotlib, which takes half a second

    source = resources.files(__package__).joinpath("report.html.j2").read_text(encoding="utf-8")
    templates = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    return templates.from_string(source).render(
        environment=dict(environment),
        shapes=group_by_shape(rows),
        columns=filled_columns(rows),
        is_measured=is_measured,
        time_plot=Markup(time_against_parameters(rows)),
        split_plot=Markup(cost_split(rows)),
    )
