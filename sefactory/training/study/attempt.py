"""Executes a run in a worker: an error becomes a text."""

from contextlib import suppress

from ...errors import ConfigError, first_line, one_line
from ..runs.config import RunConfig
from ..runs.preparation import prepare
from ..runs.results import Result
from ..runs.run import execute
from ..runs.store import RunStore


def attempt(config: RunConfig, store: RunStore) -> tuple[Result | None, str]:
    """The result of a run; None, with the reason, if it cannot be executed. The reason is noted in the folder of the run."""
    try:
        return execute(config, store), ""
    except ConfigError as error:
        reason = one_line(error)
    except Exception as error:
        reason = f"{type(error).__name__}: {first_line(error)}"
    note_failure(config, store, reason)
    return None, reason


def note_failure(config: RunConfig, store: RunStore, error: str) -> None:
    """Writes into the folder of a run why it has no result. Does nothing if the folder is not known or cannot be written to."""
    with suppress(Exception):
        store.run(prepare(config).identity.run).write_failure(config, error)
