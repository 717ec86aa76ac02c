"""`sefactory bench` of blocks: results and sweeps, and that Ctrl-C keeps what was measured."""

from pathlib import Path

import pytest

from sefactory.bench.benchmark import Comparison
from sefactory.cli import main as cli
from tests.cli.command_line import SMALL, Run, read_rows, results_folder


def test_bench_writes_results_and_report(run: Run, tmp_path: Path) -> None:
    inline = "{squeeze: [{pool: HW}], gate: [sigmoid]}"
    code, out, _ = run("bench", f"blocks=[senet,{inline},cbam]", *SMALL)
    folder = results_folder(tmp_path)
    rows = read_rows(folder)
    assert code == 0 and {row["block"] for row in rows} == {"senet", "blocks.1", "cbam"}
    assert all(row["forward_s"] and row["train_s"] and row["forward_ratio"] for row in rows)
    assert (folder / "results.csv").is_file() and (folder / "report.html").is_file() and "senet" in out
    assert str(folder) in out.replace("\n", "")


def test_a_refused_block_is_a_row_and_the_rest_is_measured(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("bench", "blocks=[senet,ecanet]", "input=single", "input.channels=8", *SMALL[2:])
    rows = {row["block"]: row for row in read_rows(results_folder(tmp_path))}
    assert code == 0 and "rounds down to 0" in str(rows["senet"]["refused"]) and rows["senet"]["forward_s"] is None
    assert rows["ecanet"]["forward_s"] and rows["ecanet"]["forward_ratio"] is None


def test_a_sweep_lists_refusals_and_keeps_one_table(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("bench", "-m", "block=unit", "squeeze=mean,channels", "excite=mlp", "gate=sigmoid,softmax", *SMALL)
    folder = results_folder(tmp_path, "multirun") if (tmp_path / "multirun").is_dir() else tmp_path
    rows = {row["block"]: row for row in read_rows(folder)}
    assert code == 0 and set(rows) == {
        "senet",
        "unit mean/mlp/sigmoid",
        "unit mean/mlp/softmax",
        "unit channels/mlp/sigmoid",
        "unit channels/mlp/softmax",
    }
    assert str(rows["unit channels/mlp/softmax"]["refused"]).startswith("unit.yaml gate.0: softmax: over C of size 1")
    assert rows["unit mean/mlp/sigmoid"]["forward_ratio"] and (folder / "report.html").is_file() and "refused" in out


def test_overrides_are_a_sweep_too(run: Run, tmp_path: Path) -> None:
    code, _, _ = run("bench", "-m", "block=senet,cbam", "block.let.r=8,16", "baseline=null", *SMALL)
    names = {row["block"] for row in read_rows(results_folder(tmp_path, "multirun"))}
    assert code == 0 and names == {f"{block} let.r={r}" for block in ("senet", "cbam") for r in (8, 16)}


def test_jobs_with_other_measurements_keep_their_rows(run: Run, tmp_path: Path) -> None:
    settings = [text for text in SMALL if not text.startswith("batch=")]
    code, _, _ = run("bench", "-m", "block=cbam", "batch=1,2", "dtype=float32,float64", *settings)
    rows = {(row["block"], row["batch"]) for row in read_rows(results_folder(tmp_path, "multirun")) if row["block"] != "senet"}
    assert code == 0 and rows == {(f"cbam dtype={dtype}", batch) for dtype in ("float32", "float64") for batch in (1, 2)}


def _interrupting(after: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C during a timing, after so many."""
    original, seen = Comparison.run, []

    def run(self: Comparison):  # type: ignore[no-untyped-def]
        for step in original(self):
            yield step
            if len(seen) >= after:
                raise KeyboardInterrupt
            seen.append(step)

    monkeypatch.setattr(Comparison, "run", run)


def test_ctrl_c_keeps_what_was_measured(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _interrupting(5, monkeypatch)
    shapes = "input.shapes=[[32,7,7],[64,7,7]]"
    code, out, err = run("bench", "blocks=[senet,ecanet]", shapes, "batch=2", "rounds=1", "seconds=0.001")
    rows = read_rows(results_folder(tmp_path))
    assert code == cli.INTERRUPTED and "interrupted; the finished measurements are in" in out.replace("\n", " ")
    done = {(row["block"], row["channels"]): row for row in rows}
    assert done["senet", 32]["train_s"] and done["senet", 64]["forward_s"] and done["senet", 64]["train_s"] is None


def test_ctrl_c_in_a_sweep_keeps_the_earlier_jobs(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _interrupting(5, monkeypatch)
    code, out, _ = run("bench", "-m", "block=cbam,ecanet,scse", *SMALL)
    rows = {row["block"]: row for row in read_rows(results_folder(tmp_path, "multirun"))}
    assert code == cli.INTERRUPTED and rows["cbam"]["train_s"] and rows["ecanet"]["forward_s"] and "scse" not in rows
    assert "cbam" in out
