"""From a pair of modules to rows: checks that both are equal, then times every column, forward and training."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from sefactory.bench.case import Case, roofline_bound
from sefactory.bench.machine import MachineRates, Options
from sefactory.bench.memory import peak_memory_bytes, saved_for_backward_bytes
from sefactory.bench.summary import summarize
from sefactory.bench.workload import Workload, clear_gradients, prepare_workload
from sefactory.errors import first_line

from .clock import Effort, Step, Timings, time_interleaved
from .pairs import CHANNELS, PAM, SEVEN, TINY_SHAPE, MismatchError, Pair, check_equal, paper_pair, random_input
from .results import KINDS, Kind, Row

Shape = tuple[int, int, int, int]


@dataclass(frozen=True)
class Plan:
    """The device, how long to measure, and the columns beside authors and ours.

    `plain` adds our block with lower=False, `compile` every column compiled by inductor; `eager` keeps the eager columns.
    """

    device: str = "cpu"
    effort: Effort = Effort()
    plain: bool = False
    compile: bool = False
    eager: bool = True

    @property
    def is_cuda(self) -> bool:
        """True on a GPU, where batches are larger."""
        return torch.device(self.device).type == "cuda"


def paper_shapes(name: str, plan: Plan) -> dict[str, Shape]:
    """The full and the tiny input shape of a paper."""
    paper = SEVEN[name]
    return {"full": (paper.batches[plan.is_cuda], CHANNELS, paper.side, paper.side), "tiny": TINY_SHAPE}


def paper_rows(name: str, plan: Plan) -> Iterator[Row]:
    """The rows of one paper."""
    pair = paper_pair(name, plain=plan.plain)
    for size, shape in paper_shapes(name, plan).items():
        yield from checked_rows(pair, "seven", size, shape, plan)


def checked_rows(pair: Pair, group: str, size: str, shape: Shape, plan: Plan) -> Iterator[Row]:
    """The rows of a pair at one shape; if its modules are not equal, rows that say why and have no times."""
    try:
        check_equal(pair, shape, plan.device)
    except Exception as error:  # a mismatch, or any error of a block: the other pairs continue
        why = str(error) if isinstance(error, MismatchError) else first_line(error)
        for kind in KINDS:
            yield Row(group, pair.name, plan.device, size, kind, shape, failed={"": why})
        return
    yield from timed_rows(pair, group, size, shape, plan)


def timed_rows(pair: Pair, group: str, size: str, shape: Shape, plan: Plan) -> Iterator[Row]:
    """The forward and the training row of a pair whose modules are known to be equal."""
    x = random_input(pair, shape, plan.device)
    failed: dict[str, str] = {}
    columns = _prepare_columns(pair.modules(), x, plan, failed)
    for kind in KINDS:
        work = _roofline_work(pair, x, columns, kind) if size == "full" else {}
        row = Row(group, pair.name, plan.device, size, kind, shape, failed=dict(failed), **work)
        yield _time_row(row, columns, plan)
    torch.compiler.reset()


def _prepare_columns(modules: Mapping[str, nn.Module], x: Tensor, plan: Plan, failed: dict[str, str]) -> dict[str, Workload]:
    """Every column ready to run; the errors of the others go into `failed`."""
    columns = {}
    for compiled in (False,) * plan.eager + (True,) * plan.compile:
        for name, module in modules.items():
            column = f"{name} compiled" if compiled else name
            try:
                columns[column] = prepare_workload(module, x, Options(device=plan.device, compile=compiled))
            except Exception as error:  # any error of the compiler: the other columns continue
                failed[column] = first_line(error)
    return columns


def _time_row(row: Row, columns: Mapping[str, Workload], plan: Plan) -> Row:
    """The row with its times; bytes saved for backward and errors are added to its mappings."""
    training = row.kind == "training"
    steps = {}
    with torch.set_grad_enabled(training):
        for column, workload in columns.items():
            workload.module.train(training)
            step = _step(workload, row.kind)
            try:
                if training and "compiled" not in column:  # saved-tensor hooks change the compiled graph
                    row.saved[column] = saved_for_backward_bytes(workload.forward, _state(workload))
                step.setup()
                step.run()
                steps[column] = step
            except Exception as error:
                row.failed[column] = first_line(error)
        timings = time_in_groups(steps, plan)
    for workload in columns.values():
        clear_gradients(workload.leaves)
    return replace(row, times=timings.times, ratios=timings.ratios, rounds=timings.rounds)


def time_in_groups(steps: Mapping[str, Step], plan: Plan) -> Timings:
    """Times authors and ours interleaved, then authors and plain, then the compiled columns.

    Only two eager columns at a time: a third one would evict the kernels of the others from the caches, which is not so in
    a network and matters most for tiny feature maps. The authors' time is that of the first group.
    """
    compiled = [column for column in steps if column.endswith(" compiled")]
    groups = [("authors", "ours"), ("authors", "plain") if "plain" in steps else (), compiled]
    step_groups = [{column: steps[column] for column in group if column in steps} for group in groups]
    results = [time_interleaved(group, plan.effort) for group in step_groups if group] or [Timings({}, {}, 0)]
    times = {column: time for timings in reversed(results) for column, time in timings.times.items()}
    ratios = {pair: ratio for timings in results for pair, ratio in timings.ratios.items()}
    return Timings(times, ratios, results[0].rounds)


def _step(workload: Workload, kind: Kind) -> Step:
    """A forward, or a forward and backward. The gradients of the previous step are cleared before, not timed."""
    if kind == "forward":
        return Step(workload.forward, lambda: None)
    backward = torch.autograd.backward
    return Step(lambda: backward(workload.forward(), workload.grad_output), lambda: clear_gradients(workload.leaves))


def _state(workload: Workload) -> list[Tensor]:
    return [*workload.module.parameters(), *workload.module.buffers()]


def _roofline_work(pair: Pair, x: Tensor, columns: Mapping[str, Workload], kind: Kind) -> dict[str, float]:
    """The memory traffic in bytes and the operations behind the roofline bound."""
    summary = summarize(pair.ours, *x.shape[2:], batch=x.shape[0])
    case = Case(pair.name, pair.ours, summary.parameters, summary.macs, summary.elements, {})
    y = next(iter(columns.values())).grad_output if columns else x
    units = {"traffic": MachineRates(1.0, float("inf")), "operations": MachineRates(float("inf"), 1.0)}
    return {name: roofline_bound(case, x, y, unit, kind == "training") for name, unit in units.items()}


def pam_peak_memory(plan: Plan) -> dict[str, int]:
    """Peak memory in bytes of a training step of position attention, without input and weights, by column."""
    pair = paper_pair("pam", plain=plan.plain)
    x = random_input(pair, (PAM.batches[plan.is_cuda], CHANNELS, PAM.side, PAM.side), plan.device)
    peaks = {}
    for name, module in pair.modules().items():
        workload = prepare_workload(module, x, Options(device=plan.device))
        step = _step(workload, "training")
        workload.module.train()
        peaks[name] = peak_memory_bytes(step.run, x, [*_state(workload), workload.grad_output]) - x.nbytes
        clear_gradients(workload.leaves)
    return peaks
