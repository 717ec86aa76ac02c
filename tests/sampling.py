"""Two tiers: `make test` runs a sample of the exhaustive tests, `make test-all` runs all of them."""

from collections.abc import Callable, Collection, Iterable
from typing import Any

import pytest
from _pytest.mark import ParameterSet

SEVEN_PAPERS = ["senet", "sknet", "cbam", "coordatt", "triplet", "danet", "seaformer"]


def sampled(values: Iterable[Any], keep: Collection[Any] | int | Callable[..., bool]) -> list[ParameterSet]:
    """All values as parameters of a test; those that are not kept are marked exhaustive.

    keep: the values to keep; or a step, which keeps the first value and every step-th after it; or a condition, which
    takes the parts of a value that is a tuple. Raises ValueError if nothing is kept.

    >>> [bool(parameter.marks) for parameter in sampled("abcd", 2)]
    [False, True, False, True]
    """
    found, is_any_kept = [], False
    for index, value in enumerate(values):
        parts = value if isinstance(value, tuple) else (value,)
        if isinstance(keep, int):
            is_kept = index % keep == 0
        else:
            is_kept = keep(*parts) if callable(keep) else value in keep
        is_any_kept |= is_kept
        found.append(pytest.param(*parts, marks=() if is_kept else pytest.mark.exhaustive))
    if not is_any_kept:
        raise ValueError("the sample is empty")
    return found
