"""Functions in processes of their own: a crash and an endless loop are errors of that call alone."""

import multiprocessing
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, TypeVar

import torch

FORK = multiprocessing.get_context("fork")
Value = TypeVar("Value")


class ForkError(Exception):
    """Why a function returned nothing, in one line."""


def run_in_fork(function: Callable[..., Value], args: tuple[Any, ...], limit_s: float) -> Value:
    """What the function returns in a process of its own, on one thread, with the imports and tensors of this one.

    Raises ForkError if the function raises, if the process ends without a result, or after `limit_s` seconds.
    """
    receiver, sender = FORK.Pipe(duplex=False)
    process = FORK.Process(target=_send, args=(sender, function, args), daemon=True)
    with warnings.catch_warnings():
        # From Python 3.12 on, a fork warns if this process has threads. The child uses none of them.
        warnings.filterwarnings("ignore", ".*multi-threaded, use of fork", DeprecationWarning)
        process.start()
    sender.close()
    try:
        if not receiver.poll(limit_s):
            raise ForkError(f"no result after {limit_s} s")
        error, value = receiver.recv()
    except EOFError:
        process.join()
        raise ForkError(f"the process ended with exit code {process.exitcode}") from None
    finally:
        process.kill()
        process.join()
    if error:
        raise ForkError(error)
    result: Value = value
    return result


def _send(sender: Connection, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
    """Sends (the error in one line or "", the result)."""
    torch.set_num_threads(1)  # threads of the process that forked are not there
    try:
        sender.send(("", function(*args)))
    except Exception as error:
        sender.send((one_line(error), None))


def one_line(error: Exception) -> str:
    """The type of an error and its message in one line, of which at most 300 characters."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
