"""Two tiers: `make test` runs a sample of the exhaustive tests, `make test-all` runs all of them."""

from collections.abc import Callable, Collection, Iterable
from typing import Any

import pytest
from _pytest.mark import ParameterSet

from sefactory.cli.bench import SEVEN

SEVEN_PAPERS = [*SEVEN]


def sampled(values: Iterable[Any], keep: Collection[Any] | int | Callable[..., bool]) -> list[ParameterSet]:
    """All values as parameters of a test; those that are not kept are marked exhaustive.

    keep: the values (or the ids of a `pytest.param`) to keep; or a step, which keeps the first value and every step-th after
    it; or a condition, which takes the parts of a value that is a tuple. Raises ValueError if nothing is kept.

    >>> [bool(parameter.marks) for parameter in sampled("abcd", 2)]
    [False, True, False, True]
    """
    parameters = []
    for index, value in enumerate(values):
        parts = value.values if isinstance(value, ParameterSet) else value if isinstance(value, tuple) else (value,)
        name = value.id if isinstance(value, ParameterSet) else None
        if isinstance(keep, int):
            is_kept = index % keep == 0
        else:
            is_kept = keep(*parts) if callable(keep) else (value if name is None else name) in keep
        parameters.append(pytest.param(*parts, id=name, marks=() if is_kept else pytest.mark.exhaustive))
    if all(parameter.marks for parameter in parameters):
        raise ValueError("the sample is empty")
    return parameters
