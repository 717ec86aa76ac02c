"""A store with a study that was never executed: what helps, what hurts, a control, a screen, a refusal and a failure."""

import json
from pathlib import Path

from sefactory.training.runs.store import Epoch, RunStore
from tests.training.runs.examples import example
from tests.training.verdicts.results import result
from tests.training.verdicts.test_comparisons import study


def filled_store(folder: Path) -> RunStore:
    """The store in a folder."""
    store = RunStore(folder)
    store.open()
    runs = study(static={"better": 84.0, "alike": 78.0})
    runs += [result("lost", seed, None if seed == 2 else 80.0) for seed in range(8)]
    runs += [result(label, 1000 + seed, 70.0, test=False) for label in ("plain", "better") for seed in range(2)]
    for run in runs:
        one = store.run(run.run)
        one.path.mkdir(parents=True)
        one.write_epochs([Epoch(i + 1, 1.0 / (i + 1), 0.9, 0.5 + 0.1 * i + 0.01 * len(run.label), None, 1.0) for i in range(3)])
        one.write_result(run)
    store.run("failed").write_failure(example("cbam", seed=3, test=True), "RuntimeError: broke")
    (folder / "studies").mkdir()
    note = {
        "study": "example",
        "refused": {"wide <b>": "excite.0: mlp: hidden is C/r = 0.5"},
        "gates": {},
        "variants": [],
        "confirmed": [],
    }
    (folder / "studies" / "example.json").write_text(json.dumps(note))
    return store
