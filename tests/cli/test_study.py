"""`sefactory study` and `sefactory report`: from a YAML to verdicts, with both runners, through kills and mistakes."""

import csv
import json
import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest
import yaml

from sefactory.training.report.run_table import TIMES
from sefactory.training.runs.store import RunStore
from tests.cli.command_line import Run
from tests.cli.processes import LAUNCHERS, finish, start
from tests.training.report.stores import filled_store
from tests.training.study.test_config import STUDY

QUICK = {**STUDY, "recipe": {"image_passes": 64, "lr": 0.05, "batch_size": 32, "subset": 64}}
RUNNERS = ["local", "ray"]


def write(folder: Path, **changes: object) -> str:
    (folder / "mine.yaml").write_text(yaml.safe_dump({**QUICK, **changes}))
    return "study=mine.yaml"


def rows(folder: Path) -> list[dict[str, str]]:
    """results.csv without what depends on where and when."""
    with (folder / "results.csv").open(newline="") as lines:
        return [{key: value for key, value in row.items() if key not in TIMES} for row in csv.DictReader(lines)]


def test_a_study_of_a_file(run: Run, tmp_path: Path) -> None:
    study = write(tmp_path, variants={"ecanet": "ecanet", "se": "senet"}, controls=False, confirm={"seeds": 5})
    code, out, err = run("study", study, "store=runs", "workers=2")
    assert code == 0 and "Traceback" not in err
    assert "digits, 64 image passes, test images" in out and "5 seeds: a score varies by" in out
    assert "se of mine: refused: excite.0 (for layer1.0.bn2, C = 8): mlp: hidden is C/r = 0.5" in err
    assert sum(line.startswith(("plain, seed", "ecanet, seed")) for line in err.splitlines()) == 10
    assert {row["block"] for row in rows(tmp_path / "runs")} == {"plain", "ecanet"} and len(rows(tmp_path / "runs")) == 10
    document = json.loads((tmp_path / "runs" / "results.json").read_text())
    assert document["settings"][0]["variants"][1]["to_baseline"]["verdict"] in ("helps", "hurts", "not detected")
    before = rows(tmp_path / "runs")
    for name in ("results.csv", "report.html"):
        (tmp_path / "runs" / name).unlink()
    assert run("report", "store=runs")[1] == out and rows(tmp_path / "runs") == before
    assert (tmp_path / "runs" / "report.html").is_file()


def test_a_dry_run_trains_nothing(run: Run, tmp_path: Path) -> None:
    study = write(tmp_path, variants=["ecanet", "senet", "linear"], screen={"seeds": 1, "keep": 1})
    code, out, _ = run("study", study, "store=runs", "dry=true", "workers=2")
    assert code == 0 and not (tmp_path / "runs").exists()
    lines = out.splitlines()
    assert [line.split()[0] for line in lines[3:6]] == ["plain", "ecanet", "linear"]
    assert lines[6].startswith("screen: 3 runs, 0.00 hours with 2 at a time")
    assert lines[7].startswith("confirm: ") and lines[8].startswith("refused: senet: excite.0 (for layer1.0.bn2, C = 8)")
    document = json.loads(run("study", study, "store=runs", "dry=true", "format=json")[1])
    assert document["variants"][0]["variant"] == "plain" and list(document["refused"]) == ["senet"]


@pytest.mark.parametrize("layout", ["csv", "tsv", "json", "markdown"])
def test_formats_of_a_report(run: Run, tmp_path: Path, layout: str) -> None:
    filled_store(tmp_path / "runs")
    code, out, err = run("report", "store=runs", f"format={layout}")
    assert code == 0 and "better" in out and err == f"results.csv, results.json and report.html are in {tmp_path}/runs\n"
    if layout == "csv":
        assert out == (tmp_path / "runs" / "results.csv").read_text()
    if layout == "json":
        assert json.loads(out) == json.loads((tmp_path / "runs" / "results.json").read_text())


def test_overrides_of_a_study(run: Run, tmp_path: Path) -> None:
    study = write(tmp_path, variants={"ecanet": "ecanet"}, controls=False)
    assert (
        run("study", study, "store=runs", "workers=1", "study.confirm.seeds=1", "+study.variants.mine={gate: [sigmoid]}")[0]
        == 0
    )
    assert [row["block"] for row in rows(tmp_path / "runs")] == ["ecanet", "mine", "plain"]


MISTAKES = {
    "study store=runs study=smok": "study=smok: no study named 'smok'; there are papers, scenes, smoke; did you mean 'smoke'?",
    "study study=smoke": "store: is missing; add store=DIR, the folder of the runs",
    "study smoke store=runs": "override smoke: is not key=value; write study=smoke",
    "study store=runs runner=slurm": "runner: 'slurm'; allowed: one of local, ray",
    "study store=runs address=auto": "address: 'auto' is that of a cluster of Ray; add runner=ray",
    "study store=runs runner=ray address=auto workers=2": "workers: is for this machine; a cluster at an address has its own; "
    "remove one",
    "study store=runs workers=0": "workers: 0; allowed: a positive integer",
    "study -m store=a,b": "-m: study is no sweep; its variants, seeds and budgets are in the study; remove -m",
    "study store=runs seed=3": "override seed=3: 'seed' is a key of train; write study.confirm.seeds=N for seeds 0 to N - 1",
    "study store=runs device=cuda": "override device=cuda: 'device' is a key of bench; write +study.device=cuda",
    "study store=runs study.confirm.seeds=0": "study.confirm.seeds: seeds is 0; allowed: an integer from 1",
    "study store=runs study.data.dataset=mnist": "data.dataset: 'mnist'; allowed: one of digits, fashion_mnist",
    "study store=/dev/null/x": "/dev/null/x: cannot be written to: Not a directory; choose another folder with store=DIR",
    "report": "store: is missing; add store=DIR, the folder of the runs",
    "report store=nowhere": "nowhere: has no finished runs; sefactory train and sefactory study fill a store",
    "report nowhere": "override nowhere: is not key=value; write store=nowhere",
    "report store=runs block=senet": "override block=senet: 'block' is a key of show; report has store, format",
}


@pytest.mark.parametrize("line", MISTAKES)
def test_mistakes_are_one_line(run: Run, tmp_path: Path, line: str) -> None:
    code, out, err = run(*line.split(" "))
    assert (code, out, err.count("\n")) == (2, "", 1) and err.replace(f"{tmp_path}/", "").startswith(MISTAKES[line]), err


def test_all_variants_refused(run: Run, tmp_path: Path) -> None:
    code, out, err = run("study", write(tmp_path, variants=["senet"], confirm={"seeds": 1}), "store=runs", "workers=1")
    assert (code, out, err.count("\n")) == (2, "", 1) and not (tmp_path / "runs").exists()
    assert err.startswith("study.variants.senet: excite.0 (for layer1.0.bn2, C = 8): mlp: hidden is C/r = 0.5")


@pytest.mark.exhaustive
@pytest.mark.parametrize("runner", RUNNERS)
def test_a_failed_run_is_a_failed_exit_code_and_keeps_the_others(tmp_path: Path, runner: str) -> None:
    study = write(tmp_path, variants=["ecanet"], controls=False)
    assert finish(tmp_path, "study", study, "store=runs")[0] == 0
    store = RunStore(tmp_path / "runs")
    lost = next(result for result in store.results() if result.label == "ecanet" and result.seed == 1)
    folder = store.run(lost.run).path
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    folder.write_text("a file in the way")
    code, out, err = finish(tmp_path, "study", study, "store=runs", f"runner={runner}")
    assert code == 2 and "Traceback" not in err and len(store.results()) == 3
    assert any(line.startswith("ecanet, seed 1, 64 image passes: failed: FileExistsError") for line in err.splitlines()), err
    folder.unlink()
    assert finish(tmp_path, "study", study, "store=runs", f"runner={runner}")[0] == 0 and len(store.results()) == 4


@pytest.mark.exhaustive
@pytest.mark.parametrize("way", ["ray", "basic", "joblib"])
def test_studies_and_sweeps_give_the_same_results(tmp_path: Path, way: str) -> None:
    """What local processes, Ray with two workers, and the launchers of Hydra write into results.csv is the same."""
    study = write(tmp_path, variants=["ecanet", "simam"], controls=False)
    assert finish(tmp_path, "study", study, "store=local", "workers=2")[0] == 0
    if way == "ray":
        assert finish(tmp_path, "study", study, "store=other", "workers=2", "runner=ray")[0] == 0
    else:
        for group in ("network", "recipe"):
            (tmp_path / f"{group}.yaml").write_text(yaml.safe_dump(QUICK[group]))
        settings = ["network=network.yaml", "recipe=recipe.yaml", "seed=0,1", "test=true", "store=other", *LAUNCHERS[way]]
        assert finish(tmp_path, "train", "-m", "block=ecanet,simam", *settings)[0] == 0
        assert finish(tmp_path, "train", "-m", *settings)[0] == 0
        assert finish(tmp_path, "report", "store=other")[0] == 0
    assert rows(tmp_path / "other") == rows(tmp_path / "local") and len(rows(tmp_path / "local")) == 6


def forty(folder: Path) -> list[str]:
    """A study of 40 runs of a fraction of a second."""
    variants = ["ecanet", "simam", "gaussian_context", "srmnet"]
    study = write(folder, variants=variants, controls=False, confirm={"seeds": 8})
    return ["study", study, "study.recipe.image_passes=640", "store=runs", "workers=2"]


@pytest.mark.exhaustive
@pytest.mark.parametrize("victim", ["driver", "worker", "half a result"])
@pytest.mark.parametrize("runner", RUNNERS)
def test_a_study_that_is_killed_goes_on(tmp_path: Path, runner: str, victim: str) -> None:
    """Ten kills at random moments; then the results are those of a study that was not disturbed."""
    (tmp_path / "whole").mkdir()
    (tmp_path / "killed").mkdir()
    assert finish(tmp_path / "whole", *forty(tmp_path / "whole"))[0] == 0
    command, store = [*forty(tmp_path / "killed"), f"runner={runner}"], RunStore(tmp_path / "killed" / "runs")
    random, done, counts = Random(f"{runner} {victim}"), dict[str, str](), list[int]()
    for kill in range(10):
        process = start(tmp_path / "killed", *command, start_new_session=True)
        if victim == "worker":
            counts += kill_workers(process, store, random)
            break
        wait_for(store, len(done) + random.randint(0, 4), random.uniform(0, 0.5))
        if kill % 2:
            os.kill(process.pid, signal.SIGKILL)  # the workers end by themselves
        else:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        now = {result.run: result.environment["date"] for result in store.results()}
        assert now.items() >= done.items()
        if victim == "half a result" and now:
            cut = random.choice(sorted(now))
            file = store.run(cut).path / "result.json"
            file.write_text(file.read_text()[: file.stat().st_size // 2])
            del now[cut]
        done = now
        counts.append(len(done))
    code, _, err = finish(tmp_path / "killed", *command)
    assert code == 0, err
    assert {result.run: result.environment["date"] for result in store.results()}.items() >= done.items()
    assert rows(tmp_path / "killed" / "runs") == rows(tmp_path / "whole" / "runs") and len(store.results()) == 40
    assert sum(0 < count < 40 for count in counts) >= 5, counts


def wait_for(store: RunStore, count: int, seconds: float) -> None:
    """Waits until so many runs are finished, and some seconds more."""
    deadline = time.monotonic() + 120
    while len(store.results()) < min(count, 40) and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(seconds)


def kill_workers(driver: subprocess.Popen[str], store: RunStore, random: Random) -> list[int]:
    """Kills ten workers of one driver at random moments. Returns how many runs were finished each time."""
    counts: list[int] = []
    while len(counts) < 10 and driver.poll() is None:
        wait_for(store, counts[-1] + 2 if counts else 1, random.uniform(0, 0.5))  # three kills of one run would be its end
        workers = [pid for pid in descendants(driver.pid) if is_worker(pid)]
        if workers:
            counts.append(len(store.results()))
            with suppress(ProcessLookupError):
                os.kill(random.choice(workers), signal.SIGKILL)
    driver.communicate(timeout=300)
    return counts


def is_worker(pid: int) -> bool:
    """True for a process that executes runs: of the local runner, or a task of Ray that is running."""
    try:
        text = Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return False
    return "spawn_main" in text or "ray::attempt" in text


def descendants(pid: int) -> list[int]:
    """The processes below a process."""
    children = [int(child) for file in Path(f"/proc/{pid}/task").glob("*/children") for child in file.read_text().split()]
    return [*children, *(below for child in children for below in descendants(child))]
