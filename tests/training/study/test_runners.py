"""Runners: the same results in processes and in Ray; workers that die; runs that fail."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from sefactory.errors import ConfigError
from sefactory.training.runs.config import RunConfig
from sefactory.training.runs.store import RunStore
from sefactory.training.study import local
from sefactory.training.study.local import LocalRunner
from sefactory.training.study.outcomes import Outcome, Runner
from sefactory.training.study.ray_tasks import RayRunner
from tests.training.runs.examples import example
from tests.training.runs.test_run import facts

RUNNERS: list[object] = [
    pytest.param(lambda: LocalRunner(2), id="local"),
    pytest.param(lambda: RayRunner(2, None), id="ray", marks=pytest.mark.exhaustive),
]


@pytest.mark.parametrize("runner", RUNNERS)
def test_the_results_do_not_depend_on_the_runner(tmp_path: Path, runner: Callable[[], Runner]) -> None:
    from sefactory.training.runs.run import execute

    runs = [example("senet"), example(), example(seed=1)]
    broken = replace(
        example("senet"), network={"host": "residual", "depth": 8, "width": 2, "place": example().network["place"]}
    )
    store = RunStore(tmp_path / "one")
    outcomes = list(runner().run([*runs, broken], store))
    assert len(outcomes) == 4 and len(store.results()) == 3
    by_run = {(outcome.config.label, outcome.config.seed, outcome.result is None): outcome for outcome in outcomes}
    for run in runs:
        found = by_run[run.label, run.seed, False].result
        assert found is not None and facts(found) == facts(execute(run, RunStore(tmp_path / "other")))
    assert by_run["senet", 0, True].error.startswith("excite.0 (for layer1.0.bn2, C = 2): mlp: hidden is C/r = 0.5")


def test_no_runs() -> None:
    assert list(LocalRunner(2).run([], RunStore(Path("absent")))) == []


def long_run(seed: int = 0) -> RunConfig:
    run = example(seed=seed)
    return replace(run, recipe={**run.recipe, "image_passes": 8_000})


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The process numbers of the workers, in the order in which they were started."""
    numbers: list[int] = []
    start = local._Worker.__init__

    def note(worker: local._Worker, store: RunStore) -> None:
        start(worker, store)
        numbers.append(worker.process.pid or 0)

    monkeypatch.setattr(local._Worker, "__init__", note)
    yield numbers


@pytest.mark.exhaustive
def test_a_worker_that_dies_is_replaced_and_its_run_continues(tmp_path: Path, workers: list[int]) -> None:
    store = RunStore(tmp_path)

    def kill() -> None:
        while not list(tmp_path.glob("runs/*/checkpoint.safetensors")):
            time.sleep(0.05)
        os.kill(workers[0], signal.SIGKILL)

    threading.Thread(target=kill, daemon=True).start()
    (outcome,) = LocalRunner(1).run([long_run()], store)
    assert len(workers) == 2 and outcome.result is not None and store.results() == [outcome.result]


def test_a_run_whose_worker_dies_three_times_has_failed(tmp_path: Path, workers: list[int]) -> None:
    stop = threading.Event()

    def kill() -> None:
        done = 0
        while not stop.is_set():
            if len(workers) > done:
                with suppress(ProcessLookupError):
                    os.kill(workers[done], signal.SIGKILL)
                done += 1
            time.sleep(0.02)

    outcomes: list[Outcome] = []
    threading.Thread(target=kill, daemon=True).start()
    try:
        for outcome in LocalRunner(1).run([long_run()], RunStore(tmp_path)):
            stop.set()
            outcomes.append(outcome)
    finally:
        stop.set()
    (failed,) = outcomes
    assert failed.result is None and failed.error == "its process ended with exit code -9 in each of 3 attempts"


def test_ray_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError) as caught:
        RayRunner(1, None)
    assert str(caught.value) == "runner: ray is not installed; pip install 'sefactory[ray]', or set runner=local"


ADDRESSES = {
    "127.0.0.1:1": "runner: no cluster at 127.0.0.1:1: [Errno 111] Connection refused; "
    "start one with `ray start --head`, or set runner=local",
    "ray://127.0.0.1:99999": "runner: no cluster at ray://127.0.0.1:99999: ",
    "here": "address: 'here'; allowed: auto, HOST:PORT, or ray://HOST:PORT",
}


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_cluster_that_is_not_there(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", ModuleType("ray"))
    with pytest.raises(ConfigError) as caught:
        RayRunner(1, address)
    assert str(caught.value).startswith(ADDRESSES[address]) and "\n" not in str(caught.value)
