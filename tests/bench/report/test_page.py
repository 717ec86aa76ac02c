"""report.html: complete, escaped, without references to other files, and usable without its script."""

import base64
import hashlib
import re
from dataclasses import replace
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from sefactory.bench.report import render_html
from sefactory.bench.report.facts import SHARES
from sefactory.bench.report.svg import VARIABLES
from sefactory.bench.results import Results, Row, refused_row
from tests.bench.output import Reader, printed
from tests.bench.rows import ENVIRONMENT, NAMES, NASTY, SHAPES, row, seven

COMMAND = "sefactory bench 'blocks=[senet,cbam]' input=tiny"


def texts(rows: list[Row], **others: object) -> list[str]:
    """The texts of the page of these rows."""
    return Reader(render_html(replace(Results(rows, ENVIRONMENT), **others))).texts


def test_the_page_needs_nothing_else() -> None:
    page = render_html(Results(seven(), ENVIRONMENT, {name: "squeeze: mean" for name in NAMES}))
    assert not re.search(r"https?://", re.sub(r'xmlns(:\w+)?="[^"]*"', "", page))
    assert not re.search(r"@import|@font-face", page)
    reader = Reader(page)
    assert not {"link", "img", "iframe"} & set(reader.tags)
    assert reader.references and all(reference.startswith("#") for reference in reader.references)


def test_only_the_script_of_the_report_is_allowed_to_run() -> None:
    page = render_html(Results(seven(), ENVIRONMENT))
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'\"" in page


def test_the_page_escapes_names_everywhere() -> None:
    bad = replace(row(NASTY), split={NASTY: 0.005}, nodes={NASTY: 0.005}, error=NASTY, marks=[NASTY], baseline=NASTY)
    environment = {**ENVIRONMENT, "device": NASTY, "command": NASTY, "date": NASTY}
    results = Results([bad, refused_row("b", SHAPES[0], NASTY)], environment, {NASTY: NASTY, "b": NASTY}, NASTY)
    page = render_html(results)
    reader = Reader(page)
    assert reader.tags.count("script") == 1
    assert "alert" not in "".join(re.findall(r"<script>(.*?)</script>", page, re.DOTALL))
    # heading: command, date, interrupted; table: name, mark, error, refusal, baseline; plot; bar; legend; configs; device
    assert sum(NASTY in text for text in reader.texts) >= 13
    assert "<Some> & Co" in reader.texts


@settings(max_examples=5, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=50))
def test_any_name_makes_a_page(name: str) -> None:
    bad = replace(row(name), split={name: 0.005}, nodes={name: 0.005}, error=name, marks=[name])
    reader = Reader(render_html(Results([bad], ENVIRONMENT, {name: name})))
    assert reader.tags.count("script") == reader.tags.count("figure") == 1


def test_the_page_holds_every_row_sorted_by_time() -> None:
    found = texts(seven())
    cells = [text for text in found if text in NAMES]
    assert cells[:7] == list(reversed(NAMES))  # the last is the fastest
    assert cells.count("cbam") == 4 * 3 + 1  # in the table, beside its marker, beside its bar; and once with its nodes
    assert "11.2 ±0.3 ms" in found and "811,264" in found
    assert {"conv", "batch_norm", "outside the nodes", "load at the start", "<Some> & Co"} <= set(found)


def test_a_report_without_times_has_no_plots() -> None:
    reader = Reader(render_html(Results([refused_row("a", SHAPES[0], "because")], ENVIRONMENT)))
    assert "figure" not in reader.tags and "refused: because" in reader.texts
    assert "figure" not in Reader(render_html(Results([], {}))).tags


def test_no_ratio_columns_without_a_baseline() -> None:
    rows = [replace(row("a"), forward_ratio=None, train_ratio=None, baseline=None)]
    assert "×base" not in "".join(printed(rows, 120)) and "×bound" in "".join(printed(rows, 120))
    assert not [text for text in texts(rows) if "baseline" in text.lower()]


def test_the_page_tells_how_it_was_made() -> None:
    environment = {**ENVIRONMENT, "command": COMMAND, "date": "2026-12-01T10:22:31+00:00", "rounds": 9, "copy_GB_per_s": 12.5}
    found = texts([row("a")], environment=environment)
    assert {COMMAND, "2026-12-01 10:22:31 UTC", "copy bandwidth, GB/s", "12.5", "rounds", "2.13.0"} <= set(found)
    assert [text for text in found if text in ("Machine", "Versions", "Options")] == ["Machine", "Versions", "Options"]


def test_an_interrupted_run_is_told_at_the_top() -> None:
    found = texts(seven(), interrupted="after round 3 of 9")
    assert found.index("after round 3 of 9") < found.index("parameters")
    assert "Interrupted:" in found and "Interrupted:" not in texts(seven())


def test_marked_rows_show_their_reasons() -> None:
    marks = ["load 4.1 on 2 cores", "one round only"]
    found = texts([replace(row("a"), marks=marks), row("b")])
    assert "load 4.1 on 2 cores; one round only" in found
    assert found.count("!") == 2 + 1 + 1  # beside both times, before the reasons, and in the explanations
    assert "!" not in texts([row("a"), row("b")])


def test_names_link_to_configs_and_back() -> None:
    page = render_html(Results([row("a"), row("b")], ENVIRONMENT, {"a": "squeeze: mean\nexcite: mlp\n", "c": "unused: 1"}))
    assert '<a href="#config-0">a</a>' in page and ">b</a>" not in page and "unused" not in page
    config = page[page.index('id="config-0"') :]
    assert "squeeze: mean\nexcite: mlp" in config and '<a href="#row-0-0">8x256x56x56</a>' in config
    assert '<tbody id="row-0-0" data-block="a">' in page


def test_times_by_node_add_up() -> None:
    rows = [replace(row("a"), forward_s=0.010, nodes={"": 0.001, "excite.0": 0.006})]
    found = texts(rows)
    start = found.index("(the block itself)")
    assert [text for text in found[start:] if text][:6] == [
        *("(the block itself)", "1.00 ms (10%)"),
        *("excite.0", "6.00 ms (60%)"),
        *("outside the nodes", "3.00 ms (30%)"),
    ]


def test_one_baseline_is_told_once() -> None:
    assert "Baseline: danet, 11.2 ms forward and 378 ms training in the same rounds." in texts([row("a"), row("b")])


def test_ratios_have_intervals() -> None:
    found = texts([row("a", order=2), row("danet")])
    assert "2.00 ±0.04" in found and found.count("0.12 ±0.01") == 1 and "1.00" in found


def test_baselines_of_several_jobs_are_beside_the_ratios() -> None:
    rows = [row("a"), replace(row("b"), baseline_forward_s=0.0266)]
    found = texts(rows)
    assert (
        "Baseline: danet, timed again in every job. Below each ratio is the time of the baseline in the same rounds." in found
    )
    assert found.count("of 11.2 ms") == 1 and found.count("of 26.6 ms") == 1 and found.count("of 378 ms") == 2
    found = texts([*rows, replace(row("c"), baseline="senet", train_ratio=None)])
    assert "of senet, 11.2 ms" in found and "of danet, 26.6 ms" in found and "of senet, 378 ms" not in found


def test_cells_hold_the_values_to_sort_by() -> None:
    page = render_html(Results([row("a"), refused_row("b", SHAPES[0], "because")], ENVIRONMENT))
    assert '<td data-value="0.0112">11.2 ±0.3 ms</td>' in page and '<td data-value="811264">811,264</td>' in page
    assert page.count('aria-sort="ascending"') == 1 and re.search(r'aria-sort="ascending">forward<', page)


def test_many_rows_get_a_filter() -> None:
    assert "Filter blocks" in texts([row(f"block{i}") for i in range(16)])
    assert "Filter blocks" not in texts([row(f"block{i}") for i in range(15)])


def test_the_signs_and_columns_are_explained() -> None:
    found = texts([replace(row("a"), marks=["one round only"])])
    notes = found[found.index("What the columns mean", found.index("Machine, versions and options")) :]
    headings = {"elementwise ops", "saved for backward", "peak memory", "× baseline", "× roofline bound", "±", "!"}
    assert {*headings, "forward time by node"} <= set(notes)


def test_merged_steps_are_explained_as_in_the_documentation() -> None:
    documentation = " ".join((Path(__file__).parents[3] / "docs/cli.md").read_text(encoding="utf-8").split())
    sentences = [sentence for sentence in SHARES.split(". ") if sentence.startswith("Where ")]
    assert len(sentences) == 2 and all(sentence in documentation for sentence in sentences)


def test_every_color_of_a_plot_has_a_value_for_light_and_dark() -> None:
    page = render_html(Results(seven(), ENVIRONMENT))
    light, dark = re.findall(r":root \{(.*?)\}", page, re.DOTALL)
    for color, variable in VARIABLES.items():
        assert f"{variable}: {color};" in light
        assert f"{variable}: " in dark and f"{variable}: {color};" not in dark
    plots = "".join(re.findall(r"<figure>(.*?)</figure>", page, re.DOTALL))
    assert not [color for color in re.findall(r"#[0-9a-f]{6}", re.sub(r"var\([^)]*\)", "", plots))]
