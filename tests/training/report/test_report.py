"""The report of a store: the same from its files alone, complete, and readable."""

import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from sefactory.training.report.page import render_html, write_report
from sefactory.training.report.run_table import FIELDS, list_runs
from sefactory.training.report.summary import StoreSummary, summarize_store
from sefactory.training.report.verdict_table import verdict_columns, verdict_notes
from sefactory.training.runs.store import RunStore
from tests.training.report.stores import filled_store
from tests.training.verdicts.results import result


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> RunStore:
    return filled_store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def summary(store: RunStore) -> StoreSummary:
    return summarize_store(store)


def cells(summary: StoreSummary, setting: int = 0) -> dict[str, dict[str, str]]:
    """The cells of a setting by block and heading."""
    columns = verdict_columns(summary.settings[setting])
    names = columns[0].cells
    return {name: {column.heading: column.cells[i] for column in columns} for i, name in enumerate(names)}


def test_the_table_has_both_verdicts(summary: StoreSummary) -> None:
    rows = cells(summary)
    assert list(rows) == ["plain", "alike", "alike with static gates", "better", "better with static gates", "lost", "worse"]
    assert {name: row["helps?"] for name, row in rows.items() if "static" not in name} == {
        "plain": "",
        "alike": "not detected",
        "better": "helps",
        "lost": "",
        "worse": "hurts",
    }
    assert (rows["better"]["sees?"], rows["alike"]["sees?"], rows["worse"]["sees?"]) == ("not detected", "helps", "")
    assert rows["lost"]["seeds"] == "7 (1 diverged)" and rows["plain"]["seeds"] == "8"
    assert rows["better with static gates"]["mean %"].startswith("8") and not rows["better with static gates"]["vs plain"]
    assert re.fullmatch(r"\+\d\.\d\d to \+\d\.\d\d", rows["better"]["95 % interval"]) and float(rows["better"]["vs plain"]) > 3


def test_notes_say_what_could_be_seen(summary: StoreSummary) -> None:
    notes = list(verdict_notes(summary.settings[0]))
    assert notes[0] == (
        "residual network of depth 8 and width 8; recipe: lr 0.1, momentum 0.9; blocks after layer*, start: identity"
    )
    assert notes.pop(1) == "digits of 8 x 8 pixels show that everything works; they are no evidence about a block"
    assert re.fullmatch(r"8 seeds: a score varies by 0\.\d\d points within a seed, with 35 degrees of freedom; .*", notes[1])
    assert re.fullmatch(
        r"against plain: this study would have seen a difference of 0\.\d\d points \(with 80 % power\); "
        r"seeds needed for a difference in points: 0\.5: \d+, 1: \d+, 2: \d+",
        notes[2],
    )
    assert notes[3].startswith("against static gates: ") and notes[4] == "lost: no verdict: 1 of 8 runs diverged"
    assert summary.settings[0].title == "digits, 512 image passes, test images"
    screened = list(verdict_notes(summary.settings[1]))
    assert screened[2].startswith("no verdicts: these are scores of the validation images")


def test_files_are_complete_and_do_not_depend_on_the_order(store: RunStore, summary: StoreSummary) -> None:
    write_report(summary, store)
    with (store.folder / "results.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert list(rows[0]) == list(FIELDS) and len(rows) == len(store.results()) + 1
    statuses = [row["status"] for row in rows]
    assert statuses.count("finished") == len(rows) - 2 and statuses.count("diverged") == 1 == statuses.count("failed")
    assert (rows[-1]["block"], rows[-1]["seed"], rows[-1]["error"]) == ("cbam", "3", "RuntimeError: broke")
    assert [row["stage"] for row in rows].count("screen") == 4
    document = json.loads((store.folder / "results.json").read_text())
    assert [len(setting["variants"]) for setting in document["settings"]] == [7, 2]
    assert document["settings"][0]["variants"][3]["to_baseline"]["verdict"] == "helps"
    assert (
        document["refused"] == {"wide <b> of example": "excite.0: mlp: hidden is C/r = 0.5"}
        and len(document["runs"]) == len(rows) - 1
    )


def test_the_page_is_one_file_with_all_plots(store: RunStore, summary: StoreSummary) -> None:
    page = render_html(summary, store)
    assert page == render_html(summarize_store(store), store)
    assert "wide &lt;b&gt;" in page and "<b>refused" not in page
    assert len(re.findall(r"<svg[^>]*role=\"img\"", page)) == 1 + 1 + 3 + 1 + 3  # one forest plot: the screen has no verdicts
    assert "RuntimeError: broke" in page and "Differences in points with 95 % intervals, 3 variants" in page
    identifiers = re.findall(r'\bid="([^"]+)"', page)
    assert len(identifiers) == len(set(identifiers))
    assert {f"#{name}" for name in identifiers} >= set(re.findall(r'href="(#[^"]+)"', page))
    assert not re.search(r"(src|href)=\"(?!#)", page) and "http://" not in re.sub(r"http://www\.w3\.org/[^\"]*", "", page)


def test_tooltips_have_the_numbers(store: RunStore, summary: StoreSummary) -> None:
    page = render_html(summary, store)
    assert re.search(r"better: helps\n\+\d\.\d\d points \(\+\d\.\d\d to \+\d\.\d\d\)", page)
    assert re.search(r"better\n1,060 parameters\n8\d\.\d\d %", page)


def test_an_empty_store_has_an_empty_summary(tmp_path: Path) -> None:
    summary = summarize_store(RunStore(tmp_path))
    assert summary.settings == () and summary.results == () and "Which blocks help" in render_html(summary, RunStore(tmp_path))


def test_settings_and_runs_that_differ_in_one_value_are_told_apart(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    for index, rate in enumerate((0.1, 0.3)):
        run = result("plain", index, 80.0, setting=str(rate))
        run = replace(run, setup=run.setup | {"recipe": run.setup["recipe"] | {"lr": rate}})
        store.run(run.run).path.mkdir(parents=True)
        store.run(run.run).write_result(run)
    titles = [setting.title for setting in summarize_store(store).settings]
    assert sorted(titles) == [f"digits, 512 image passes, test images, recipe.lr {rate}" for rate in (0.1, 0.3)]
    columns, *_ = list_runs(store.results())
    assert {column.heading: list(column.cells) for column in columns}["recipe.lr"] == ["0.1", "0.3"]
