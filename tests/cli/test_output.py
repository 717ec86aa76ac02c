"""Formats of `bench` and `show`: standard output holds data alone; and the console on it."""

import csv
import io
import json
from pathlib import Path

import pytest

from sefactory.bench.layout import TextColumn
from sefactory.bench.results import Results
from sefactory.bench.text_tables import FORMATS
from sefactory.cli.output import Listing, print_listing, print_results, stdout_console
from tests.bench.rows import ENVIRONMENT, row, seven
from tests.cli.command_line import SMALL, Run, results_folder

LISTING = Listing(
    title="a title",
    facts="2 x 3",
    columns=[TextColumn("path", ["a.b", "total"], align="left"), TextColumn("MACs", ["1,000", "1,000"], 0)],
    totals=1,
    notes=["let: r = 1"],
    fields=["path", "macs"],
    records=[["a.b", 1000]],
    document={"lines": [{"path": "a.b", "macs": 1000}]},
)
TABLE = """\
a title  2 x 3
path    MACs
────────────
a.b    1,000
────────────
total  1,000
let: r = 1
"""
MARKDOWN = """\
**a title** 2 x 3

| path | MACs |
| --- | ---: |
| a.b | 1,000 |
| total | 1,000 |

- let: r = 1
"""


def test_a_list_in_each_format(capsys: pytest.CaptureFixture[str]) -> None:
    expected = {
        "table": TABLE,
        "csv": "path,macs\na.b,1000\n",
        "tsv": "path\tmacs\na.b\t1000\n",
        "json": '{\n "lines": [\n  {\n   "path": "a.b",\n   "macs": 1000\n  }\n ]\n}\n',
        "markdown": MARKDOWN,
    }
    for layout in FORMATS:
        print_listing(LISTING, layout)
        assert capsys.readouterr().out == expected[layout], layout


@pytest.mark.parametrize("layout", FORMATS)
def test_the_folder_is_named_on_standard_error(capsys: pytest.CaptureFixture[str], layout: str) -> None:
    print_results(Results([row("senet")], ENVIRONMENT), layout, Path("/out"))
    out, err = capsys.readouterr()
    assert "senet" in out and "/out" not in out
    assert err == "results.json, results.csv and report.html are in /out\n"


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_limits_the_width_and_a_pipe_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    monkeypatch.setattr("sys.stdout", terminal := Terminal())
    print_results(Results(seven(), {}), "table")
    assert stdout_console().width == 50 and "No room on this terminal" in terminal.getvalue()
    monkeypatch.setattr("sys.stdout", pipe := io.StringIO())
    print_results(Results([row("n" * 200)], {}), "table")
    line = next(line for line in pipe.getvalue().splitlines() if line.startswith("n" * 200))
    assert (
        line.split()[1:] == "811,264 1.23 G 20.6 M 92.6 MB 204 MB 11.2 ±0.3 ms 1.00 ±0.04 11.2 378 ±9 ms 0.12 ±0.01 151".split()
    )
    assert "\033" not in pipe.getvalue() and "No room" not in pipe.getvalue()


@pytest.mark.parametrize(("variables", "has_codes"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
def test_colours_of_a_terminal(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], has_codes: bool) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"TERM": "xterm-256color", **variables}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stdout", terminal := Terminal())
    print_results(Results(seven(), {}), "table")
    print_listing(LISTING, "table")
    assert ("\033" in terminal.getvalue()) is has_codes


def test_bench_prints_the_content_of_its_files(run: Run, tmp_path: Path) -> None:
    code, out, err = run("bench", "blocks=[senet]", "format=csv", "hydra.run.dir=a", *SMALL)
    assert (code, out) == (0, (tmp_path / "a" / "results.csv").read_text())
    assert [row["block"] for row in csv.DictReader(io.StringIO(out))] == ["senet"] and "report.html are in" in err
    code, out, _ = run("bench", "blocks=[senet]", "format=json", "hydra.run.dir=b", *SMALL)
    assert (code, out) == (0, (tmp_path / "b" / "results.json").read_text())


def test_a_sweep_prints_one_list(run: Run, tmp_path: Path) -> None:
    code, out, err = run("bench", "-m", "block=cbam,ecanet", "format=tsv", "baseline=null", *SMALL)
    heading, *lines = out.splitlines()
    assert code == 0 and [line.split("\t")[0] for line in lines] == ["cbam", "ecanet"] and heading.startswith("block\tshape\t")
    assert results_folder(tmp_path, "multirun").name in err


def test_show_in_formats_for_programs(run: Run) -> None:
    small = ("channels=64", "size=7")
    summary = json.loads(run("show", "block=cbam", "format=json", *small)[1])
    for layout, delimiter in (("csv", ","), ("tsv", "\t")):
        code, out, err = run("show", "block=cbam", f"format={layout}", *small)
        rows = list(csv.DictReader(io.StringIO(out), delimiter=delimiter))
        assert (code, err) == (0, "") and rows == [{k: str(v) for k, v in line.items()} for line in summary["lines"]]
    out = run("show", "block=cbam", "format=markdown", *small)[1]
    assert out.startswith("**cbam.yaml** 64 x 7 x 7 -> 64 x 7 x 7\n\n| path | operator | S x C x H x W | parameters |")
    assert out.endswith("\n- let: r = 16, k = 7\n")


def test_show_on_a_narrow_terminal(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr("sys.stdout", terminal := Terminal())
    monkeypatch.setenv("NO_COLOR", "1")
    assert run("show", "block=cbam", "channels=64", "size=7")[0] == 0
    lines = [line.rstrip() for line in terminal.getvalue().splitlines()]
    assert max(map(len, lines)) <= 40 and "series.channel.                 -      -" in lines and "excite.0" in lines
    assert " ".join(lines).endswith("No room on this terminal for: operator, S x C x H x W, elements.")
