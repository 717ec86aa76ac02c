"""Runs: finished once, continued bit for bit after a kill, and a result that is written last."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from sefactory.errors import ConfigError
from sefactory.training.batches import Batch
from sefactory.training.runs.config import RunConfig
from sefactory.training.runs.preparation import prepare
from sefactory.training.runs.results import Result
from sefactory.training.runs.run import Progress, execute
from sefactory.training.runs.store import RunFolder, RunStore
from sefactory.training.trainer import Trainer
from tests.training.runs.examples import example

TIMES = {"seconds", "inference_ms", "environment"}


def facts(result: Result) -> dict[str, object]:
    """What does not depend on when and where a run was executed."""
    return {key: value for key, value in result.as_record().items() if key not in TIMES}


def folder(store: RunStore, run: RunConfig) -> RunFolder:
    return store.run(prepare(run).identity.run)


def test_a_run_leaves_its_files_and_is_not_executed_again(tmp_path: Path) -> None:
    store, run, seen = RunStore(tmp_path), example("senet", test=True), list[Progress]()
    result = execute(run, store, seen.append)
    files = folder(store, run)
    names = {"config.yaml", "epochs.csv", "checkpoint.safetensors", "result.json"}
    assert {path.name for path in files.path.iterdir()} - {"lock"} == names
    assert result.status == "finished" and result.epochs == 2 and result.image_passes == 512 and result.label == "senet"
    assert result.validation and result.test and result.score == result.test.accuracy > 0.2
    assert [epoch.epoch for epoch in files.epochs] == [1, 2] and [p.step for p in seen] == list(range(1, 17))
    assert seen[-1].steps == 16 and seen[-1].epoch is not None and seen[-1].epoch.epoch == 1 and seen[0].epoch is None
    again = execute(run, store, lambda progress: pytest.fail("was executed again"))
    assert again.as_record() == result.as_record() and store.results()[0].as_record() == result.as_record()


def test_the_config_of_a_run_is_enough_to_repeat_it(tmp_path: Path) -> None:
    import yaml

    store, run = RunStore(tmp_path / "one"), example("senet")
    result = execute(run, store)
    config = yaml.safe_load((folder(store, run).path / "config.yaml").read_text())
    config = {key: tuple(value) if key == "search" else value for key, value in config.items()}
    assert facts(execute(RunConfig(**config), RunStore(tmp_path / "other"))) == facts(result)


@pytest.mark.parametrize("content", ["", "{", '{"run": 1}', "[]", None])
def test_a_result_that_is_damaged_is_made_again(tmp_path: Path, content: str | None) -> None:
    store, run = RunStore(tmp_path), example()
    result = execute(run, store)
    file = folder(store, run).path / "result.json"
    text = file.read_text()
    file.write_text(text[: len(text) // 2] if content is None else content)
    assert store.results() == [] and folder(store, run).result is None
    assert facts(execute(run, store, lambda progress: pytest.fail("was trained again"))) == facts(result)  # from its checkpoint


def test_foreign_folders_and_files_are_left_alone(tmp_path: Path) -> None:
    store, run = RunStore(tmp_path), example()
    execute(run, store)
    (tmp_path / "runs" / "notes").mkdir()
    (tmp_path / "runs" / "notes" / "result.json").write_text((folder(store, run).path / "result.json").read_text())
    (tmp_path / "runs" / "file.txt").write_text("mine")
    assert len(store.results()) == 1


def test_a_damaged_checkpoint_or_curve_begins_again(tmp_path: Path) -> None:
    run, store, whole = example(), RunStore(tmp_path / "one"), RunStore(tmp_path / "other")
    expected = execute(run, whole)
    files = folder(store, run)
    files.path.mkdir(parents=True)
    files.checkpoint.write_bytes(folder(whole, run).checkpoint.read_bytes()[:1000])
    (files.path / "epochs.csv").write_text("epoch,loss\n1,")
    assert facts(execute(run, store)) == facts(expected) and len(files.epochs) == 2


def test_a_loss_that_is_no_number_is_a_result(tmp_path: Path) -> None:
    store, run = RunStore(tmp_path), example()
    run = replace(run, recipe={**run.recipe, "lr": 1e30, "warmup": 0.0})
    result = execute(run, store)
    assert (result.status, result.score, result.validation) == ("diverged", None, None)
    assert result.error.startswith("the loss of epoch 1 is ") and folder(store, run).result == result


def test_a_loss_that_is_no_number_in_the_evaluation_is_a_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last step can break the weights after the last loss of the training."""
    step = Trainer.step

    def broken(trainer: Trainer, batch: Batch) -> torch.Tensor:
        loss = step(trainer, batch)
        next(trainer.model.parameters()).data.fill_(float("nan"))
        return loss

    run = example()
    run = replace(run, recipe={**run.recipe, "image_passes": 32})
    monkeypatch.setattr(Trainer, "step", broken)
    result = execute(run, RunStore(tmp_path))
    assert (result.status, result.score) == ("diverged", None)
    assert result.error == "the loss of a part after epoch 1 is nan"


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    store, run = RunStore(tmp_path), example()
    path = folder(store, run).path
    path.mkdir(parents=True)
    (path / ".checkpoint.safetensors.0123").write_bytes(b"half")
    execute(run, store)
    assert not list(path.glob(".*"))


@pytest.mark.parametrize("file", ["checkpoint.safetensors", "result.json", "epochs.csv", "config.yaml"])
def test_a_full_disk_loses_nothing(tmp_path: Path, file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import sefactory.store.files as files

    store, run, before = RunStore(tmp_path), example(), os.replace

    def full(source: str, target: Path) -> None:
        if Path(target).name == file:
            raise OSError(28, "No space left on device", str(target))
        before(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "replace", full)
        with pytest.raises(OSError, match="No space left"):
            execute(run, store)
    assert store.results() == [] and not list(tmp_path.rglob(".*"))
    assert facts(execute(run, store)) == facts(execute(run, RunStore(tmp_path / "other")))


def test_a_store_of_another_format_is_read_and_not_extended(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    store.open()
    execute(example(), store)
    store.open()
    (tmp_path / "store.json").write_text('{"format": 7}')
    with pytest.raises(ConfigError) as caught:
        store.open()
    text = "is a store of format 7; this version reads it, but extends format 1 alone"
    assert str(caught.value) == f"{tmp_path}: {text}; choose another folder with store=DIR" and len(store.results()) == 1


def test_a_result_of_a_later_version_is_read(tmp_path: Path) -> None:
    store, run = RunStore(tmp_path), example()
    result = execute(run, store)
    file = folder(store, run).path / "result.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "power": 3}))
    assert folder(store, run).result == result


def test_one_study_at_a_time(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    store.open()
    with store.locked_for_study(), pytest.raises(ConfigError) as caught, RunStore(tmp_path).locked_for_study():
        pass
    cure = "wait until it ends, or choose another folder with store=DIR"
    assert str(caught.value) == f"{tmp_path}: another study runs in this store; {cure}"


SCRIPT = """
import sys
from dataclasses import replace
from pathlib import Path
from sefactory.training.runs.run import execute
from sefactory.training.runs.store import RunStore
from tests.training.runs.examples import example
run = example("senet")
run = replace(run, recipe={**run.recipe, "image_passes": int(sys.argv[2]), "shift": 1, "subset": 512})
execute(run, RunStore(Path(sys.argv[1])), lambda progress: print(progress.step, flush=True))
"""
STEPS = 16
"""Steps of an epoch of the run above."""


def start(store: Path, epochs: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SCRIPT, str(store), str(512 * epochs)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def kill(process: subprocess.Popen[str], steps: int, delay: float) -> int:
    """Kills a process after so many steps, and returns its first step."""
    lines = [line for _, line in zip(range(steps), process.stdout or (), strict=False)]
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return int(lines[0])


@pytest.mark.parametrize("kills", [1, pytest.param(20, marks=pytest.mark.exhaustive)])
def test_a_run_that_is_killed_within_epochs_ends_with_equal_weights(tmp_path: Path, kills: int) -> None:
    """Each process is killed in its second epoch, after a step that is drawn; the next continues after the first epoch."""
    draw, epochs = random.Random(kills), 2 * kills + 2
    run = example("senet")
    run = replace(run, recipe={**run.recipe, "image_passes": 512 * epochs, "shift": 1, "subset": 512})
    execute(run, RunStore(tmp_path / "whole"))
    first_steps = []
    for _ in range(kills):
        process = start(tmp_path / "killed", epochs)
        first_steps.append(kill(process, draw.randrange(STEPS + 1, 2 * STEPS), draw.random() / 50))
    last = start(tmp_path / "killed", epochs)
    output, _ = last.communicate(timeout=300)
    first_steps.append(int(output.split()[0]))
    assert last.returncode == 0 and first_steps == sorted(first_steps) and first_steps[0] == 1 < first_steps[1]
    assert all(step % STEPS == 1 for step in first_steps) and len(set(first_steps)) == kills + 1
    ends = [RunStore(tmp_path / name).results() for name in ("whole", "killed")]
    assert [len(results) for results in ends] == [1, 1] and facts(ends[0][0]) == facts(ends[1][0])
    weights = [load_file(RunStore(tmp_path / name).run(ends[0][0].run).checkpoint) for name in ("whole", "killed")]
    assert weights[0].keys() == weights[1].keys() and all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
