"""Executes runs as tasks of Ray: on a running cluster, or on one that is started here.

The workers write to the folder of the store, which has to be the same folder on all machines.
"""

import os
import re
import socket
from collections.abc import Generator, Sequence
from typing import Any

from ...errors import ConfigError, first_line, short_repr
from ..runs.config import RunConfig
from ..runs.store import RunStore
from .attempt import attempt, note_failure
from .outcomes import ATTEMPTS, Outcome

CONNECT_SECONDS = 10


class RayRunner:
    """Executes runs as tasks of Ray, each on one processor. `address` is that of a running cluster; None starts one here.

    Raises ConfigError if Ray is not installed or cannot be reached.
    """

    def __init__(self, workers: int, address: str | None) -> None:
        self.workers, self.address = workers, address
        self._ray = _import_ray()
        if address is not None:
            _check_address(address)

    def run(self, configs: Sequence[RunConfig], store: RunStore) -> Generator[Outcome, None, None]:
        """Yields the outcome of each run. The tasks are cancelled if the caller stops."""
        ray = self._ray
        _connect(ray, self.address, self.workers)
        try:
            task = ray.remote(num_cpus=1, max_retries=ATTEMPTS - 1)(attempt)
            pending = {task.options(num_gpus=_gpus(config)).remote(config, store): config for config in configs}
            while pending:
                (reference,), _ = ray.wait(list(pending), num_returns=1)
                outcome = _outcome(ray, pending.pop(reference), reference)
                if outcome.result is None:
                    note_failure(outcome.config, store, outcome.error)
                yield outcome
        finally:
            ray.shutdown()


def _outcome(ray: Any, config: RunConfig, reference: Any) -> Outcome:
    """The outcome of a task that has ended."""
    try:
        return Outcome(config, *ray.get(reference))
    except ray.exceptions.WorkerCrashedError as error:
        return Outcome(config, None, f"its process died in each of {ATTEMPTS} attempts: {first_line(error)}")
    except ray.exceptions.RayError as error:
        return Outcome(config, None, f"{type(error).__name__}: {first_line(error)}")


def _gpus(config: RunConfig) -> float:
    """The GPUs that a task reserves, so that Ray gives it one."""
    return 1.0 if config.device.startswith("cuda") else 0.0


def _import_ray() -> Any:
    try:
        import ray
    except ModuleNotFoundError:
        raise ConfigError([("runner", "ray is not installed; pip install 'sefactory[ray]', or set runner=local")]) from None
    return ray


def _check_address(address: str) -> None:
    """Raises ConfigError for an address that is none, or where nothing listens: Ray itself tries for minutes."""
    if address == "auto":
        return
    match = re.fullmatch(r"(?:ray://)?([\w.-]+):(\d+)", address)
    if match is None:
        raise ConfigError([("address", f"{short_repr(address)}; allowed: auto, HOST:PORT, or ray://HOST:PORT")])
    try:
        socket.create_connection((match[1], int(match[2])), timeout=CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise _unreachable(address, error) from None


def _unreachable(address: str | None, error: Exception) -> ConfigError:
    what = f"no cluster at {address}" if address else "a cluster cannot be started here"
    cure = "start one with `ray start --head`, or set runner=local"
    return ConfigError([("runner", f"{what}: {first_line(error)}; {cure}")])


def _connect(ray: Any, address: str | None, workers: int) -> None:
    """Connects to a cluster, or starts one; a start that is too slow is tried once more. Raises ConfigError."""
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # Ray warns about its own default otherwise
    own = {"num_cpus": workers, "include_dashboard": False} if address is None else {}
    for is_last in (False, True):
        try:
            ray.init(address or "local", log_to_driver=False, logging_level="ERROR", **own)
            return
        except Exception as error:  # Ray raises a bare Exception after a slow start
            ray.shutdown()
            if is_last or address is not None:
                raise _unreachable(address, error) from None
