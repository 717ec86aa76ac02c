"""Executes runs in processes of this machine, each with the threads of its run."""

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import NamedTuple

from ..runs.config import RunConfig
from ..runs.store import RunStore
from .attempt import attempt
from .outcomes import ATTEMPTS, Outcome

START = multiprocessing.get_context("spawn")  # a forked torch can hang


class _Task(NamedTuple):
    config: RunConfig
    attempt: int = 1


class _Worker:
    """A process that executes one run after another, until its pipe is closed or this process ends."""

    def __init__(self, store: RunStore) -> None:
        self.connection, other = START.Pipe()
        self.process = START.Process(target=_work, args=(other, store), daemon=True)
        self.process.start()
        other.close()
        self.task: _Task | None = None

    def start(self, task: _Task) -> None:
        self.task = task
        self.connection.send(task.config)

    def stop(self) -> None:
        self.process.kill()
        self.process.join()
        self.connection.close()


class LocalRunner:
    """Executes so many runs at a time. A run whose process dies is started again twice; then it has failed."""

    def __init__(self, workers: int) -> None:
        self.workers = workers

    def run(self, configs: Sequence[RunConfig], store: RunStore) -> Iterator[Outcome]:
        """Yields the outcome of each run. Stops the processes if the caller stops."""
        tasks = deque(_Task(config) for config in configs)
        workers = [_Worker(store) for _ in range(min(self.workers, len(tasks)))]
        try:
            while tasks or any(worker.task for worker in workers):
                for worker in workers:
                    if tasks and worker.task is None:
                        worker.start(tasks.popleft())
                busy = {worker.connection: i for i, worker in enumerate(workers) if worker.task}
                for connection in wait(list(busy)):
                    index = busy[connection]  # type: ignore[index]
                    outcome = _receive(workers[index])
                    if outcome is not None:
                        yield outcome
                        continue
                    yield from self._replace(workers, index, tasks, store)
        finally:
            for worker in workers:
                worker.stop()

    def _replace(self, workers: list[_Worker], index: int, tasks: deque[_Task], store: RunStore) -> Iterator[Outcome]:
        """Starts a process in place of one that died. Yields the outcome of its run if that was the last attempt."""
        dead = workers[index]
        dead.process.join()
        workers[index] = _Worker(store)
        if dead.task and dead.task.attempt < ATTEMPTS:
            tasks.appendleft(dead.task._replace(attempt=dead.task.attempt + 1))
        elif dead.task:
            how = f"its process ended with exit code {dead.process.exitcode} in each of {ATTEMPTS} attempts"
            yield Outcome(dead.task.config, None, how)


def _receive(worker: _Worker) -> Outcome | None:
    """The outcome that a worker has sent; None if it died."""
    try:
        result, error = worker.connection.recv()
    except (EOFError, OSError):
        return None
    config = worker.task.config if worker.task else None
    worker.task = None
    return None if config is None else Outcome(config, result, error)


def _work(connection: Connection, store: RunStore) -> None:
    """The main function of a worker."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        try:
            config: RunConfig = connection.recv()
        except (EOFError, KeyboardInterrupt):
            return
        connection.send(attempt(config, store))


def _end_with_parent() -> None:
    """Ends this process when its parent does: nobody would wait for its runs."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
