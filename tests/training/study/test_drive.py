"""Studies: stages, refused variants, failed runs, and a second driver."""

import json
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import pytest

from sefactory.errors import ConfigError
from sefactory.training.runs.config import RunConfig
from sefactory.training.runs.store import RunStore
from sefactory.training.study.attempt import attempt, note_failure
from sefactory.training.study.config import read_study
from sefactory.training.study.drive import Study, read_notes
from sefactory.training.study.outcomes import Outcome
from tests.training.runs.examples import NETWORK
from tests.training.study.test_config import STUDY

QUICK = STUDY | {"recipe": STUDY["recipe"] | {"image_passes": 64, "subset": 64}}


class InThisProcess:
    """Executes runs one after the other. `broken` are the labels of runs that fail."""

    def __init__(self, broken: Sequence[str] = ()) -> None:
        self.broken = broken
        self.executed: list[RunConfig] = []

    def run(self, configs: Sequence[RunConfig], store: RunStore) -> Generator[Outcome, None, None]:
        for config in configs:
            self.executed.append(config)
            if config.label in self.broken:
                note_failure(config, store, "broke")
            yield Outcome(config, None, "broke") if config.label in self.broken else Outcome(config, *attempt(config, store))


def study(folder: Path, runner: InThisProcess | None = None, **changes: Any) -> Study:
    return Study(read_study(QUICK | changes), "example", RunStore(folder), runner or InThisProcess())


def test_one_stage_with_a_refused_variant(tmp_path: Path) -> None:
    one = study(tmp_path, variants={"narrow": "senet", "ecanet": "ecanet", "linear": {"series": ["linear"]}})
    stages: list[tuple[str, int]] = []
    one.on_start = lambda stage, runs: stages.append((stage, len(runs)))
    one.run()
    assert stages == [("confirm", 2 * 4)] and not one.failed  # plain, ecanet, its control, linear
    found = {(result.label, result.static) for result in one.store.results()}
    assert found == {("plain", False), ("ecanet", False), ("ecanet", True), ("linear", False)}
    (note,) = read_notes(tmp_path)
    assert list(note["refused"]) == ["narrow"] and note["gates"] == {"plain": 0, "ecanet": 3, "linear": 0}
    assert note["refused"]["narrow"].startswith("excite.0 (for layer1.0.bn2, C = 8): mlp: hidden is C/r = 0.5")


def test_a_screen_chooses_what_scored_test(tmp_path: Path) -> None:
    one = study(tmp_path, variants=["ecanet", "simam", "gaussian_context"], screen={"seeds": 1, "keep": 1}, controls=False)
    one.run()
    screened = [result for result in one.store.results() if not result.scored_test]
    scores = {result.label: result.score or 0 for result in screened}
    best = max(("ecanet", "simam", "gaussian_context"), key=lambda label: scores[label])  # the first of equal ones
    confirmed = {result.label for result in one.store.results() if result.scored_test}
    assert len(screened) == 4 and confirmed == {"plain", best} and all(result.test is None for result in screened)
    assert read_notes(tmp_path)[0]["confirmed"] == [best]


def test_a_variant_that_was_stored_under_another_label_goes_on(tmp_path: Path) -> None:
    screen = {"screen": {"seeds": 1, "keep": 1}, "controls": False}
    study(tmp_path, variants={"old": "ecanet"}, **screen).run()
    renamed = study(tmp_path, variants={"new": "ecanet"}, **screen)
    stages: list[list[str]] = []
    renamed.on_start = lambda stage, runs: stages.append([run.label for run in runs])
    renamed.run()
    assert stages == [["plain", "new"], ["plain", "new", "plain", "new"]] and read_notes(tmp_path)[0]["confirmed"] == ["new"]


def test_equal_variants_are_refused(tmp_path: Path) -> None:
    one = study(tmp_path, variants={"a": "ecanet", "b": "ecanet"}, controls=False, confirm={"seeds": 1})
    one.run()
    assert read_notes(tmp_path)[0]["refused"] == {"b": "has the same blocks at the same places as a"}


def test_more_seeds_and_variants_extend_a_study(tmp_path: Path) -> None:
    study(tmp_path, variants=["ecanet"], controls=False, confirm={"seeds": 1}).run()
    before = {result.run: result.as_record() for result in RunStore(tmp_path).results()}
    study(tmp_path, variants=["ecanet", "simam"], controls=False, confirm={"seeds": 2}).run()
    after = {result.run: result.as_record() for result in RunStore(tmp_path).results()}
    assert len(before) == 2 and len(after) == 6 and {key: after[key] for key in before} == before


def test_stores_are_merged_by_copying_runs(tmp_path: Path) -> None:
    import shutil

    study(tmp_path / "one", variants=["ecanet"], controls=False).run()
    study(tmp_path / "other", variants=["simam"], controls=False).run()
    shutil.copytree(tmp_path / "other" / "runs", tmp_path / "one" / "runs", dirs_exist_ok=True)
    merged = InThisProcess()
    two = study(tmp_path / "one", merged, variants=["ecanet", "simam"], controls=False)
    times = {result.run: result.environment["date"] for result in two.store.results()}
    two.run()
    assert len(times) == 6 and {result.run: result.environment["date"] for result in two.store.results()} == times


def test_a_failed_run_is_noted_and_tried_again(tmp_path: Path) -> None:
    one = study(tmp_path, InThisProcess(["ecanet"]), variants=["ecanet"], controls=False)
    one.run()
    assert (
        one.failed == {f"ecanet, seed {seed}, 64 image passes": "broke" for seed in range(2)} and len(one.store.results()) == 2
    )
    failures = list(one.store.failures().values())
    assert [failure["error"] for failure in failures] == ["broke", "broke"]
    assert {(failure["block"], failure["seed"], failure["stage"]) for failure in failures} == {
        ("ecanet", 0, "confirm"),
        ("ecanet", 1, "confirm"),
    }
    again = study(tmp_path, variants=["ecanet"], controls=False)
    again.run()
    assert not again.failed and not again.store.failures() and len(again.store.results()) == 4


def test_a_network_that_cannot_be_built_stops_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="timm has no network"):
        study(tmp_path / "store", network={"host": "timm:resnet81", "place": NETWORK["place"]}).run()
    assert not (tmp_path / "store").exists()


def test_notes_that_cannot_be_read_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "studies").mkdir()
    for name, text in {"a": "{", "b": "[]", "c": json.dumps({"study": "c", "refused": {"x": "y"}})}.items():
        (tmp_path / "studies" / f"{name}.json").write_text(text)
    assert read_notes(tmp_path) == [{"study": "c", "refused": {"x": "y"}}]


HOLD = """
import sys, time
from pathlib import Path
from sefactory.training.runs.store import RunStore
store = RunStore(Path(sys.argv[1]))
store.open()
with store.locked_for_study():
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_driver_is_refused_and_a_killed_one_is_not_in_the_way(tmp_path: Path) -> None:
    other = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        with pytest.raises(ConfigError, match="another study runs in this store"):
            study(tmp_path, variants=["ecanet"]).run()
    finally:
        other.kill()
        other.communicate()
    time.sleep(0.05)
    study(tmp_path, variants=["ecanet"], controls=False, confirm={"seeds": 1}).run()
    assert len(RunStore(tmp_path).results()) == 2


@pytest.mark.exhaustive
def test_two_processes_that_want_one_run_execute_it_once(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from sefactory.training.runs.run import execute
from sefactory.training.runs.store import RunStore
from tests.training.runs.examples import example
steps = []
execute(example(), RunStore(Path(sys.argv[1])), lambda progress: steps.append(progress.step))
print(len(steps))
"""
    processes = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    outputs = sorted(int(process.communicate(timeout=100)[0]) for process in processes)
    assert outputs == [0, 16] and len(RunStore(tmp_path).results()) == 1
