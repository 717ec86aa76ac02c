"""What a runner yields: the outcome of each run, as soon as it is known."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Protocol

from ..runs.config import RunConfig
from ..runs.results import Result
from ..runs.store import RunStore

ATTEMPTS = 3
"""How often a run is started if its worker dies."""


@dataclass(frozen=True)
class Outcome:
    """The result of a run; None, with the error, if it failed."""

    config: RunConfig
    result: Result | None
    error: str = ""


class Runner(Protocol):
    """Executes runs, each as `execute` does, and yields their outcomes in any order. No run is executed twice at a time."""

    def run(self, configs: Sequence[RunConfig], store: RunStore) -> Generator[Outcome, None, None]:
        """Yields one outcome for each config."""
        ...
