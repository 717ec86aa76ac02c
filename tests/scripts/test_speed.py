"""scripts/speed.py: its options, and the rows and pages that it writes."""

import json
from pathlib import Path

import pytest
import speed
from timing import count, page
from timing.results import Results

import sefactory as sf
from tests.scripts.rows import paper_row, results_of


def test_rows_stay_on_disk_and_are_replaced_when_measured_again(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    results_of(paper_row("senet", 4e-3, 1e-3), paper_row("cbam", 1e-3, 1e-3), path=path)
    again = Results(path)
    assert again.rows == results_of(paper_row("senet", 4e-3, 1e-3), paper_row("cbam", 1e-3, 1e-3)).rows
    again.add(paper_row("senet", 4e-3, 2e-3))
    assert [row["block"] for row in json.loads(path.read_text())["rows"]] == ["senet", "cbam"]
    assert Results(path).rows["seven/senet/cpu/full/forward"].ratio() == 2.0


def test_fewer_than_one_process_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        speed.parse_arguments(["--processes", "0"])
    assert "error: --processes: 0 is not at least 1" in capsys.readouterr().err


def test_the_page_alone_is_written_from_the_file(tmp_path: Path) -> None:
    results_of(paper_row("senet", 4e-3, 1e-3), path=tmp_path / "rows.json")
    code = speed.main(["--blocks", "none", "--json", str(tmp_path / "rows.json"), "--write", str(tmp_path / "speed.md")])
    assert code == 0 and (tmp_path / "speed.md").read_text() == page.page(Results(tmp_path / "rows.json"))


def test_a_new_page_keeps_the_counts_of_the_old_one(tmp_path: Path) -> None:
    results_of(paper_row("senet", 4e-3, 1e-3), path=tmp_path / "rows.json")
    old = tmp_path / "speed.md"
    old.write_text(f"# Speed\n\n{count.TITLE}\n\ncounted\n\n## Building\n\nold\n")
    speed.main(["--blocks", "none", "--json", str(tmp_path / "rows.json"), "--write", str(old)])
    assert old.read_text() == f"{page.page(Results(tmp_path / 'rows.json'))}\n{count.TITLE}\n\ncounted\n"


def test_all_or_the_named_blocks_are_compiled() -> None:
    assert speed.parse_arguments(["--compiled-blocks", "all"]).compiled_blocks == sf.configs()
    assert speed.parse_arguments(["--compiled-blocks", "lsk,senet"]).compiled_blocks == ["lsk", "senet"]
    assert speed.parse_arguments([]).compiled_blocks == []


def test_a_block_that_is_not_shipped_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        speed.parse_arguments(["--compiled-blocks", "senet,senett"])
    assert "--compiled-blocks: senett is none of a2net, bam, " in capsys.readouterr().err


def test_an_unknown_block_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        speed.parse_arguments(["--blocks", "senet,senett"])
    assert "--blocks: senett is none of senet, cbam, coordatt, triplet, sknet, seaformer, danet" in capsys.readouterr().err
