"""Bytes saved for backward and peak memory of modules whose cost is known by hand."""

import pytest
import torch
from torch import Tensor, nn

from sefactory.bench import memory
from sefactory.bench.machine import Options
from tests.bench.modules import Gate, case, measured


class Exponentials(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.exp().exp()


@pytest.mark.parametrize("dtype, size", [("float32", 4), ("float64", 8), ("bfloat16", 2)])
def test_saved_bytes_of_a_gate(dtype: str, size: int) -> None:
    (row,) = measured(case("a", Gate()), options=Options(rounds=1, seconds=1e-4, dtype=dtype))
    assert row.saved_bytes == (2 * 4 * 6 * 8 + 2 * 4) * size  # x and the gate, each once


def test_weights_are_not_saved_bytes_but_a_slice_keeps_its_storage() -> None:
    (row,) = measured(case("a", nn.Conv2d(4, 3, 1)))
    assert row.saved_bytes == 2 * 4 * 6 * 8 * 4
    x = torch.ones(100, requires_grad=True)
    assert memory.saved_for_backward_bytes(lambda: x[:10].square(), []) == 400
    assert memory.saved_for_backward_bytes(lambda: x + 1, []) == 0


def test_peak_bytes_of_two_exponentials() -> None:
    (row,) = measured(case("a", Exponentials()))
    one = 2 * 4 * 6 * 8 * 4
    # x, both results and the gradient of each exponential; the second result may be freed before the last gradient
    assert row.peak_bytes is not None and 4 * one <= row.peak_bytes <= 5 * one


def test_peak_bytes_forget_what_was_freed() -> None:
    def chain() -> None:
        y = x
        for _ in range(20):
            y = y.neg()

    x = torch.ones(1000)
    assert memory.peak_memory_bytes(chain, x, []) == 3 * 4000  # x, a result, and the next one made from it
    assert memory.peak_memory_bytes(lambda: [x.neg() for _ in range(5)], x, []) == 6 * 4000
    assert memory.peak_memory_bytes(lambda: x.view(10, 100).relu_(), x, []) == 4000  # views and in-place work are free


def test_peak_bytes_leave_out_weights_but_not_their_gradients() -> None:
    # a linear map transposes its weights, which is an operator that returns their storage
    (row,) = measured(case("a", nn.Linear(64, 64, bias=False)), shape=(1, 2, 2, 64))
    weights = 64 * 64 * 4
    assert row.peak_bytes is not None and weights <= row.peak_bytes < 2 * weights
