"""Results as files and on the terminal.

`write` leaves three files in a folder: results.json and results.csv with every field of every row, and report.html.

results.json is {"schema": 1, "environment": {...}, "rows": [{...}, ...]}, strict JSON (null for what was not measured):

    block, shape                             name, and "BxCxHxW", or with the axes of its grid
    batch, channels, depth, height, width    of the input, null for an axis that it lacks
    parameters                               count
    macs                                     multiply-adds of one forward: convolutions, linear maps, attention
    elements                                 element-wise, pooling and norm work of one forward, in elements
    saved_bytes                              bytes that autograd keeps for backward, the input included
    peak_bytes                               bytes alive at the fullest moment of one forward and backward
    forward_s, forward_iqr_s                 seconds, median and interquartile range, eval mode without gradients
    train_s, train_iqr_s                     likewise, forward and backward in train mode
    rounds                                   number of timings behind forward_s
    forward_ratio, train_ratio               time / the baseline's time at that shape
    forward_floor_s, train_floor_s           seconds that this machine needs at least (traffic, operations)
    forward_over_floor, train_over_floor     time / floor
    split                                    operator to seconds of one forward
    refused                                  why the block could not be built, or null
    error                                    what it raised ("forward: ...", "training: ..."), or null

`environment` holds versions, processor, load, allocator and options. results.csv has the same columns, `split` as JSON.
"""

import csv
import io
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from .benchmark import Row
from .plots import by_shape, compact, cost_split, figures, spread, time_against_parameters

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

SCHEMA = 1
HEADINGS = tuple("block params MACs elements saved peak forward ×base ×floor train ×base ×floor".split())
EXPENDABLE = (3, 5, 2, 4, 11, 8, 1, 10, 7)  # the columns a narrow terminal does without, the first first
Environment = Mapping[str, str | int | float]


def write(rows: Sequence[Row], environment: Environment, folder: Path) -> None:
    """Writes results.json, results.csv and report.html; each replaces its former version at once or not at all."""
    write_data(rows, environment, folder)
    records, facts = read(folder)
    _replace(folder / "report.html", page(records, facts))


def write_data(rows: Sequence[Row], environment: Environment, folder: Path) -> None:
    """Writes results.json and results.csv alone."""
    folder.mkdir(parents=True, exist_ok=True)
    records = [{key: _finite(value) for key, value in asdict(row).items()} for row in rows]
    facts = {key: _finite(value) for key, value in environment.items()}
    document = {"schema": SCHEMA, "environment": facts, "rows": records}
    _replace(folder / "results.json", json.dumps(document, indent=1, allow_nan=False, ensure_ascii=False) + "\n")
    _replace(folder / "results.csv", _csv(records))


def read(folder: Path) -> tuple[list[Row], dict[str, str | int | float]]:
    """The rows and environment of a folder's results.json. ValueError where it is not what `write` writes."""
    file = folder / "results.json"
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        if document["schema"] != SCHEMA:
            raise ValueError(f"schema {document['schema']!r} is not {SCHEMA}")
        return [Row(**record) for record in document["rows"]], dict(document["environment"])
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{file} holds no results that can be read: {error}") from error


def _finite(value: Any) -> Any:
    """JSON has no infinity and no NaN: such a number becomes null, and within a mapping is left out."""
    if isinstance(value, dict):
        return {key: part for key, part in value.items() if _finite(part) is not None}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _replace(file: Path, text: str) -> None:
    draft = file.with_name(f".{file.name}.{os.getpid()}")  # beside it: a rename is atomic within one file system
    try:
        draft.write_text(text, encoding="utf-8")
        os.replace(draft, file)
    finally:
        draft.unlink(missing_ok=True)


def _csv(records: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(Row)], lineterminator="\n")
    writer.writeheader()
    for record in records:
        writer.writerow({**record, "split": json.dumps(record["split"], ensure_ascii=False)})
    return text.getvalue()


def cells(row: Row) -> tuple[str, ...]:
    """A row as text, in the order of HEADINGS; empty where nothing was measured."""
    return (
        row.block,
        _compact(row.parameters),
        _compact(row.macs),
        _compact(row.elements),
        _compact(row.saved_bytes, "B"),
        _compact(row.peak_bytes, "B"),
        _time(row.forward_s, row.forward_iqr_s),
        _figures(row.forward_ratio),
        _figures(row.forward_over_floor),
        _time(row.train_s, row.train_iqr_s),
        _figures(row.train_ratio),
        _figures(row.train_over_floor),
    )


def _compact(value: float | None, unit: str = "") -> str:
    return "" if value is None else compact(value, unit)


def _figures(value: float | None) -> str:
    return "" if value is None else figures(value)


def _time(seconds: float | None, iqr: float | None) -> str:
    return "" if seconds is None else spread(seconds, iqr or 0.0)


def reason(row: Row) -> str:
    """Why something is missing in a row; empty where nothing is."""
    return f"refused: {row.refused}" if row.refused else row.error or ""


def _shown(rows: Sequence[Row], dropped: Sequence[int] = ()) -> list[int]:
    """The columns that say something in one of the rows, without those dropped."""
    filled = [cells(row) for row in rows]
    columns = (column for column in range(len(HEADINGS)) if column not in dropped)
    return [column for column in columns if column == 0 or any(texts[column] for texts in filled)]


def table(rows: Sequence[Row], console: "Console") -> None:
    """Prints each shape's rows, fastest first, then what was refused or failed; narrow terminals get fewer columns."""
    from rich.text import Text

    widths, gap, dropped = _layout(rows, console.width)
    for shape, group in by_shape(rows).items():
        console.print(Text(shape, style="bold"))
        console.print(_measured(group, widths, gap))
        console.print(_reasons(group, widths[0]))
        console.print()
    if dropped:
        names = ", ".join(dict.fromkeys(HEADINGS[column] for column in sorted(dropped)))
        console.print(Text(f"No room on this terminal for: {names}.", style="dim"))


def _layout(rows: Sequence[Row], width: int) -> tuple[dict[int, int], int, list[int]]:
    """Column to its width, blanks between columns, columns dropped: as much as fits, with ten or more for the name."""
    filled = [cells(row) for row in rows] or [HEADINGS]
    longest = [max(len(HEADINGS[i]), *(len(texts[i]) for texts in filled)) for i in range(len(HEADINGS))]
    for count in range(len(EXPENDABLE) + 1):
        columns = _shown(rows, EXPENDABLE[:count])
        for gap in (2, 1):
            room = width - sum(longest[column] + gap for column in columns[1:])
            if room >= min(longest[0], 14):
                break
        if room >= min(longest[0], 14):
            break
    name = max(10, min(longest[0], room, 40))
    dropped = [column for column in _shown(rows) if column not in columns]
    return {column: longest[column] if column else name for column in columns}, gap, dropped


def _measured(group: Sequence[Row], widths: Mapping[int, int], gap: int) -> "Table":
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, gap - 1, 0, 0), show_edge=False)
    for column, width in widths.items():
        justify: Literal["left", "right"] = "right" if column else "left"
        grid.add_column(HEADINGS[column], justify=justify, min_width=width, max_width=width, overflow="fold")
    for row in group:
        texts = cells(row)
        if any(texts[1:]):
            grid.add_row(*(Text(texts[column]) for column in widths))
    return grid


def _reasons(group: Sequence[Row], width: int) -> "Table":
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(min_width=width, max_width=width, overflow="fold")
    grid.add_column(overflow="fold")
    for row in group:
        if reason(row):
            grid.add_row(Text(row.block), Text(reason(row), style="yellow" if row.refused else "red"))
    return grid


def page(rows: Sequence[Row], environment: Environment) -> str:
    """report.html: one file that needs no other, nor a network."""
    from jinja2 import Environment as Templates
    from jinja2 import StrictUndefined
    from markupsafe import Markup

    plots = [
        (title, note, Markup(svg))
        for title, note, svg in (
            ("Time against parameters", TIME_NOTE, time_against_parameters(rows)),
            ("Where the forward time goes", SPLIT_NOTE, cost_split(rows)),
        )
        if svg
    ]
    shapes = [(shape, [(cells(row), reason(row)) for row in group]) for shape, group in by_shape(rows).items()]
    template = Templates(autoescape=True, undefined=StrictUndefined).from_string(PAGE)
    columns = _shown(rows)
    return template.render(shapes=shapes, plots=plots, environment=dict(environment), columns=columns, headings=HEADINGS)


TIME_NOTE = "Filled: forward. Hollow: forward and backward. Both axes are logarithmic."
SPLIT_NOTE = "Shares of one forward, by operator. Grey is work outside the operators: applying gates, fusing branches."
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Blocks side by side</title>
<style>
:root { --ink: #1d2530; --soft: #5b6470; --line: #e3e7ec; --back: #f5f7f9; --accent: #3b6fb6; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--ink);
       font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 2.2rem 1.2rem 4rem; }
h1 { font-size: 1.7rem; margin: 0 0 1.2rem; letter-spacing: -0.01em; }
h2 { font-size: 1.15rem; margin: 2.4rem 0 0.6rem; }
section { background: #fff; border: 1px solid var(--line); border-radius: 10px; padding: 1rem 1.2rem;
          overflow-x: auto; }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: 0.3rem 1.6rem; margin: 0; }
dt { color: var(--soft); font-size: 0.76rem; }
dd { margin: 0; overflow-wrap: anywhere; }
dl div.long { grid-column: span 2; }
table { border-collapse: collapse; width: 100%; font-size: 0.86rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.34rem 0.6rem; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 600; font-size: 0.78rem; }
tbody tr:last-child td { border-bottom: 0; }
tbody tr:hover td { background: #f7fafd; }
th:first-child, td:first-child { text-align: left; font-weight: 600; white-space: normal; }
td.reason { text-align: left; white-space: normal; color: #a4432f; }
p { color: var(--soft); margin: 0 0 0.6rem; font-size: 0.86rem; }
footer { margin-top: 1.4rem; }
svg { display: block; width: 100%; height: auto; }
</style>
</head>
<body>
<main>
<h1>Blocks side by side</h1>
<section><dl>
{% for key, value in environment.items() %}<div{% if value|string|length > 30 %} class="long"{% endif %}>
<dt>{{ key }}</dt><dd>{{ value }}</dd></div>
{% endfor %}</dl></section>
{% for shape, group in shapes %}<h2>{{ shape }}</h2>
<section><table>
<thead><tr>{% for column in columns %}<th>{{ headings[column] }}</th>{% endfor %}</tr></thead>
<tbody>
{% for texts, reason in group %}{% if texts[1:]|join %}<tr>{% for column in columns %}<td>{{ texts[column] }}</td>\
{% endfor %}</tr>
{% endif %}{% if reason %}<tr><td>{{ texts[0] }}</td>\
<td class="reason" colspan="{{ [columns|length - 1, 1]|max }}">{{ reason }}</td></tr>
{% endif %}{% endfor %}</tbody>
</table></section>
{% endfor %}{% for title, note, svg in plots %}<h2>{{ title }}</h2>
<section><p>{{ note }}</p>
{{ svg }}</section>
{% endfor %}<footer><p>Times are medians ± half the interquartile range of interleaved timings.
×base: time / the baseline's time. ×floor: time / what this machine needs at least for the traffic and the operations.
saved: kept for backward.</p></footer>
</main>
</body>
</html>
"""
