"""Executes runs in processes of this machine, each with the threads of its run."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import NamedTuple

from ..runs.config import RunConfig
from ..runs.store import RunStore
from .attempt import attempt, note_failure
from .outcomes import ATTEMPTS, Outcome

START = multiprocessing.get_context("spawn")  # a forked torch can hang


class _Task(NamedTuple):
    config: RunConfig
    number: int = 1
    """How often the run was started, this time included."""


class _Worker:
    """A process that executes one run after another, until its pipe is closed or this process ends."""

    def __init__(self, store: RunStore) -> None:
        self.connection, other = START.Pipe()
        self.process = START.Process(target=_work, args=(other, store), daemon=True)
        self.process.start()
        other.close()
        self.task: _Task | None = None

    def start(self, task: _Task) -> None:
        """Gives the process a run. If it is dead, `receive` finds out."""
        self.task = task
        with suppress(OSError):
            self.connection.send(task.config)

    def receive(self, task: _Task) -> Outcome | None:
        """The outcome of its run; None if the process died."""
        try:
            result, error = self.connection.recv()
        except (EOFError, OSError):
            return None
        self.task = None
        return Outcome(task.config, result, error)

    def stop(self) -> None:
        """Ends the process."""
        self.process.kill()
        self.process.join()
        self.connection.close()


class LocalRunner:
    """Executes so many runs at a time. A run whose process dies is started again twice; then it has failed."""

    def __init__(self, workers: int) -> None:
        self.workers = workers

    def run(self, configs: Sequence[RunConfig], store: RunStore) -> Generator[Outcome, None, None]:
        """Yields the outcome of each run. Stops the processes if the caller stops."""
        tasks = deque(_Task(config) for config in configs)
        workers = [_Worker(store) for _ in range(min(self.workers, len(tasks)))]
        try:
            while tasks or any(worker.task for worker in workers):
                for worker in workers:
                    if tasks and worker.task is None:
                        worker.start(tasks.popleft())
                for index, task in _ready(workers):
                    outcome = workers[index].receive(task)
                    if outcome is None:
                        workers[index].stop()
                        outcome = _retry(task, tasks, store, workers[index].process.exitcode)
                        workers[index] = _Worker(store)
                    if outcome is not None:
                        yield outcome
        finally:
            for worker in workers:
                worker.stop()


def _ready(workers: Sequence[_Worker]) -> Iterator[tuple[int, _Task]]:
    """Waits for workers that have an outcome or died; yields their numbers and runs."""
    busy = {worker.connection: (index, worker.task) for index, worker in enumerate(workers) if worker.task}
    for connection in wait(list(busy)):
        yield busy[connection]  # type: ignore[index]


def _retry(task: _Task, tasks: deque[_Task], store: RunStore, exit_code: int | None) -> Outcome | None:
    """Puts a run whose process died in front of the others again; the outcome if that was the last attempt."""
    if task.number < ATTEMPTS:
        tasks.appendleft(task._replace(number=task.number + 1))
        return None
    reason = f"its process ended with exit code {exit_code} in each of {ATTEMPTS} attempts"
    note_failure(task.config, store, reason)
    return Outcome(task.config, None, reason)


def _work(connection: Connection, store: RunStore) -> None:
    """The main function of a worker. Ctrl-C reaches it too, and is left to the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        try:
            config: RunConfig = connection.recv()
        except EOFError:
            return
        connection.send(attempt(config, store))


def _end_with_parent() -> None:
    """Ends this process when its parent does: nobody would wait for its runs."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
