"""What becomes of a function that runs in a process of its own."""

import os
import threading
import time
import warnings

import network_families
import pytest
import torch
from families.insertion import KINDS
from forks import ForkError, run_in_fork


def test_the_result_comes_back() -> None:
    assert run_in_fork(divmod, (7, 2), 60) == (3, 1)


def test_the_function_runs_on_one_thread() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert run_in_fork(torch.get_num_threads, (), 60) == 1
    finally:
        torch.set_num_threads(before)


def _no_result(what: str) -> None:
    if what == "raises":
        raise ValueError("two\n lines")
    os._exit(3) if what == "ends" else time.sleep(600)


NO_RESULT = {
    "raises": "ValueError: two lines",
    "ends": "the process ended with exit code 3",
    "sleeps": "no result after 0.5 s",
}


@pytest.mark.parametrize("what", NO_RESULT)
def test_a_function_without_a_result_is_an_error_of_one_line(what: str) -> None:
    with pytest.raises(ForkError) as caught:
        run_in_fork(_no_result, (what,), 0.5 if what == "sleeps" else 60)
    assert str(caught.value) == NO_RESULT[what]


@pytest.mark.parametrize("what", NO_RESULT)
def test_a_crash_is_a_row_of_faults(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_families, "family_row", _no_result)
    row = network_families.run_family(what, 0.5 if what == "sleeps" else 60)
    assert not row.is_served and [outcome.is_fault for outcome in row.outcomes.values()] == [True] * len(KINDS)
    assert network_families.errors_in([row]) == [f"{what}, {kind}: {NO_RESULT[what]}" for kind in KINDS]


def test_a_process_with_threads_forks_without_a_warning() -> None:
    """From Python 3.12 on every fork of such a process warns by default."""
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            assert run_in_fork(divmod, (7, 2), 60) == (3, 1)
    finally:
        stop.set()
        thread.join()
    assert not caught
