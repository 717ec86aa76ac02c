"""report.html: the table and the plots of a benchmark in one file that loads nothing else."""

from importlib import resources
from pathlib import Path

from ..store.files import replace_file
from .columns import filled_columns, is_measured
from .results import Results, group_by_shape, read_results, write_results


def write_report(results: Results, folder: Path) -> None:
    """Writes results.json, results.csv and report.html into a folder, each of them atomically."""
    write_results(results, folder)
    # read back, because a value that is not finite is missing in the files
    replace_file(folder / "report.html", render_html(read_results(folder)))


def render_html(results: Results) -> str:
    """The text of report.html."""
    import jinja2
    from markupsafe import Markup

    from .plots import cost_split, time_against_parameters  # imports matplotlib, which takes half a second

    source = resources.files(__package__).joinpath("report.html.j2").read_text(encoding="utf-8")
    templates = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    return templates.from_string(source).render(
        environment=dict(results.environment),
        shapes=group_by_shape(results.rows),
        columns=filled_columns(results.rows),
        is_measured=is_measured,
        time_plot=Markup(time_against_parameters(results.rows)),
        split_plot=Markup(cost_split(results.rows)),
    )
