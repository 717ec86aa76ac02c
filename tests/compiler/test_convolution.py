"""A window along some axes of the grid alone: one convolution with a size of 1 along the others, and no map turned for it."""

from typing import Any

import pytest
import torch

from tests.compiler.comparison import compare, pair
from tests.op_recorder import OpRecorder

W_EACH: dict[str, Any] = {"along": "W", "kernel": 5, "each": "C", "bias": True}
H_DENSE: dict[str, Any] = {"along": "H", "kernel": 3, "out": 6}
CASES = [
    ([{"conv": W_EACH}], "HW", (8, 1, 1, 5)),
    ([{"conv": H_DENSE}, "batch_norm"], "HW", (6, 8, 3, 1)),
    ([{"conv": {"along": "H", "kernel": 3, "groups": 2, "out": "C"}}], "HW", (8, 4, 3, 1)),
    ([{"conv": {"along": "W", "kernel": [4], "padding": 3, "each": "C"}}], "HW", (8, 1, 1, 4)),
    ([{"conv": {"along": "H", "kernel": 3, "dilation": 2, "each": "C"}}], "HW", (8, 1, 3, 1)),
    ([{"conv": {"along": "W", "kernel": 3, "dilation": 3, "each": "C", "padding": 12}}], "HW", (8, 1, 1, 3)),
    ([{"conv": W_EACH}], "DHW", (8, 1, 1, 1, 5)),
    ([{"conv": {"along": "DW", "kernel": 3, "each": "C"}}], "DHW", (8, 1, 3, 1, 3)),
]
APART = [
    ([{"conv": {"along": "WH", "kernel": 3, "each": "C"}}], "DHW"),  # in another order
    ([{"conv": {"along": "H", "kernel": 3, "stride": 2}}], "HW"),  # one axis strided and one not
    ([{"conv": {"along": "CW", "kernel": 3}}], "HW"),  # C is no axis of the grid
    ([{"conv": {"along": "H", "kernel": 3, "mix": "W", "each": "C"}}], "HW"),  # channels along two axes
    ([{"conv": {**W_EACH, "padding": "circular"}}], "HW"),
]


def weights(seen: OpRecorder) -> list[tuple[int, ...]]:
    """The shapes of those of the convolutions."""
    return [tuple(given[1].shape) for name, given in seen.calls if name == "aten.convolution.default"]


def built(config: Any, grid: str) -> tuple[Any, Any, torch.Tensor]:
    sides = {"D": 4, "H": 9, "W": 10}
    names = {"D": "depth", "H": "height", "W": "width"}
    lowered, plain = pair(config, 8, grid=grid, **{names[axis]: sides[axis] for axis in grid})
    return lowered, plain, torch.randn(2, 8, *[sides[axis] for axis in grid], dtype=torch.float64)


@pytest.mark.parametrize(("config", "grid", "weight"), CASES, ids=str)
def test_a_strip_convolution_is_one_call(config: Any, grid: str, weight: tuple[int, ...]) -> None:
    lowered, plain, x = built(config, grid)
    for train in (True, False):
        assert compare(lowered.train(train), plain.train(train), x)
    with torch.no_grad(), OpRecorder() as seen:
        y = lowered(x)
    assert weights(seen) == [weight] and y.is_contiguous()
    assert not {"aten.clone.default", "aten.copy_.default", "aten._to_copy.default"} & set(seen.names)


@pytest.mark.parametrize(("config", "grid"), APART, ids=str)
def test_other_convolutions_run_as_the_module_tree(config: Any, grid: str) -> None:
    lowered, plain, x = built(config, grid)
    assert compare(lowered, plain, x)
    with torch.no_grad(), OpRecorder() as ours:
        lowered(x)
    with torch.no_grad(), OpRecorder() as theirs:
        plain(x)
    assert weights(ours) == weights(theirs) != []
