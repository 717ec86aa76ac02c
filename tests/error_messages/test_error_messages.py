"""Every error message, literally; also under `python -O`; what all messages have in common; wrong inputs at run time."""

import json
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import sefactory as sf
from sefactory.cli.main import run
from sefactory.errors import MAX_FAULTS, MAX_LISTED, closest_match, join_words, short_repr
from tests.error_messages.table import INTERNAL, Row, rows

ROOT = Path(__file__).parents[2]
ROWS = rows()
MESSAGES = ["\n".join(row.lines) for row in ROWS]


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_message(row: Row, tmp_path: Path) -> None:
    assert row.message(tmp_path) == "\n".join(row.lines)


def test_the_messages_are_the_same_without_assertions() -> None:
    command = [sys.executable, "-O", "-W", "error", "-m", "tests.error_messages.table"]
    message = json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)
    assert message == {"optimized": 1, "messages": MESSAGES}


def test_an_unquoted_function_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["show", "block=cbam", "block.let.r=max(C/4,8)"]
    message = "override block.let.r=max(C/4,8): is not key=value; quote a value with parentheses or commas"
    expected = (2, "", f"{message}: 'block.let.r=\"max(C/4,8)\"'\n")
    assert (run(arguments), *capsys.readouterr()) == expected
    code = f"from sefactory.cli.main import run; raise SystemExit(run({arguments}))"
    done = subprocess.run([sys.executable, "-O", "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == expected


def test_the_table_is_large_and_has_no_row_twice() -> None:
    assert len({line for row in ROWS for line in row.lines}) >= 200
    assert len({repr((row.given, row.channels, row.files, row.options)) for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("line", sorted({line for row in ROWS for line in row.lines}))
def test_a_line_has_a_path_and_no_internal_words(line: str) -> None:
    place, _, text = line.partition(": ")
    assert place and text and len(line) <= 300
    assert not INTERNAL.search(line)
    assert not re.search(r"[^.]\.$", text) and text == text.strip()


def test_an_error_is_a_value_error_with_its_path() -> None:
    with pytest.raises(ValueError) as caught:
        sf.build({"squeeze": ["avgpool"], "gate": ["sigmod"]}, 64)
    error = caught.value
    assert isinstance(error, sf.ConfigError)
    assert error.path == "squeeze.0" and [path for path, _ in error.faults] == ["squeeze.0", "gate.0"]
    assert str(error).startswith("squeeze.0: ") and error.__cause__ is None
    copy = pickle.loads(pickle.dumps(error))
    assert str(copy) == str(error) and copy.path == error.path


def test_many_faults_are_abbreviated() -> None:
    with pytest.raises(sf.ConfigError) as caught:
        sf.build(["nosuch"] * 50, 64)
    lines = str(caught.value).splitlines()
    assert len(caught.value.faults) == 50 and len(lines) == MAX_FAULTS + 1 and lines[-1] == "and 30 more"


def test_many_words_are_abbreviated() -> None:
    listed = join_words(f"w{i}" for i in range(MAX_LISTED + 2))
    assert listed.endswith(f"w{MAX_LISTED - 1}, and 2 more") and join_words([]) == "nothing"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", "'a'"),
        (True, "true"),
        (None, "null"),
        ([1, "x", None], '[1, "x", null]'),
        ({"a": 1.5}, '{"a": 1.5}'),
        ([object()], "list"),
        ("x" * 80, "'" + "x" * 49 + "...'"),
    ],
)
def test_values_are_shown_as_written(value: object, text: str) -> None:
    assert short_repr(value) == text


def test_a_very_long_number_is_shown_as_its_type() -> None:
    assert short_repr(10**5000) == "int"


@pytest.mark.parametrize(
    ("word", "allowed", "nearest"),
    [
        ("avg", ["mean", "max"], "mean"),
        ("GAP", ["mean", "max"], "mean"),
        ("plus", ["multiply", "add"], "add"),
        ("Sigmoid", ["sigmoid", "softmax"], "sigmoid"),
        ("zzzz", ["sigmoid", "softmax"], None),
        ("s" * 10_000, ["sigmoid"], None),
    ],
)
def test_nearest(word: str, allowed: list[str], nearest: str | None) -> None:
    assert closest_match(word, allowed) == nearest


FIXED = {"linear": {"mix": "HW", "out": 4}}


@pytest.mark.parametrize(
    ("config", "grid", "given", "message"),
    [
        ("cbam", {}, torch.zeros(64, 7, 7), "cbam.yaml: expected an input (B, 64, H, W) of float32, got (64, 7, 7)"),
        ("cbam", {}, torch.zeros(2, 32, 7, 7), "cbam.yaml: expected an input (B, 64, H, W) of float32, got (2, 32, 7, 7)"),
        ("cbam", {}, torch.zeros(2, 64, 7, 7).double(), "cbam.yaml: expected an input (B, 64, H, W) of float32, got float64"),
        ("cbam", {}, torch.zeros(2, 64, 7, 7).long(), "cbam.yaml: expected an input (B, 64, H, W) of float32, got int64"),
        ("cbam", {}, [[1.0]], "cbam.yaml: expected an input (B, 64, H, W) of float32, got list"),
        (
            "genet_minus",
            {},
            torch.zeros(2, 64, 7, 7).int(),
            "genet_minus.yaml: expected an input (B, 64, H, W) of floating point, got int32",
        ),
        (
            FIXED,
            {"height": 7, "width": 5},
            torch.zeros(2, 64, 5, 7),
            "block: expected an input (B, 64, 7, 5) of float32, got (2, 64, 5, 7)",
        ),
    ],
)
def test_an_input_that_does_not_fit(config: object, grid: dict[str, int], given: object, message: str) -> None:
    block = sf.build(config, 64, **grid)
    with pytest.raises(sf.ConfigError) as caught:
        block(given)
    assert str(caught.value) == message


def test_search_folders(tmp_path: Path) -> None:
    row = Row("mine", ("mine.yaml gate.0: no operator or config named 'sigmod'; did you mean 'sigmoid'?",))
    (tmp_path / "mine.yaml").write_text("gate: [sigmod]")
    with pytest.raises(sf.ConfigError) as caught:
        sf.build("mine", 64, search=[tmp_path])
    assert (str(caught.value),) == row.lines
