"""results.json and results.csv: written, read back, atomic and strict."""

import csv
import json
import os
import re
from dataclasses import asdict, fields, replace
from pathlib import Path

import pytest

from sefactory.bench import results
from sefactory.bench.report import page, write_report
from sefactory.bench.results import Results, Row, read_results, refused_row, write_results
from tests.bench.rows import ENVIRONMENT, NASTY, SHAPES, row, seven


def test_json_round_trip(tmp_path: Path) -> None:
    rows = [*seven(), refused_row(NASTY, SHAPES[0], "because")]
    write_report(Results(rows, ENVIRONMENT), tmp_path / "new" / "folder")
    assert read_results(tmp_path / "new" / "folder") == Results(rows, ENVIRONMENT)
    document = json.loads((tmp_path / "new" / "folder" / "results.json").read_text(encoding="utf-8"))
    assert document["schema"] == 2 and document["rows"][0] == asdict(rows[0])


def test_csv_is_flat_and_complete(tmp_path: Path) -> None:
    rows = [row(NASTY), refused_row("b", SHAPES[1], "one, two\nthree")]
    write_report(Results(rows, ENVIRONMENT), tmp_path)
    with (tmp_path / "results.csv").open(encoding="utf-8", newline="") as file:
        read = list(csv.DictReader(file))
    assert list(read[0]) == [field.name for field in fields(Row)]
    assert read[0]["block"] == NASTY and json.loads(read[0]["split"]) == rows[0].split and json.loads(read[0]["marks"]) == []
    assert float(read[0]["forward_s"]) == rows[0].forward_s and int(read[0]["parameters"]) == 811_264
    assert read[1]["forward_s"] == "" and read[1]["refused"] == "one, two\nthree"


def test_every_field_is_documented() -> None:
    assert results.__doc__ is not None
    assert [field.name for field in fields(Row) if not re.search(rf"^    .*\b{field.name}\b", results.__doc__, re.M)] == []


def test_json_is_strict(tmp_path: Path) -> None:
    odd = replace(row("a"), forward_ratio=float("nan"), train_s=float("inf"), split={"conv": float("nan"), "gain": 1e-3})
    odd = replace(odd, forward_rounds_s=[1e-3, float("inf")])
    write_report(Results([odd], {"load": float("nan")}), tmp_path)
    text = (tmp_path / "results.json").read_text(encoding="utf-8")
    document = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    written = document["rows"][0]
    assert (written["forward_ratio"], written["train_s"], written["split"]) == (None, None, {"gain": 1e-3})
    assert written["forward_rounds_s"] == [1e-3] and read_results(tmp_path).rows[0].forward_rounds_s == [1e-3]
    for file in ("results.csv", "report.html"):
        assert not re.search(r"\b(nan|inf)\b", (tmp_path / file).read_text(encoding="utf-8"), re.I), file


def test_an_interrupted_write_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_report(Results([row("old")], ENVIRONMENT), tmp_path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert set(before) == {"results.json", "results.csv", "report.html"}

    def interrupt(source: object, target: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", interrupt)
        with pytest.raises(KeyboardInterrupt):
            write_report(Results([row("new")], ENVIRONMENT), tmp_path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_results_are_safe_before_anything_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(results: object) -> str:
        raise RuntimeError("no font")

    monkeypatch.setattr(page, "render_html", fail)
    with pytest.raises(RuntimeError, match="no font"):
        write_report(Results([row("a")], ENVIRONMENT), tmp_path)
    assert read_results(tmp_path) == Results([row("a")], ENVIRONMENT)


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"schema": 1, "rows": [], "environment": {}}', '{"schema": 2, "environment": {}, "rows": [{"block": 1}]}'],
)
def test_unreadable_results_name_their_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "results.json").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"results\.json holds no results that can be read: "):
        read_results(tmp_path)


def test_a_row_has_exactly_its_fields() -> None:
    document = results.as_document(Results([row("a"), row("b")], ENVIRONMENT))
    assert results.from_document(document).rows == [row("a"), row("b")]
    half = {key: value for key, value in document["rows"][1].items() if key not in ("train_s", "marks")}
    with pytest.raises(ValueError, match=r"^rows\.1 lacks train_s, marks$"):
        results.from_document({**document, "rows": [document["rows"][0], half]})
    with pytest.raises(ValueError, match=r"^rows\.0 has speed, which this version of sefactory does not know$"):
        results.from_document({**document, "rows": [{**document["rows"][0], "speed": 1.0}]})


def test_data_alone_is_written_without_a_page(tmp_path: Path) -> None:
    write_results(Results(seven(), ENVIRONMENT), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results.csv", "results.json"]
    assert read_results(tmp_path).rows == seven()
