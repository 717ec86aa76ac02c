"""One attempt to execute a run, for workers: an error becomes a text."""

from contextlib import suppress

from ...errors import ConfigError, first_line
from ..runs.config import RunConfig
from ..runs.preparation import prepare
from ..runs.results import Result
from ..runs.run import execute
from ..runs.store import RunStore


def attempt(config: RunConfig, store: RunStore) -> tuple[Result | None, str]:
    """The result of a run; None, with the reason, if it cannot be executed."""
    try:
        return execute(config, store), ""
    except ConfigError as error:
        return None, "; ".join(f"{path}: {text}" for path, text in error.faults)
    except Exception as error:
        return None, f"{type(error).__name__}: {first_line(error)}"


def note_failure(config: RunConfig, store: RunStore, error: str) -> None:
    """Writes into the folder of a run why it has no result, if the folder is known and can be written to."""
    with suppress(ConfigError, OSError):
        store.run(prepare(config).identity.run).write_failure(config, error)
