"""`sefactory show` of a block."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

import sefactory as sf
from tests.cli.command_line import Run


@pytest.mark.parametrize(
    ("block", "channels", "overrides", "total"),
    [
        ("senet", 256, [], "8,464"),
        ("sknet", 256, [], "62,528"),
        ("cbam", 256, [], "8,564"),
        ("coordatt", 256, [], "6,680"),
        ("triplet", 256, [], "300"),
        ("seaformer", 256, ["block.let.heads=8", "block.let.key=24"], "811,264"),
        ("pam", 256, [], "82,241"),
    ],
)
def test_show_prints_the_parameter_counts(run: Run, block: str, channels: int, overrides: list[str], total: str) -> None:
    code, out, err = run("show", f"block={block}", f"channels={channels}", "size=14", *overrides)
    last = next(line for line in out.splitlines() if line.startswith("total"))
    assert (code, err) == (0, "") and total in last.split()


def test_show_json_is_the_description(run: Run, tmp_path: Path) -> None:
    from sefactory.bench.summary import summarize

    code, out, _ = run("show", "block=cbam", "channels=64", "size=[7,9]", "format=json")
    expected = asdict(summarize(sf.build("cbam", 64), 7, 9))
    assert code == 0 and json.loads(out) == json.loads(json.dumps(expected))
    assert list(tmp_path.iterdir()) == []


def test_the_sides_of_a_size_say_which_grid(run: Run, tmp_path: Path) -> None:
    for size, shape in (("[5]", [2, 64, 5]), ("[4,5]", [2, 64, 4, 5]), ("[3,4,5]", [2, 64, 3, 4, 5])):
        code, out, _ = run("show", "block=cbam", "channels=64", f"size={size}", "format=json")
        assert code == 0 and json.loads(out)["output"] == [1, *shape[1:]]
        quick = ("rounds=1", "seconds=0.0001", f"hydra.run.dir={tmp_path / str(len(shape))}", "channels_last=true")
        code, _, _ = run("bench", "blocks=[cbam]", "input=single", f"input.size={size}", "input.channels=64", *quick)
        rows = json.loads((tmp_path / str(len(shape)) / "results.json").read_text())["rows"]
        assert code == 0 and [row["shape"] for row in rows] == 2 * ["x".join(map(str, shape))]
        assert all(row["error"] is None and row["forward_s"] for row in rows)
        assert [rows[0][key] for key in ("depth", "height", "width")] == [*([None] * (5 - len(shape))), *shape[2:]]


def test_one_override_changes_each_of_the_seven(run: Run) -> None:
    changes = {
        "senet": "let.r=8",
        "sknet": "let.G=16",
        "cbam": "series.spatial.excite.0.conv.kernel=3",
        "coordatt": "let.r=4",
        "triplet": "let.k=3",
        "danet": "let.D=C/2",
        "seaformer": "let.heads=2",
    }
    for block, change in changes.items():
        plain, changed = (
            json.loads(run("show", f"block={block}", "channels=128", "size=8", "format=json", *extra)[1])["parameters"]
            for extra in ([], [f"block.{change}"])
        )
        assert plain != changed, block


def test_a_sweep_of_show_reports_the_faults_of_all_jobs(run: Run) -> None:
    code, out, err = run("show", "-m", "block=senet", "channels=4,64,8", "size=4")
    assert code == 2 and "senet.yaml  64 x 4 x 4" in out and len(err.splitlines()) == 2 and "Error executing" not in err
