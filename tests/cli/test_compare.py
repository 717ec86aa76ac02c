"""`sefactory bench compare A B`: what it prints in each format, and what it refuses."""

import csv
import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from sefactory.bench.results import Results, write_results
from sefactory.cli.compare import USAGE
from tests.bench.rows import ENVIRONMENT, SHAPES, row
from tests.cli.command_line import Run

MARKED = replace(row("cbam", order=2), forward_interval_s=None, marks=["1 round is too few"], train_s=0.9)
A = Results([row("senet"), row("cbam", order=2), row("only_a")], {"torch": "2.8.0", **ENVIRONMENT})
B = Results([replace(row("senet"), forward_s=0.01), MARKED], {**ENVIRONMENT, "threads": 1})
TABLE = """\
A: a
B: b
torch: 2.8.0 in A, 2.13.0 in B
threads: nothing in A, 1 in B

B / A  ratio of the times, ± half the width of its interval
block  shape        mode                 A               B       B / A              verdict
───────────────────────────────────────────────────────────────────────────────────────────
senet  8x256x56x56  forward   11.2 ±0.3 ms    10.0 ±0.3 ms  0.89 ±0.04               faster
senet  8x256x56x56  training     378 ±9 ms       378 ±9 ms  1.00 ±0.03  no difference shown
cbam   8x256x56x56  forward   22.4 ±0.3 ms       22.4 ms !        1.00          no interval
cbam   8x256x56x56  training     756 ±9 ms     900 ±9 ms !  1.19 ±0.02               slower
! B: cbam 8x256x56x56: 1 round is too few
only in A: only_a 8x256x56x56
no difference shown: 1 is within the interval of B / A
no interval: too few rounds to tell
"""


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Folders a and b with results, c with another block."""
    write_results(replace(A, environment={**ENVIRONMENT, "torch": "2.8.0"}), tmp_path / "a")
    write_results(B, tmp_path / "b")
    write_results(Results([row("other", SHAPES[1])], ENVIRONMENT), tmp_path / "c")
    return tmp_path


def test_the_table(run: Run, folders: Path) -> None:
    code, out, err = run("bench", "compare", "a", "b")
    assert (code, [line.rstrip() for line in out.splitlines()], err) == (0, TABLE.splitlines(), "")
    assert run("bench", "compare", "a/results.json", str(folders / "b"))[1].splitlines()[4:] == out.splitlines()[4:]


def test_formats_for_programs(run: Run, folders: Path) -> None:
    document = json.loads(run("bench", "compare", "a", "b", "format=json")[1])
    assert document["differences"] == {"torch": ["2.8.0", "2.13.0"], "threads": ["", "1"]}
    assert [entry["verdict"] for entry in document["rows"]] == ["faster", "no difference shown", "no interval", "slower"]
    assert document["remarks"] == ["only in A: only_a 8x256x56x56"] and (document["a"], document["b"]) == ("a", "b")
    for layout, delimiter in (("csv", ","), ("tsv", "\t")):
        code, out, err = run("bench", "compare", "format=" + layout, "a", "b")
        rows = list(csv.DictReader(io.StringIO(out), delimiter=delimiter))
        assert code == 0 and [entry["verdict"] for entry in rows] == [entry["verdict"] for entry in document["rows"]]
        assert [float(entry["ratio"]) for entry in rows] == [entry["ratio"] for entry in document["rows"]]
        assert err.splitlines() == [*TABLE.splitlines()[:4], "only in A: only_a 8x256x56x56"]


def test_markdown(run: Run, folders: Path) -> None:
    lines = run("bench", "compare", "a", "b", "format=markdown")[1].splitlines()
    assert lines[:4] == [f"- {line}" for line in TABLE.splitlines()[:4]]
    assert "| senet | 8x256x56x56 | forward | 11.2 ±0.3 ms | 10.0 ±0.3 ms | 0.89 ±0.04 | faster |" in lines
    assert "- ! B: cbam 8x256x56x56: 1 round is too few" in lines


def test_help_and_usage(run: Run) -> None:
    assert run("bench", "compare", "--help") == (0, f"{USAGE}\n", "")
    assert "bench compare A B" in run("--help")[1] and "sefactory bench compare A B" in run("bench", "--help")[1]


UNREADABLE = "holds no results that can be read:"
NEITHER = "is neither a folder nor format=table|csv|tsv|json|markdown"
MISTAKES = {
    "": "bench compare: takes two folders with results.json, and 0 are given; write sefactory bench compare A B",
    "a": "bench compare: takes two folders with results.json, and 1 is given; write sefactory bench compare A B",
    "a b c": "bench compare: takes two folders with results.json, and 3 are given; write sefactory bench compare A B",
    "a missing": "missing: No such file or directory; give an output folder of sefactory bench",
    "a empty": "empty: there is no results.json; give an output folder of sefactory bench",
    "a a/results.csv": "a/results.csv: Not a directory; give an output folder of sefactory bench",
    "a half": f"bench compare: half/results.json {UNREADABLE} it is cut off, or no JSON (line 20)",
    "a old": f"bench compare: old/results.json {UNREADABLE} it was written by another version of sefactory (form 1, here 2)",
    "a wrong": f"bench compare: wrong/results.json {UNREADABLE} rows.0.forward_s: Input should be a valid number",
    "a list": f"bench compare: list/results.json {UNREADABLE} it is not an object",
    "a c": "bench compare: a and c have no time of the same block at the same shape",
    "a b format=xml": "format: 'xml'; allowed: one of table, csv, tsv, json, markdown",
    "a b formt=csv": f"bench compare: 'formt=csv' {NEITHER}; did you mean 'format'?",
    "a b --json": f"bench compare: '--json' {NEITHER}",
}


@pytest.mark.parametrize("arguments", MISTAKES)
def test_mistakes_are_one_line(run: Run, folders: Path, arguments: str) -> None:
    text = (folders / "a" / "results.json").read_text()
    files = {
        "half": "\n".join(text.splitlines()[:20]),
        "old": text.replace('"schema": 2', '"schema": 1'),
        "wrong": text.replace('"forward_s": 0.0112', '"forward_s": []'),
        "list": "[]",
    }
    for name, content in files.items():
        (folders / name).mkdir()
        (folders / name / "results.json").write_text(content)
    (folders / "empty").mkdir()
    assert run("bench", "compare", *arguments.split()) == (2, "", f"{MISTAKES[arguments]}\n")


def test_torch_and_hydra_are_not_imported(folders: Path) -> None:
    code = """
import sys
from sefactory.cli import main
status = main.run(["bench", "compare", "a", "b", "format=csv"])
print(status, [name for name in ("torch", "hydra", "omegaconf", "numpy", "matplotlib") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=folders, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 []"
