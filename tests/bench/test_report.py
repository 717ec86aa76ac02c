"""report.html: complete, escaped, and without references to other files."""

import re
from dataclasses import replace

from sefactory.bench import report
from sefactory.bench.results import Results, refused_row
from tests.bench.output import Reader, printed
from tests.bench.rows import ENVIRONMENT, NAMES, NASTY, SHAPES, row, seven


def test_the_page_needs_nothing_else() -> None:
    page = report.render_html(Results(seven(), ENVIRONMENT))
    assert not re.search(r"https?://", re.sub(r'xmlns(:\w+)?="[^"]*"', "", page))
    assert not re.search(r"@import|@font-face", page)
    reader = Reader(page)
    assert not {"script", "link", "img", "iframe"} & set(reader.tags) and reader.tags.count("svg") == 2
    assert reader.references and all(reference.startswith("#") for reference in reader.references)


def test_the_page_escapes_names_everywhere() -> None:
    bad = replace(row(NASTY), split={NASTY: 0.005}, error=NASTY)
    page = report.render_html(Results([bad, refused_row("b", SHAPES[0], NASTY)], {**ENVIRONMENT, "device": NASTY}))
    reader = Reader(page)
    assert "script" not in reader.tags
    # table, environment, its own error, the refusal of b; then plot label, bar and legend, where only long names are cut
    assert sum(NASTY in text for text in reader.texts) >= 4
    assert sum(text.startswith(NASTY[:35]) for text in reader.texts) >= 7
    assert "<Some> & Co" in reader.texts


def test_the_page_holds_every_row_sorted_by_time() -> None:
    reader = Reader(report.render_html(Results(seven(), ENVIRONMENT)))
    cells = [text for text in reader.texts if text in NAMES]
    assert cells[:7] == list(reversed(NAMES))  # the last is the fastest
    assert len(cells) == 7 * 4 * 3  # in the table, beside its marker, beside its bar
    assert "11.2 ±0.3 ms" in reader.texts and "811,264" in reader.texts
    assert {"conv", "batch_norm", "outside the operators", *ENVIRONMENT} <= set(reader.texts)


def test_a_report_without_times_has_no_plots() -> None:
    reader = Reader(report.render_html(Results([refused_row("a", SHAPES[0], "because")], ENVIRONMENT)))
    assert "svg" not in reader.tags and "refused: because" in reader.texts
    assert "svg" not in Reader(report.render_html(Results([], {}))).tags


def test_no_ratio_columns_without_a_baseline() -> None:
    rows = [replace(row("a"), forward_ratio=None, train_ratio=None)]
    assert "×base" not in "".join(printed(rows, 120)) and "×bound" in "".join(printed(rows, 120))
    assert "× baseline" not in Reader(report.render_html(Results(rows, ENVIRONMENT))).texts
