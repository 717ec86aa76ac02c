"""`sefactory bench` of blocks: results and sweeps, and that Ctrl-C keeps what was measured."""

import json
import signal
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

from sefactory.bench import benchmark, machine
from sefactory.bench.benchmark import Comparison
from sefactory.bench.machine import MachineRates
from sefactory.bench.results import Results
from sefactory.cli import main as cli
from tests.cli.command_line import SMALL, Run, read_rows, results_folder


def test_bench_writes_results_and_report(run: Run, tmp_path: Path) -> None:
    inline = "{squeeze: [{pool: HW}], gate: [sigmoid]}"
    code, out, err = run("bench", f"blocks=[senet,{inline},cbam]", *SMALL)
    folder = results_folder(tmp_path)
    rows = read_rows(folder)
    assert code == 0 and {row["block"] for row in rows} == {"senet", "blocks.1", "cbam"}
    assert all(row["forward_s"] and row["train_s"] and row["forward_ratio"] for row in rows)
    assert (folder / "results.csv").is_file() and (folder / "report.html").is_file() and "senet" in out
    assert err.endswith(f"results.json, results.csv and report.html are in {folder}\n") and str(folder) not in out


def test_results_record_the_rates_of_their_bounds(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[str] = []

    def rates(bytes_per_second: float, note: str) -> MachineRates:
        measured.append(note)
        return MachineRates(bytes_per_second, 1e15, {2**16: 2 * bytes_per_second})

    monkeypatch.setattr(machine, "_rates", {})
    monkeypatch.setattr(machine, "measure_machine", lambda options: rates(1.0, "too low"))
    monkeypatch.setattr(benchmark, "measure_machine", lambda options: rates(1e15, "again"))
    assert run("bench", "-m", "block=senet", *SMALL[:2], "input.size=7,9", *SMALL[3:])[0] == 0
    folder = results_folder(tmp_path, "multirun")
    environment = json.loads((folder / "results.json").read_text())["environment"]
    assert (environment["copy_GB_per_s"], environment["cached_copy_GB_per_s"]) == (1e6, "65.5 kB: 2e+06")
    assert measured == ["too low", "again"]  # the second shape has the rates of the first one
    assert len(read_rows(folder)) == 2


def test_strict_refuses_marked_rows_after_all_is_written(run: Run, tmp_path: Path) -> None:
    code, out, err = run("bench", "blocks=[senet]", "strict=true", *SMALL)
    (row,) = read_rows(results_folder(tmp_path))
    assert code == 2 and row["marks"] and row["forward_s"] and "senet" in out
    line = next(line for line in err.splitlines() if line.startswith("senet 2x64x7x7: "))
    assert line.startswith("senet 2x64x7x7: 1 round is too few for an interval; use rounds=8 or more")


def test_strict_refuses_the_marked_rows_of_a_sweep_at_its_end(run: Run, tmp_path: Path) -> None:
    code, out, err = run("bench", "-m", "block=senet,ecanet", "strict=true", *SMALL)
    rows = {str(row["block"]) for row in read_rows(results_folder(tmp_path, "multirun"))}
    assert code == 2 and rows == {"senet", "ecanet"} and "ecanet" in out
    assert any(line.startswith("ecanet 2x64x7x7: 1 round is too few for an interval") for line in err.splitlines())


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
    rows = {(row["block"], row["batch"]) for row in read_rows(results_folder(tmp_path, "multirun"))}
    labels = [f"{block} dtype={dtype}" for block in ("cbam", "senet") for dtype in ("float32", "float64")]
    assert code == 0 and rows == set(product(labels, (1, 2)))


def _interrupting(after: int, monkeypatch: pytest.MonkeyPatch, number: int = signal.SIGINT) -> None:
    """Ctrl-C, or another signal, during a timing, after so many."""
    original, seen = Comparison.run, []

    def run(self: Comparison):  # type: ignore[no-untyped-def]
        for step in original(self):
            yield step
            if len(seen) >= after:
                signal.raise_signal(number)
            seen.append(step)

    monkeypatch.setattr(Comparison, "run", run)


@pytest.fixture(autouse=True)
def default_handler() -> Iterator[None]:
    """Ctrl-C raises KeyboardInterrupt, also if the tests run in the background, where a shell lets it be ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


SIGNALS = [(signal.SIGINT, "interrupted\n"), (signal.SIGTERM, "terminated\n")]


@pytest.mark.parametrize(("number", "message"), SIGNALS)
def test_a_signal_keeps_what_was_measured(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, message: str
) -> None:
    _interrupting(5, monkeypatch, number)
    shapes = "input.shapes=[[32,7,7],[64,7,7]]"
    code, out, err = run("bench", "blocks=[senet,ecanet]", shapes, "batch=2", "rounds=1", "seconds=0.001")
    folder = results_folder(tmp_path)
    done = {(row["block"], row["channels"]): row for row in read_rows(folder)}
    assert (code, err) == (cli.INTERRUPTED, f"results.json, results.csv and report.html are in {folder}\n{message}")
    assert done["senet", 32]["train_s"] and done["senet", 64]["forward_s"] and done["senet", 64]["train_s"] is None
    assert json.loads((folder / "results.json").read_text())["interrupted"] == "cut off at 2x64x7x7 after 1 of 4 timings"
    assert "ecanet" in out and (folder / "report.html").is_file()


@pytest.mark.parametrize(("number", "message"), SIGNALS)
def test_a_signal_in_a_sweep_keeps_the_earlier_jobs(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, message: str
) -> None:
    _interrupting(5, monkeypatch, number)
    code, out, err = run("bench", "-m", "block=cbam,ecanet,scse", *SMALL)
    folder = results_folder(tmp_path, "multirun")
    rows = {row["block"]: row for row in read_rows(folder)}
    assert code == cli.INTERRUPTED and err.endswith(f"\n{message}") and err.count("interrupted") + err.count("terminated") == 1
    assert rows["cbam"]["train_s"] and rows["ecanet"]["forward_s"] and "scse" not in rows
    assert "cbam" in out and (folder / "report.html").is_file()


def test_a_signal_while_files_are_written_waits(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sefactory.bench.report import page

    original = page.render_html

    def render(results: Results) -> str:  # Ctrl-C while matplotlib is imported
        signal.raise_signal(signal.SIGINT)
        return original(results)

    monkeypatch.setattr(page, "render_html", render)
    code, out, err = run("bench", "blocks=[senet]", *SMALL)
    assert code == cli.INTERRUPTED and err.endswith("\ninterrupted\n") and err.count("interrupted") == 1
    assert "senet" in out and (results_folder(tmp_path) / "report.html").is_file()


# ---- Files that cannot be written ------------------------------------------------------------------------------------


def _full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def replace(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sefactory.store.files.os.replace", replace)


FULL = "cannot be written: No space left on device; what was measured is in the table"


def test_a_full_disk_loses_no_table(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _full_disk(monkeypatch)
    code, out, err = run("bench", "blocks=[senet]", "hydra.run.dir=out", *SMALL)
    assert (code, err) == (2, f"{tmp_path / 'out'}: {FULL}\n") and "senet" in out and "results.json" not in err


def test_a_full_disk_in_a_sweep_loses_no_table(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _full_disk(monkeypatch)
    code, out, err = run("bench", "-m", "block=cbam,scse", "hydra.sweep.dir=out", "baseline=null", *SMALL)
    assert code == 2 and err.splitlines()[-2:] == [f"{tmp_path / 'out' / 'store'}: {FULL}", f"{tmp_path / 'out'}: {FULL}"]
    assert "cbam" in out and "scse" in out and "forward" in out


@pytest.mark.parametrize("mode", [[], ["-m"]])
def test_a_folder_that_cannot_be_made(run: Run, tmp_path: Path, mode: list[str]) -> None:
    (tmp_path / "file").write_text("")
    key = "hydra.sweep.dir" if mode else "hydra.run.dir"
    code, _, err = run("bench", *mode, "block=senet", f"{key}=file/out", *SMALL)
    assert code == 2 and err.splitlines()[-1].endswith(f"file/out: Not a directory; choose another folder with {key}=DIR")
