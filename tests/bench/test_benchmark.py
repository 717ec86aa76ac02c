"""The benchmark against modules whose cost is known by hand."""

import itertools
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sefactory.bench import case_run, timing, workload
from sefactory.bench.benchmark import Comparison, Step
from sefactory.bench.case import Case, roofline_bound
from sefactory.bench.machine import MachineRates, Options
from sefactory.bench.results import refused_row
from sefactory.bench.timing import Timing
from tests.bench.modules import QUICK, RATES, SHAPE, Gate, Watched, case, measured


class Pooled(nn.Module):
    """A batch norm of one value per channel and sample."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.norm(x.mean((2, 3), keepdim=True))


class Script:
    """Stands in place of `time_calls`: the times of one call are the module's own `seconds`, in turn."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.left: dict[tuple[object, str], Iterator[float]] = {}

    def time_calls(self, step: Any, calls: int) -> Timing:
        module, name = step.__self__.module, step.__name__
        seconds = next(self.left.setdefault((module, name), iter(module.seconds[name])))
        self.numbers.append(calls)
        return Timing(seconds, seconds * calls, seconds * calls)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    script = Script()
    for module in (timing, case_run):
        monkeypatch.setattr(module, "time_calls", script.time_calls)
    return script


def scripted(forward: list[float], train: list[float]) -> nn.Module:
    module = Gate()
    module.seconds = {"forward": forward, "training_step": train}  # type: ignore[assignment]
    return module


def test_blocks_take_turns() -> None:
    calls: list[tuple[str, bool]] = []

    def seen(name: str, module: nn.Module, x: Tensor) -> None:
        if not calls or calls[-1] != (name, module.training):
            calls.append((name, module.training))

    rows = measured(*(case(name, Watched(partial(seen, name))) for name in "abc"), options=Options(rounds=3, seconds=1e-4))
    assert calls[:6] == [(name, training) for training in (False, True) for name in "abc"]
    assert len(calls) >= 16  # of 18: the last of a round can be the first of the next
    assert [row.rounds for row in rows] == [3, 3, 3]


def test_the_order_changes_with_the_round_and_not_with_the_run() -> None:
    def order(seed: int) -> list[Step]:
        options = Options(rounds=8, seconds=1e-4, seed=seed)
        return list(Comparison([case(name, Gate()) for name in "abc"], SHAPE, options, RATES, None).run())

    steps = order(0)
    assert steps == order(0) != order(1)
    before = {(a.case, a.mode) for a, b in itertools.pairwise(steps) if (b.case, b.mode) == ("a", "training")}
    assert len(before) > 2  # what ran just before a timing differs between the rounds


def test_calls_before_a_timing_fill_the_caches() -> None:
    seen: list[float] = []
    for calls in (1, 4, 20):
        timing.time_calls(lambda: seen.append(0.0), calls)
    assert len(seen) == (1 + 1) + (1 + 4) + (4 + 20)


def test_median_and_range_are_of_all_rounds(script: Script) -> None:
    module = scripted([4e-3, 4e-3, 1e-3, 5e-3, 2e-3, 3e-3, 9e-3], [7.0, 8.0, 8.0, 8.0, 8.0, 9.0])
    (row,) = measured(case("a", module), options=Options(rounds=5, seconds=0.02))
    assert (row.forward_s, row.forward_iqr_s) == (pytest.approx(3e-3), pytest.approx(3e-3))  # of 1 5 2 3 9 ms
    assert (row.train_s, row.train_iqr_s) == (pytest.approx(8.0), pytest.approx(0.0))
    assert sorted(script.numbers) == [1] * 7 + [2] + [5] * 5  # 20 ms / 4 ms forward; training takes 7 s, so one call


def test_a_fast_block_is_calibrated_twice(script: Script) -> None:
    measured(case("a", scripted([1e-4, 2e-4, 2e-4], [1e-3, 2e-3, 1e-3])), options=Options(rounds=1, seconds=0.02))
    assert script.numbers == [1, 100, 100, 1, 10, 10]  # a call, half of what it suggests, the timing


def test_ratios_to_the_baseline_and_to_the_roofline_bound(script: Script) -> None:
    slow, fast = scripted([4e-3] * 2, [8e-3] * 2), scripted([1e-3] * 2, [6e-3] * 2)
    rows = measured(case("slow", slow), case("fast", fast), options=Options(rounds=1, seconds=1e-3), baseline="slow")
    assert [(row.forward_ratio, row.train_ratio) for row in rows] == [(1.0, 1.0), (0.25, 0.75)]
    least = 2 * 2 * 4 * 6 * 8 * 4 / 1e9  # x is read, y written
    assert rows[1].forward_floor_s == least and rows[1].train_floor_s == 2.5 * least
    assert rows[1].forward_over_floor == pytest.approx(1e-3 / least)
    assert rows[1].train_over_floor == pytest.approx(6e-3 / (2.5 * least))


def test_ratios_are_of_the_same_rounds(script: Script) -> None:
    # one timing of a round can be disturbed: the ratio of the medians would be 3
    slow = scripted([8.0, 2.0, 6.0, 10.0], [8.0, 4.0, 4.0, 4.0])
    base = scripted([4.0, 1.0, 3.0, 2.0], [4.0, 4.0, 4.0, 2.0])
    rows = measured(case("slow", slow), case("base", base), options=Options(rounds=3, seconds=1.0), baseline="base")
    assert rows[0].forward_rounds_s == [2.0, 6.0, 10.0] and rows[0].train_rounds_s == [4.0, 4.0, 4.0]
    assert (rows[0].baseline, rows[0].baseline_forward_s, rows[0].baseline_train_s) == ("base", 2.0, 4.0)
    assert (rows[0].forward_ratio, rows[0].train_ratio) == (2.0, 1.0)


def test_each_job_has_its_own_baseline(script: Script) -> None:
    """A block that takes 1.5 times as long as the baseline of its own job, while another job was twice as slow."""
    jobs = {"quiet": (4.0, 2.0), "busy": (6.0, 4.0)}
    rows = []
    for name, (seconds, reference) in jobs.items():
        cases = [case(name, scripted([seconds] * 4, [seconds] * 4)), case("base", scripted([reference] * 4, [reference] * 4))]
        rows += measured(*cases, options=Options(rounds=3, seconds=1.0), baseline="base")[:1]
    assert [(row.baseline_forward_s, row.forward_ratio) for row in rows] == [(2.0, 2.0), (4.0, 1.5)]
    assert all(row.forward_s == row.baseline_forward_s * row.forward_ratio for row in rows)  # type: ignore[operator]


def test_no_ratio_without_a_baseline() -> None:
    for baseline in (None, "elsewhere"):
        (row,) = measured(case("a", Gate()), baseline=baseline)
        assert row.forward_s is not None and row.forward_ratio is row.train_ratio is None


@pytest.mark.parametrize(
    "parameters, macs, train, seconds",
    [
        (100, 0, False, (96 + 24 + 100) * 4 / 1000),  # traffic
        (100, 0, True, 2.5 * (96 + 24 + 100) * 4 / 1000),
        (100, 10**6, False, 2 * 10**6 / 5000),  # operations
        (100, 10**6, True, 6 * 10**6 / 5000),
    ],
)
def test_roofline_bound(parameters: int, macs: int, train: bool, seconds: float) -> None:
    x, y = torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 2, 2)
    known = Case("a", nn.Identity(), parameters, macs, 0, {})
    assert roofline_bound(known, x, y, MachineRates(bytes_per_second=1000, flops_per_second=5000), train) == seconds


def test_an_error_stays_in_its_row() -> None:
    def fail(module: nn.Module, x: Tensor) -> None:
        raise RuntimeError("\n  no such kernel  \nand a long explanation")

    rows = measured(case("a", Watched(fail)), case("b", Gate()), case("c", nn.Conv2d(5, 5, 1)))
    assert rows[0].error == "forward: no such kernel"
    assert (rows[0].forward_s, rows[0].train_s, rows[0].rounds) == (None, None, 0)
    assert rows[1].error is None and rows[1].forward_s and rows[1].train_s and rows[1].rounds == 2
    assert rows[2].error is not None and rows[2].error.startswith("forward: Given groups=1")


def test_a_block_that_cannot_train_is_measured_forward() -> None:
    (row,) = measured(case("a", Pooled()), shape=(1, 4, 6, 8))
    assert row.error is not None and row.error.startswith("training: Expected more than 1 value per channel")
    assert row.forward_s and row.forward_floor_s and row.rounds == 2
    assert row.train_s is row.train_iqr_s is row.saved_bytes is row.peak_bytes is None


def test_a_block_that_returns_no_tensor() -> None:
    class Pair(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return x, x

    (row,) = measured(case("a", Pair()))
    assert row.error == "forward: returned tuple, not one tensor"


def test_rows_of_an_interrupted_run() -> None:
    comparison = Comparison([case("a", Gate()), case("b", Gate())], SHAPE, QUICK, RATES, "a")
    assert [row.forward_s for row in comparison.rows()] == [None, None]
    run = comparison.run()
    for _ in range(3):  # a forward, b forward, a training
        next(run)
    assert next(run) == Step("b", "training", 1)  # which is next
    run.close()
    a, b = comparison.rows()
    assert a.forward_s and a.train_s and a.forward_ratio == a.train_ratio == 1.0
    assert b.forward_s and b.forward_ratio == b.forward_s / a.forward_s
    assert b.train_s is b.train_ratio is b.train_floor_s is b.saved_bytes is None
    assert (a.rounds, b.rounds, b.error) == (1, 1, None)


def test_an_interrupt_passes_and_loses_nothing() -> None:
    def interrupt(module: nn.Module, x: Tensor) -> None:
        if module.training:
            raise KeyboardInterrupt

    former = torch.get_num_threads()
    comparison = Comparison([case("a", Gate()), case("b", Watched(interrupt))], SHAPE, QUICK, RATES, None)
    with pytest.raises(KeyboardInterrupt):
        list(comparison.run())
    a, b = comparison.rows()
    assert a.train_s and b.forward_s and b.train_s is None and b.error is None
    assert torch.get_num_threads() == former and torch.is_grad_enabled()


def test_options_reach_the_module() -> None:
    seen: set[Any] = set()

    def see(module: Watched, x: Tensor) -> None:
        seen.add((torch.get_num_threads(), x.dtype, module.weight.dtype, x.is_contiguous(memory_format=torch.channels_last)))

    former = torch.get_num_threads()
    options = Options(rounds=1, seconds=1e-4, threads=3, dtype="float64", channels_last=True)
    (row,) = measured(case("a", Watched(see)), options=options)
    assert seen == {(3, torch.float64, torch.float64, True)} and row.error is None
    assert torch.get_num_threads() == former


def test_forward_keeps_no_graph_and_training_fills_every_gradient() -> None:
    seen: list[tuple[bool, bool, bool]] = []

    def see(module: Watched, x: Tensor) -> None:
        seen.append((module.training, torch.is_grad_enabled(), module.weight.grad is None and x.grad is None))

    measured(case("a", Watched(see)))
    assert {entry for entry in seen} == {(False, False, True), (True, True, True)}

    x = workload.random_input(SHAPE, QUICK)
    loaded = workload.prepare_workload(Watched(lambda module, x: None), x, QUICK)
    loaded.training_step()
    assert torch.equal(x.grad, 2.0 * loaded.grad_output)
    assert torch.allclose(loaded.leaves[1].grad, (x * loaded.grad_output).sum())


def test_new_memory_has_the_same_values() -> None:
    options = Options(channels_last=True)
    x = workload.random_input(SHAPE, options)
    first = workload.prepare_workload(Watched(lambda module, x: None), x, options)
    second = workload.in_new_memory(first)
    assert torch.equal(second.x, first.x) and torch.equal(second.grad_output, first.grad_output)
    assert second.x.data_ptr() != first.x.data_ptr() and second.grad_output.data_ptr() != first.grad_output.data_ptr()
    assert second.x.is_leaf and second.x.requires_grad and second.x.is_contiguous(memory_format=torch.channels_last)
    second.training_step()
    assert second.leaves[0] is second.x and torch.equal(second.x.grad, 2.0 * first.grad_output) and first.x.grad is None


def test_every_timing_has_another_address_than_the_one_before() -> None:
    addresses: list[int] = []

    def see(module: Watched, x: Tensor) -> None:
        if not addresses or addresses[-1] != x.data_ptr():
            addresses.append(x.data_ptr())

    measured(case("a", Watched(see)), options=Options(rounds=3, seconds=1e-4))
    assert len(addresses) >= 6  # forward and training three times


def test_the_modules_of_the_caller_are_not_touched() -> None:
    module = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)).eval()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    measured(case("a", module), options=Options(rounds=1, seconds=1e-4, dtype="bfloat16"))
    after = module.state_dict()
    assert all(torch.equal(before[key], after[key]) and before[key].dtype == after[key].dtype for key in before)
    assert not module.training and all(p.grad is None for p in module.parameters())


def test_every_case_is_compiled_in_both_modes(monkeypatch: pytest.MonkeyPatch) -> None:
    graphs: list[object] = []

    def backend(graph: Any, inputs: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    compile_with: Any = partial(torch.compile, backend=backend)
    monkeypatch.setattr(torch, "compile", compile_with)
    torch._dynamo.reset()
    cases = [case(f"k{kernel}", nn.Sequential(nn.Conv2d(4, 4, kernel, padding="same"))) for kernel in (1, 3, 5, 7, 9)]
    comparison = Comparison(cases, SHAPE, Options(rounds=2, seconds=1e-4, compile=True), RATES, None)
    counts: dict[int, int] = {}
    for step in comparison.run():
        counts.setdefault(step.round, len(graphs))
    rows = comparison.rows()
    assert [row.error for row in rows] == [None] * 5 and all(row.train_s for row in rows)
    assert len(graphs) >= 10  # modules of one class share a code object, of which only eight variants are kept
    assert counts[2] == len(graphs)  # an input in new memory is no reason to compile again
    assert all(row.peak_bytes is None and row.saved_bytes == 2 * 4 * 6 * 8 * 4 for row in rows)


def test_refused_row() -> None:
    row = refused_row("a", (8, 256, 56, 48), "the gate does not fit")
    assert (row.block, row.shape, row.refused, row.error) == ("a", "8x256x56x48", "the gate does not fit", None)
    assert (row.batch, row.channels, row.depth, row.height, row.width) == (8, 256, None, 56, 48)
    assert row.forward_s is row.parameters is None and row.rounds == 0


def test_cases_that_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="two cases of one name: a, b, a"):
        Comparison([case(name, Gate()) for name in "aba"], SHAPE, QUICK, RATES, None)
    with pytest.raises(ValueError, match="a has no module at 1.0, 2"):
        Comparison([case("a", nn.Sequential(nn.ReLU()), {"0": "x", "2": "x", "1.0": "y"})], SHAPE, QUICK, RATES, None)
