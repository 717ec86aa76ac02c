"""Sweeps of `sefactory bench`: the same rows whoever runs the jobs, and nothing is measured twice."""

import json
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest
import yaml

from sefactory.bench.benchmark import Comparison
from tests.cli.command_line import SMALL, Run, read_rows
from tests.cli.processes import LAUNCHERS, finish, start
from tests.sampling import sampled

QUICK = [*SMALL, "baseline=null"]
SWEEP = ["bench", "-m", "hydra.sweep.dir=out", "block=unit", "squeeze=mean,channels", "excite=mlp", "gate=sigmoid,softmax"]
FAULTY = [text if not text.startswith("input.size=") else "input.size=7,[7,7,7,7]" for text in QUICK]
FAULT = "input.size: [7, 7, 7, 7]; allowed: a number, [height, width], [width] or [depth, height, width]"
MEASURED = {"unit mean/mlp/sigmoid", "unit mean/mlp/softmax", "unit channels/mlp/sigmoid"}
REFUSED = "unit channels/mlp/softmax"


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the cases that are measured, once for each comparison."""
    names: list[str] = []
    original = Comparison.run

    def run(self: Comparison) -> Iterator[object]:
        names.extend(row.block for row in self.rows())
        return original(self)

    monkeypatch.setattr(Comparison, "run", run)
    return names


def store_files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "store").glob("*.json")}


def test_the_same_sweep_in_the_same_folder_measures_nothing_again(run: Run, tmp_path: Path, measured: list[str]) -> None:
    assert run(*SWEEP, *QUICK)[0] == 0 and set(measured) == MEASURED
    before = store_files(tmp_path / "out")
    measured.clear()
    code, out, _ = run(*SWEEP, *QUICK)
    assert code == 0 and measured == [] and store_files(tmp_path / "out") == before
    assert {row["block"] for row in read_rows(tmp_path / "out")} == {*MEASURED, REFUSED} and REFUSED.split()[1] in out


def test_fresh_measures_all(run: Run, tmp_path: Path, measured: list[str]) -> None:
    run(*SWEEP, *QUICK)
    measured.clear()
    assert run(*SWEEP, *QUICK, "fresh=true")[0] == 0 and set(measured) == MEASURED


def test_strict_measures_marked_rows_again(run: Run, tmp_path: Path, measured: list[str]) -> None:
    run(*SWEEP[:3], "block=cbam", *QUICK)  # one round, which is marked
    measured.clear()
    assert run(*SWEEP[:3], "block=cbam", *QUICK)[0] == 0 and measured == []
    assert run(*SWEEP[:3], "block=cbam", *QUICK, "strict=true")[0] == 2 and measured == ["cbam"]
    assert read_rows(tmp_path / "out")[0]["marks"]


def test_more_rounds_are_measured_and_fewer_are_not(run: Run, tmp_path: Path, measured: list[str]) -> None:
    settings = [text for text in QUICK if not text.startswith("rounds=")]
    run(*SWEEP, *settings, "rounds=2")
    measured.clear()
    run(*SWEEP, *settings, "rounds=1")
    assert measured == []
    run(*SWEEP, *settings, "rounds=3")
    assert set(measured) == MEASURED and {row["rounds"] for row in read_rows(tmp_path / "out") if not row["refused"]} == {3}


@pytest.mark.parametrize("change", ["batch=1", "dtype=float64", "channels_last=true", "baseline=senet", "input.size=6"])
def test_what_is_measured_decides(run: Run, measured: list[str], change: str) -> None:
    run(*SWEEP[:3], "block=cbam", *QUICK)
    measured.clear()
    settings = [text for text in QUICK if not text.startswith(change.partition("=")[0] + "=")]
    run(*SWEEP[:3], "block=cbam", *settings, change)
    assert measured


def test_an_edited_config_is_measured_again(run: Run, tmp_path: Path, measured: list[str]) -> None:
    (tmp_path / "my" / "block").mkdir(parents=True)
    file = tmp_path / "my" / "block" / "mine.yaml"
    arguments = ["bench", "--config-dir", "my", *SWEEP[1:3], "block=mine", *QUICK]
    file.write_text("{squeeze: [{pool: HW}], gate: [sigmoid]}")
    run(*arguments)
    file.write_text("# a comment\nsqueeze: [{pool: HW}]\ngate: [sigmoid]\n")
    run(*arguments)
    assert measured == ["mine"]
    file.write_text("{squeeze: [{pool: HW}], gate: [tanh]}")
    run(*arguments)
    assert measured == ["mine", "mine"]


def test_two_mappings_in_one_folder_are_two_rows(run: Run, tmp_path: Path) -> None:
    for gate in ("sigmoid", "tanh"):
        run(*SWEEP[:3], f"block={{squeeze: [{{pool: HW}}], gate: [{gate}]}}", *QUICK)
    assert len(read_rows(tmp_path / "out")) == 2


def test_the_typed_command_is_recorded(run: Run, tmp_path: Path) -> None:
    (tmp_path / "my").mkdir()
    (tmp_path / "my" / "mine.yaml").write_text("gate: [sigmoid]")
    run("bench", "block=my/mine.yaml", "hydra.run.dir=out", *QUICK)
    command = json.loads((tmp_path / "out" / "results.json").read_text())["environment"]["command"]
    assert command == shlex.join(["sefactory", "bench", "block=my/mine.yaml", "hydra.run.dir=out", *QUICK])


def test_notes_of_another_version_are_left_out(run: Run, tmp_path: Path) -> None:
    run(*SWEEP, *QUICK)
    for file in (tmp_path / "out" / "jobs").glob("*.json"):
        note = json.loads(file.read_text())
        file.write_text(json.dumps({**note, "refused": [{"block": "old"}], "num": "x"}))
    code, _, _ = run(*SWEEP[:3], "block=cbam", *QUICK)
    assert code == 0 and [row["block"] for row in read_rows(tmp_path / "out")] == ["cbam"]


def test_two_sweeps_in_one_folder_are_one_table(run: Run, tmp_path: Path) -> None:
    run(*SWEEP[:3], "block=cbam,scse", *QUICK)
    code, _, _ = run(*SWEEP[:3], "block=ecanet", *QUICK)
    assert code == 0 and {row["block"] for row in read_rows(tmp_path / "out")} == {"cbam", "scse", "ecanet"}


def test_the_environment_of_a_sweep_is_what_its_jobs_share(run: Run, tmp_path: Path) -> None:
    run(*SWEEP[:3], "block=cbam,scse", "dtype=float32,float64", *QUICK)
    environment = json.loads((tmp_path / "out" / "results.json").read_text())["environment"]
    jobs = [json.loads(file.read_text())["environment"] for file in (tmp_path / "out" / "store").glob("*.json")]
    assert environment["date"] == max(job["date"] for job in jobs) and environment["dtype"] == "float32; float64"
    assert environment["torch"] == jobs[0]["torch"] and environment["command"].startswith("sefactory bench --multirun ")


def test_a_shared_store_serves_other_sweeps_and_single_runs(run: Run, tmp_path: Path, measured: list[str]) -> None:
    run("bench", "-m", "store=mine", "hydra.sweep.dir=a", "block=cbam,scse", *QUICK)
    measured.clear()
    run("bench", "-m", "store=mine", "hydra.sweep.dir=b", "block=scse,ecanet", *QUICK)
    assert measured == ["ecanet"] and {row["block"] for row in read_rows(tmp_path / "b")} == {"scse", "ecanet"}
    run("bench", "store=mine", "hydra.run.dir=c", "block=ecanet", *QUICK)
    assert measured == ["ecanet"] and [row["block"] for row in read_rows(tmp_path / "c")] == ["ecanet"]


@pytest.mark.parametrize("content", ["", '{"schema": 2, "rows": [', "[]", '{"schema": 1}'])
def test_half_a_result_is_measured_again(run: Run, tmp_path: Path, measured: list[str], content: str) -> None:
    run(*SWEEP[:3], "block=cbam,scse", *QUICK)
    (file, *_) = sorted((tmp_path / "out" / "store").glob("*.json"))
    file.write_text(content)
    measured.clear()
    code, _, _ = run(*SWEEP[:3], "block=cbam,scse", *QUICK)
    assert code == 0 and len(measured) == 1 and len(read_rows(tmp_path / "out")) == 2


def test_each_job_has_its_own_baseline(run: Run, tmp_path: Path) -> None:
    run(*SWEEP[:3], "block=cbam", "dtype=float32,float64", *SMALL)
    rows = {str(row["block"]): row for row in read_rows(tmp_path / "out")}
    assert set(rows) == {f"{block} dtype={dtype}" for block in ("cbam", "senet") for dtype in ("float32", "float64")}


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (
            ["blocks=[scse,ecanet]", "threads=1,2", "baseline=null"],
            {f"{b} threads={n}" for b in ("scse", "ecanet") for n in (1, 2)},
        ),
        (["block=cbam", "baseline=scse,ecanet"], {"cbam", "scse", "ecanet"}),
    ],
)
def test_no_job_hides_another(run: Run, tmp_path: Path, arguments: list[str], names: set[str]) -> None:
    assert run(*SWEEP[:3], *arguments, *SMALL)[0] == 0
    rows = read_rows(tmp_path / "out")
    assert {row["block"] for row in rows} == names and len(rows) == 4


def test_a_fault_of_one_job_keeps_the_others(run: Run, tmp_path: Path) -> None:
    code, out, err = run(*SWEEP[:3], "block=cbam", *FAULTY)
    assert code == 2 and "cbam" in out and err.splitlines()[-1] == FAULT
    assert run(*SWEEP[:3], "block=cbam", *QUICK)[0] == 0  # the fault of the earlier run is not counted again


def test_a_job_without_a_result_keeps_the_others(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = Comparison.run

    def fail(self: Comparison) -> Iterator[object]:
        if self.rows()[0].block == "scse":
            raise RuntimeError("first\nsecond")
        return original(self)

    monkeypatch.setattr(Comparison, "run", fail)
    code, out, err = run(*SWEEP[:3], "block=cbam,scse,ecanet", *QUICK)
    cure = f"the same command with hydra.sweep.dir={tmp_path / 'out'} measures what is missing"
    assert code == 2 and err.splitlines()[-1] == f"sweep: a job has no result: RuntimeError: first; {cure}"
    assert {row["block"] for row in read_rows(tmp_path / "out") if row["forward_s"]} == {"cbam", "ecanet"} and "ecanet" in out


# ---- Objectives -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["block=cbam", "objective=speed"], "objective: 'speed'; allowed: one of forward_s, train_s, parameters, macs"),
        (
            ["blocks=[cbam,senet]", "objective=macs"],
            "objective: is a figure of one block, and there are 2; give block=NAME or host=NAME",
        ),
    ],
)
def test_objectives_that_cannot_be_returned(run: Run, arguments: list[str], message: str) -> None:
    code, _, err = run("bench", *arguments, *QUICK)
    assert (code, err) == (2, f"{message}\n")


def test_a_refused_block_has_no_objective(run: Run) -> None:
    arguments = ["block=senet", "input=single", "input.channels=8", "input.size=7", "objective=macs", *QUICK[3:]]
    code, _, err = run("bench", *arguments)
    assert code == 2 and err.splitlines()[-1].startswith(
        "objective: senet at 2x8x7x7 has no macs: refused: senet.yaml excite.0: mlp: "
    )


# ---- Other processes ------------------------------------------------------------------------------------------------

TWELVE = ["block=unit", "squeeze=mean,max,channels", "excite=mlp,conv1d", "gate=sigmoid,softmax"]
TWO = ["block=unit", "squeeze=channels", "excite=mlp", "gate=sigmoid,softmax"]
"""One block that can be built, and one that cannot."""


def outcome(folder: Path, launcher: str, *arguments: str) -> tuple[int, set[tuple[object, ...]]]:
    """The exit code of a sweep and its rows, without their times."""
    code, out, err = finish(folder, "bench", "-m", *LAUNCHERS[launcher], f"hydra.sweep.dir={launcher}", *arguments, *QUICK)
    rows = read_rows(folder / launcher)
    assert "Traceback" not in err and (folder / launcher / "report.html").is_file()
    return code, {(row["block"], row["shape"], row["refused"], bool(row["train_s"])) for row in rows}


@pytest.mark.parametrize("launcher", ["joblib", "submitit"])
@pytest.mark.parametrize("jobs", [TWO, pytest.param(TWELVE, marks=pytest.mark.exhaustive)])
def test_launchers_agree(tmp_path: Path, launcher: str, jobs: list[str]) -> None:
    basic = outcome(tmp_path, "basic", *jobs)
    assert basic == outcome(tmp_path, launcher, *jobs)
    assert basic[0] == 0 and len(basic[1]) == (2 if jobs is TWO else 12)


@pytest.mark.parametrize("launcher", sampled([*LAUNCHERS], lambda launcher: launcher == "joblib"))
def test_a_failed_job_is_a_failed_exit_code(tmp_path: Path, launcher: str) -> None:
    arguments = ["bench", "-m", *LAUNCHERS[launcher], "hydra.sweep.dir=out", "block=cbam", *FAULTY]
    code, out, err = finish(tmp_path, *arguments)
    assert code == 2 and "cbam" in out and "Traceback" not in err
    assert FAULT in err.splitlines()


FORTY = ["block=unit", "squeeze=mean,max,std,rows,columns", "excite=mlp,conv1d", "gate=sigmoid,tanh", "batch=1,2"]
TEN = ["block=unit", "squeeze=mean,max,std,rows,columns", "excite=mlp,conv1d", "gate=sigmoid", "batch=1"]
"""submitit starts all jobs at once: forty take two minutes to start, and 20 GB of memory."""


def measured_jobs(folder: Path) -> dict[tuple[str, str], list[float]]:
    """The times of the finished measurements of a sweep, by block and shape. None is measured twice with equal times."""
    records = [json.loads(file.read_text()) for file in (folder / "store").glob("*.json")]
    rows = [row for record in records if not record["interrupted"] for row in record["rows"]]
    return {(row["block"], row["shape"]): row["forward_rounds_s"] + row["train_rounds_s"] for row in rows}


def kill_after(process: subprocess.Popen[str], folder: Path, count: int, seconds: float) -> None:
    """Kills a sweep and all its workers, some seconds after the store of its folder has so many files."""
    while process.poll() is None and len(list((folder / "store").glob("*.json"))) < count:
        time.sleep(0.02)
    with suppress(subprocess.TimeoutExpired):
        process.communicate(timeout=seconds)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


@pytest.mark.exhaustive
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_killed_sweep_goes_on(tmp_path: Path, launcher: str) -> None:
    settings = [text for text in QUICK if not text.startswith("batch=")]
    jobs, total = (TEN, 10) if launcher == "submitit" else (FORTY, 40)
    arguments = ["bench", "-m", *LAUNCHERS[launcher], "hydra.sweep.dir=out", *jobs, *settings]
    random, before, counts = Random(launcher), dict[tuple[str, str], list[float]](), list[int]()
    for _ in range(10 if total == 40 else 4):
        process = start(tmp_path, *arguments, start_new_session=True)
        kill_after(process, tmp_path / "out", len(before) + random.randint(0, 4), random.uniform(0, 0.3))
        now = measured_jobs(tmp_path / "out")
        assert now.items() >= before.items()
        before = now
        counts.append(len(now))
    assert any(0 < count < total for count in counts), counts
    code, _, err = finish(tmp_path, *arguments)
    after = measured_jobs(tmp_path / "out")
    rows = read_rows(tmp_path / "out")
    assert code == 0, err
    assert len(rows) == len({(row["block"], row["shape"]) for row in rows}) == total == len(after)
    assert after.items() >= before.items()  # no finished job was measured again


# ---- A sweeper that needs an objective -------------------------------------------------------------------------------

OPTUNA = ["bench", "-m", "hydra/sweeper=optuna", "hydra.sweeper.n_trials=3", "hydra.sweeper.n_jobs=1", "hydra.sweep.dir=out"]


@pytest.mark.exhaustive
def test_optuna_minimises_an_objective(tmp_path: Path) -> None:
    code, out, err = finish(tmp_path, *OPTUNA, "objective=macs", "block=cbam", "block.let.r=choice(2,4,8)", *QUICK)
    best = yaml.safe_load((tmp_path / "out" / "optimization_results.yaml").read_text())
    rows = {str(row["block"]): row["macs"] for row in read_rows(tmp_path / "out")}
    assert code == 0, err
    assert best["best_value"] == min(map(int, rows.values())) == rows[f"cbam let.r={best['best_params']['block.let.r']}"]


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["block=cbam", "block.let.r=choice(2,4)"],
            "objective: OptunaSweeper chooses by what a job returns; "
            "add objective= with one of forward_s, train_s, parameters, macs",
        ),
        (
            ["block=senet", "block.let.r=choice(400,500)", "objective=macs"],
            "objective: senet let.r=400 at 2x64x7x7 has no macs: refused: senet.yaml excite.0: mlp: hidden is C/r = 0.16, "
            "which rounds down to 0 (C = 64, r = 400); set let.r to 64 or less, or use at least 400 channels",
        ),
    ],
)
def test_optuna_without_a_result(tmp_path: Path, arguments: list[str], message: str) -> None:
    code, _, err = finish(tmp_path, *OPTUNA, *arguments, *QUICK)
    lines = [line.replace("500", "400").replace("0.13", "0.16") for line in err.splitlines()]
    assert code == 2 and message in lines and "Traceback" not in err
