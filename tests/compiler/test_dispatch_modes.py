"""Modes of torch that observe operations: counts of FlopCounterMode are those of `macs`; others see what runs."""

from collections.abc import Callable
from threading import Event, Thread

import pytest
import torch
from torch import Tensor
from torch._subclasses import FakeTensorMode
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

import sefactory as sf
from sefactory.bench.summary import summarize
from sefactory.compiler.codegen import attention
from tests.compiler.comparison import tree_of
from tests.op_recorder import OpRecorder
from tests.sampling import SEVEN_PAPERS, sampled

GRID = 14
RESIZED_COSINES = {"fcanet": 3136}
"""Multiply-adds that torch does beyond the formula: a matrix of cosines is made for the grid."""


def multiply_adds(run: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter:
        run()
    return int(counter.get_total_flops()) // 2


@pytest.mark.parametrize("name", sampled(sf.configs(), {*SEVEN_PAPERS, "ecanet"}))
def test_the_counter_of_torch_agrees_with_the_formula(name: str) -> None:
    block, x = sf.build(name, 64).eval(), torch.randn(2, 64, GRID, GRID)
    block(x)
    found = multiply_adds(lambda: block(x))
    formula = summarize(block, GRID, GRID, batch=2).macs
    assert abs(found - formula) <= RESIZED_COSINES.get(name, 0)
    if any(p.requires_grad for p in block.parameters()):
        in_training = [multiply_adds(lambda b=b: b(x).sum().backward()) for b in (block, tree_of(block))]
        assert in_training[0] == in_training[1] >= found


def test_other_modes_see_the_program() -> None:
    block, x = sf.build("cbam", 64).eval(), torch.randn(2, 64, GRID, GRID)
    with OpRecorder() as program:
        block(x)
    with OpRecorder() as module_tree:
        tree_of(block)(x)
    assert program.names != module_tree.names


@pytest.mark.parametrize("name", ["cbam", "sknet"])
def test_fake_tensors_pass(name: str) -> None:
    with FakeTensorMode():
        block, x = sf.build(name, 64), torch.empty(2, 64, GRID, GRID)
        y = block(x)
        y.sum().backward()
        assert isinstance(y, Tensor) and y.shape == x.shape


def test_fake_tensors_do_not_stay_in_a_frozen_block() -> None:
    """Its positions are resized and cached for the grid of the input."""
    block, x = sf.freeze(sf.build("seaformer", 64)), torch.randn(2, 64, GRID, GRID)
    for _ in range(2):
        with FakeTensorMode(allow_non_fake_inputs=True):
            assert block(x).shape == x.shape
        torch.testing.assert_close(block(x), tree_of(block)(x))


def test_a_mode_of_another_thread_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Resized positions are cached."""
    entered, may_leave, resized = Event(), Event(), list[Tensor]()
    block, x = sf.freeze(sf.build("seaformer", 64)), torch.randn(2, 64, GRID, GRID)
    resize = attention.resize_to
    monkeypatch.setattr(attention, "resize_to", lambda position, size: resized.append(position) or resize(position, size))

    def enter_and_leave() -> None:
        with FakeTensorMode():
            entered.set()
            may_leave.wait(60)

    thread = Thread(target=enter_and_leave)
    thread.start()
    assert entered.wait(60)
    block(x), block(x)
    may_leave.set()
    thread.join()
    assert len(resized) == 2  # of rows and of columns


@pytest.mark.parametrize("name", SEVEN_PAPERS)
def test_the_profiler_of_torch_counts_a_block(name: str) -> None:
    """It records the operations of the program, so its counts are those of what runs."""
    block, x = sf.build(name, 64).eval(), torch.randn(2, 64, GRID, GRID)
    with torch.no_grad(), profile(activities=[ProfilerActivity.CPU], with_flops=True) as profiler:
        block(x)
    assert sum(event.flops for event in profiler.key_averages()) > 0
