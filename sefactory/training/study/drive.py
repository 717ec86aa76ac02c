"""Drives a study: builds its variants, executes its stages with a runner, and keeps a note of what was refused and chosen."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import ConfigError
from ...store.files import replace_file
from ..runs.config import RunConfig
from ..runs.preparation import load_run_data
from ..runs.results import Result
from ..runs.store import RunStore
from .candidates import Candidates, build_candidates
from .config import StudyConfig
from .outcomes import Outcome, Runner
from .stages import choose, confirm_runs, screen_runs


@dataclass
class Study:
    """A study in a store. `run` may be called again: finished runs are taken from the store.

    `on_start` is called with the name of a stage and its runs before they are executed, `on_outcome` with each outcome.
    """

    config: StudyConfig
    name: str
    store: RunStore
    runner: Runner
    on_start: Callable[[str, Sequence[RunConfig]], None] = lambda stage, runs: None
    on_outcome: Callable[[Outcome], None] = lambda outcome: None
    failed: dict[str, str] = field(default_factory=dict)
    stage: str = ""
    """The stage that is executed now; empty before the first one."""

    def run(self) -> None:
        """Executes all stages.

        Raises ConfigError if the network itself or every variant cannot be built, or if the store cannot be used.
        """
        candidates = build_candidates(self.config, load_run_data(self.config.baseline))
        if len(candidates.accepted) == 1:
            raise ConfigError([(f"study.variants.{label}", reason) for label, reason in candidates.refused.items()])
        self.store.open()
        with self.store.locked_for_study():
            labels = [label for label in candidates.accepted if label != self.config.baseline.label]
            if self.config.screen:
                self._note(candidates, [])
                results = self._execute("screen", screen_runs(self.config, labels, self.config.screen))
                labels = choose(labels, results, self.config.screen.keep)
            self._note(candidates, labels)
            without_gates = [label for label in labels if not candidates.accepted[label].gates]
            self._execute("confirm", confirm_runs(self.config, labels, without_gates))

    def _execute(self, stage: str, runs: Sequence[RunConfig]) -> list[tuple[str, Result]]:
        """The results of runs, each with the label of its variant. Failed runs are noted in `failed`."""
        self.stage = stage
        self.on_start(stage, runs)
        results = []
        with closing(self.runner.run(runs, self.store)) as outcomes:
            for outcome in outcomes:
                if outcome.result is not None:
                    results.append((outcome.config.label, outcome.result))
                else:
                    self.failed[describe_run(outcome.config)] = outcome.error
                self.on_outcome(outcome)
        return results

    def _note(self, candidates: Candidates, confirmed: Sequence[str]) -> None:
        """Writes what the report cannot tell from the runs: DIR/studies/NAME.json."""
        note = {
            "study": self.name,
            "variants": list(candidates.accepted),
            "refused": dict(candidates.refused),
            "gates": {label: candidate.gates for label, candidate in candidates.accepted.items()},
            "confirmed": list(confirmed),
        }
        folder = self.store.folder / "studies"
        folder.mkdir(exist_ok=True)
        replace_file(folder / f"{self.name}.json", json.dumps(note, indent=1, ensure_ascii=False) + "\n")


def read_notes(folder: Path) -> list[Mapping[str, Any]]:
    """The notes of all studies in a store. Files that cannot be read are left out."""
    notes: list[Mapping[str, Any]] = []
    for file in sorted((folder / "studies").glob("*.json")):
        try:
            note = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(note, dict) and isinstance(note.get("refused"), dict) and isinstance(note.get("study"), str):
            notes.append(note)
    return notes


def describe_run(config: RunConfig) -> str:
    """A run in a few words, for messages.

    >>> describe_run(RunConfig({}, {}, {"image_passes": 40000}, label="senet", seed=3, static=True))
    'senet with static gates, seed 3, 40,000 image passes'
    """
    gates = " with static gates" if config.static else ""
    return f"{config.label}{gates}, seed {config.seed}, {config.recipe['image_passes']:,} image passes"
