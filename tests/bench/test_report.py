"""Results written, read back, drawn and printed."""

import csv
import io
import json
import os
import re
import subprocess
import sys
from dataclasses import asdict, fields, replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.console import Console

from sefactory.bench import formatting, plots, report, results
from sefactory.bench.results import Row, axis_sizes, read_results, refused_row, write_results
from sefactory.bench.table import print_table

ENVIRONMENT = {"torch": "2.13.0", "cores": 2, "load": 0.5, "cpu": "<Some> & Co"}
NAMES = ("senet", "sknet", "cbam", "coordatt", "triplet", "seaformer", "danet")
SHAPES = ((8, 256, 56, 56), (8, 512, 28, 28), (8, 1024, 14, 14), (8, 2048, 7, 7))
NASTY = '<script>alert("x")</script> & $a_b$ [red]é'


def row(name: str, shape: tuple[int, int, int, int] = SHAPES[0], order: int = 1) -> Row:
    """A complete row whose times grow with `order`."""
    return Row(
        name,
        "x".join(map(str, shape)),
        *axis_sizes(shape),
        parameters=811_264 * order,
        macs=1_234_000_000 * order,
        elements=20_600_000,
        saved_bytes=92_600_000,
        peak_bytes=204_000_000,
        forward_s=0.0112 * order,
        forward_iqr_s=0.0006,
        train_s=0.378 * order,
        train_iqr_s=0.018,
        rounds=15,
        forward_ratio=float(order),
        train_ratio=0.125,
        forward_floor_s=0.001,
        train_floor_s=0.0025,
        forward_over_floor=11.2 * order,
        train_over_floor=151.2 * order,
        split={"conv": 0.004 * order, "batch_norm": 0.002 * order},
    )


def seven() -> list[Row]:
    """Seven blocks at four shapes, the last named the fastest."""
    return [row(name, shape, 7 - i) for shape in SHAPES for i, name in enumerate(NAMES)]


def printed(rows: list[Row], width: int) -> list[str]:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    print_table(rows, console)
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_json_round_trip(tmp_path: Path) -> None:
    rows = [*seven(), refused_row(NASTY, SHAPES[0], "because")]
    report.write_report(rows, ENVIRONMENT, tmp_path / "new" / "folder")
    assert read_results(tmp_path / "new" / "folder") == (rows, ENVIRONMENT)
    document = json.loads((tmp_path / "new" / "folder" / "results.json").read_text(encoding="utf-8"))
    assert document["schema"] == 1 and document["rows"][0] == asdict(rows[0])


def test_csv_is_flat_and_complete(tmp_path: Path) -> None:
    rows = [row(NASTY), refused_row("b", SHAPES[1], "one, two\nthree")]
    report.write_report(rows, ENVIRONMENT, tmp_path)
    with (tmp_path / "results.csv").open(encoding="utf-8", newline="") as file:
        read = list(csv.DictReader(file))
    assert list(read[0]) == [field.name for field in fields(Row)]
    assert read[0]["block"] == NASTY and json.loads(read[0]["split"]) == rows[0].split
    assert float(read[0]["forward_s"]) == rows[0].forward_s and int(read[0]["parameters"]) == 811_264
    assert read[1]["forward_s"] == "" and read[1]["refused"] == "one, two\nthree"


def test_every_field_is_documented() -> None:
    assert results.__doc__ is not None
    assert [field.name for field in fields(Row) if not re.search(rf"^    .*\b{field.name}\b", results.__doc__, re.M)] == []


def test_json_is_strict(tmp_path: Path) -> None:
    odd = replace(row("a"), forward_ratio=float("nan"), train_s=float("inf"), split={"conv": float("nan"), "gain": 1e-3})
    report.write_report([odd], {"load": float("nan")}, tmp_path)
    text = (tmp_path / "results.json").read_text(encoding="utf-8")
    document = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    written = document["rows"][0]
    assert (written["forward_ratio"], written["train_s"], written["split"]) == (None, None, {"gain": 1e-3})
    for file in ("results.csv", "report.html"):
        assert not re.search(r"\b(nan|inf)\b", (tmp_path / file).read_text(encoding="utf-8"), re.I), file


def test_an_interrupted_write_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report.write_report([row("old")], ENVIRONMENT, tmp_path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert set(before) == {"results.json", "results.csv", "report.html"}

    def interrupt(source: object, target: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", interrupt)
        with pytest.raises(KeyboardInterrupt):
            report.write_report([row("new")], ENVIRONMENT, tmp_path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_results_are_safe_before_anything_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(rows: object, environment: object) -> str:
        raise RuntimeError("no font")

    monkeypatch.setattr(report, "render_html", fail)
    with pytest.raises(RuntimeError, match="no font"):
        report.write_report([row("a")], ENVIRONMENT, tmp_path)
    assert read_results(tmp_path) == ([row("a")], ENVIRONMENT)


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"schema": 2, "rows": [], "environment": {}}', '{"schema": 1, "environment": {}, "rows": [{"block": 1}]}'],
)
def test_unreadable_results_name_their_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "results.json").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"results\.json holds no results that can be read: "):
        read_results(tmp_path)


class Reader(HTMLParser):
    """The tags, the text and the references of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.references: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.references += [value or "" for key, value in attrs if key in ("src", "href", "xlink:href")]

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())


def test_the_page_needs_nothing_else() -> None:
    page = report.render_html(seven(), ENVIRONMENT)
    assert not re.search(r"https?://", re.sub(r'xmlns(:\w+)?="[^"]*"', "", page))
    assert not re.search(r"@import|@font-face", page)
    reader = Reader(page)
    assert not {"script", "link", "img", "iframe"} & set(reader.tags) and reader.tags.count("svg") == 2
    assert reader.references and all(reference.startswith("#") for reference in reader.references)


def test_the_page_escapes_names_everywhere() -> None:
    bad = replace(row(NASTY), split={NASTY: 0.005}, error=NASTY)
    page = report.render_html([bad, refused_row("b", SHAPES[0], NASTY)], {**ENVIRONMENT, "device": NASTY})
    reader = Reader(page)
    assert "script" not in reader.tags
    # table, environment, its own error, the refusal of b; then plot label, bar and legend, where only long names are cut
    assert sum(NASTY in text for text in reader.texts) >= 4
    assert sum(text.startswith(NASTY[:35]) for text in reader.texts) >= 7
    assert "<Some> & Co" in reader.texts


def test_the_page_holds_every_row_sorted_by_time() -> None:
    reader = Reader(report.render_html(seven(), ENVIRONMENT))
    cells = [text for text in reader.texts if text in NAMES]
    assert cells[:7] == list(reversed(NAMES))  # the last is the fastest
    assert len(cells) == 7 * 4 * 3  # in the table, beside its marker, beside its bar
    assert "11.2 ±0.3 ms" in reader.texts and "811,264" in reader.texts
    assert {"conv", "batch_norm", "outside the operators", *ENVIRONMENT} <= set(reader.texts)


def test_a_page_without_times_has_no_plots() -> None:
    reader = Reader(report.render_html([refused_row("a", SHAPES[0], "because")], ENVIRONMENT))
    assert "svg" not in reader.tags and "refused: because" in reader.texts
    assert "svg" not in Reader(report.render_html([], {})).tags


def test_blocks_without_parameters_are_drawn() -> None:
    svg = plots.time_against_parameters([replace(row("none"), parameters=0), row("some")])
    texts = Reader(svg).texts
    assert {"none", "some", "0", "1", "10 k"} <= set(texts)
    assert not any(re.match(r"[-\N{MINUS SIGN}]", text) for text in texts)


def test_of_many_blocks_only_the_best_are_named() -> None:
    rows = [replace(row(f"block{i:02}", order=i + 1), parameters=1000 - 300 * (i in (4, 9))) for i in range(30)]
    svg = plots.time_against_parameters(rows)
    assert set(re.findall(r"block\d\d", svg)) == {"block00", "block04"}  # the fastest, and the fastest of the smaller
    assert len(set(re.findall(r"block\d\d", plots.cost_split(rows)))) == plots.MAX_BARS


def test_shares_add_up_to_the_whole() -> None:
    colours = dict.fromkeys(("conv", "other operators", "outside the operators"), "#000")
    shares = plots.time_shares(replace(row("a"), forward_s=0.010, split={"conv": 0.004, "gain": 0.001}), colours)
    assert shares == pytest.approx({"conv": 0.4, "other operators": 0.1, "outside the operators": 0.5})
    shares = plots.time_shares(replace(row("a"), forward_s=0.010, split={"conv": 0.012, "gain": 0.004}), colours)
    assert shares == pytest.approx({"conv": 0.75, "other operators": 0.25, "outside the operators": 0.0})


def test_labels_keep_clear_of_one_another() -> None:
    occupied = [plots.Box(96.0, 104.0, 50.0)]
    first = plots.place_label(100, 50, 40, occupied, right_limit=400)
    second = plots.place_label(100, 52, 40, occupied, right_limit=400)
    assert (first, second) == ((0.0, 1), (0.0, -1))
    assert plots.place_label(100, 51, 40, occupied, right_limit=400) == (12.0, 1)
    assert plots.place_label(390, 90, 40, occupied, right_limit=400) == (0.0, -1)


@pytest.mark.parametrize("width", [120, 80])
def test_the_table_fits(width: int) -> None:
    lines = printed(seven(), width)
    assert max(map(len, lines)) <= width
    assert "…" not in "".join(lines)
    for shape in SHAPES:
        start = lines.index("x".join(map(str, shape)))
        assert [line.split()[0] for line in lines[start + 3 : start + 10]] == list(reversed(NAMES))
    assert sum("11.2 ±0.3 ms" in line for line in lines) == 4


def test_the_table_at_its_widest_shows_everything() -> None:
    line = next(line for line in printed([row("a")], 120) if line.startswith("a "))
    expected = "811,264 1.23 G 20.6 M 92.6 MB 204 MB 11.2 ±0.3 ms 1.00 11.2 378 ±9 ms 0.12 151"
    assert " ".join(line.split()[1:]) == expected


def test_a_narrow_table_says_what_it_leaves_out() -> None:
    lines = printed(seven(), 80)
    assert lines[-1] == "No room on this terminal for: MACs, elem-ops, peak."
    assert printed(seven(), 96)[-1] == "No room on this terminal for: elem-ops."
    assert "No room" not in printed(seven(), 120)[-1]
    assert max(map(len, printed([row("unit squeeze=mean,max excite=attention gate=hard_sigmoid" * 2)], 80))) <= 80


def test_refusals_and_errors_are_rows_of_the_table() -> None:
    failed = replace(row("half"), train_s=None, train_iqr_s=None, error="training: one value [per] channel")
    lines = printed([refused_row("no[b]", SHAPES[0], "no fit"), failed, row("good", order=9)], 120)
    names = [line.split()[0] for line in lines if line][3:]
    assert names == ["half", "good", "half", "no[b]"]
    assert any(line.startswith("no[b]") and line.endswith("refused: no fit") for line in lines)
    assert any(line.startswith("half") and line.endswith("training: one value [per] channel") for line in lines)


def test_no_ratio_columns_without_a_baseline() -> None:
    rows = [replace(row("a"), forward_ratio=None, train_ratio=None)]
    assert "×base" not in "".join(printed(rows, 120)) and "×bound" in "".join(printed(rows, 120))
    assert "× baseline" not in Reader(report.render_html(rows, ENVIRONMENT)).texts


def test_an_empty_table() -> None:
    assert printed([], 80) == []


@pytest.mark.parametrize(
    "value, unit, text",
    [
        (8464, "", "8,464"),
        (999_999, "", "999,999"),
        (1_000_000, "", "1.00 M"),
        (9.996e-4, "s", "1.00 ms"),
        (3e-10, "s", "0.30 ns"),
    ],
)
def test_numbers_as_people_read_them(value: float, unit: str, text: str) -> None:
    assert formatting.format_quantity(value, unit) == text


def test_drawing_libraries_are_loaded_only_to_draw() -> None:
    code = "import sys, sefactory.bench.report; print(sorted({'matplotlib', 'rich', 'jinja2'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "matplotlib" not in result.stdout and "rich" not in result.stdout


def test_many_blocks_are_drawn_as_the_fastest_of_them() -> None:
    bars = plots.MAX_BARS
    drawn = plots.cost_split([row(f"block{i:02}", order=i + 1) for i in range(bars + 3)])
    assert f"the {bars} fastest of {bars + 3}" in drawn
    assert f"block{bars - 1:02}" in drawn and f"block{bars:02}" not in drawn


def test_data_alone_is_written_without_a_page(tmp_path: Path) -> None:
    write_results(seven(), ENVIRONMENT, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results.csv", "results.json"]
    assert read_results(tmp_path)[0] == seven()
