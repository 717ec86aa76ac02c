"""From a pair to rows: the gate, then every column at one shape, forward and training."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from sefactory.bench.benchmark import Case, roofline_bound
from sefactory.bench.machine import MachineRates, Options, first_line
from sefactory.bench.memory import peak_memory_bytes, saved_for_backward_bytes
from sefactory.bench.summary import summarize
from sefactory.bench.workload import Workload, clear_gradients, prepare_workload

from .clock import Effort, Step, Timed, interleaved
from .pairs import CHANNELS, PAM, SEVEN, TINY, Differs, Pair, check, inputs, paired
from .results import KINDS, Kind, Row

Shape = tuple[int, int, int, int]


@dataclass(frozen=True)
class Plan:
    """Where and how long to measure, and which columns beyond authors and ours: plain, and each compiled as well or alone."""

    device: str = "cpu"
    effort: Effort = Effort()
    plain: bool = False
    compile: bool = False
    eager: bool = True

    @property
    def cuda(self) -> bool:
        return torch.device(self.device).type == "cuda"


def shapes(name: str, plan: Plan) -> dict[str, Shape]:
    """Full and tiny."""
    paper = SEVEN[name]
    return {
        "full": (paper.batches[plan.cuda], CHANNELS, paper.side, paper.side),
        "tiny": (TINY[0], CHANNELS, TINY[1], TINY[1]),
    }


def seven(name: str, plan: Plan) -> Iterator[Row]:
    """The rows of one paper; where the gate does not open, rows that say why."""
    pair = paired(name, plain=plan.plain)
    for size, shape in shapes(name, plan).items():
        yield from cell(pair, "seven", size, shape, plan)


def cell(pair: Pair, group: str, size: str, shape: Shape, plan: Plan) -> Iterator[Row]:
    """Forward and training of one pair at one shape, behind the gate."""
    try:
        check(pair, shape, plan.device)
    except Exception as error:  # Differs, or whatever a block raises: the other pairs go on
        why = str(error) if isinstance(error, Differs) else first_line(error)
        for kind in KINDS:
            yield Row(group, pair.name, plan.device, size, kind, shape, failed={"": why})
        return
    yield from ungated(pair, group, size, shape, plan)


def ungated(pair: Pair, group: str, size: str, shape: Shape, plan: Plan) -> Iterator[Row]:
    """The same of a pair that is known to be equal."""
    x = inputs(pair, shape, plan.device)
    failed: dict[str, str] = {}
    loaded = _loaded(pair.modules(), x, plan, failed)
    for kind in KINDS:
        work = _work(pair, x, loaded, kind) if size == "full" else {}
        yield _timed(Row(group, pair.name, plan.device, size, kind, shape, failed=dict(failed), **work), loaded, plan)
    torch.compiler.reset()


def _loaded(modules: Mapping[str, nn.Module], x: Tensor, plan: Plan, failed: dict[str, str]) -> dict[str, Workload]:
    """Every column ready to run; why one is not goes into `failed`."""
    loaded = {}
    for compiled in (False,) * plan.eager + (True,) * plan.compile:
        for name, module in modules.items():
            column = f"{name} compiled" if compiled else name
            try:
                loaded[column] = prepare_workload(module, x, Options(device=plan.device, compile=compiled))
            except Exception as error:  # of any kind: the compiler's many, and the other columns go on
                failed[column] = first_line(error)
    return loaded


def _timed(row: Row, loaded: Mapping[str, Workload], plan: Plan) -> Row:
    steps = {}
    with torch.set_grad_enabled(row.kind == "training"):
        for column, subject in loaded.items():
            subject.module.train(row.kind == "training")
            step = _step(subject, row.kind)
            try:
                if row.kind == "training" and "compiled" not in column:  # whose graph is another one under the hooks
                    row.saved[column] = saved_for_backward_bytes(subject.forward, _owned(subject))
                step.between()
                step.run()
                steps[column] = step
            except Exception as error:
                row.failed[column] = first_line(error)
        timed = _apart(steps, plan)
    for subject in loaded.values():
        clear_gradients(subject.leaves)
    return replace(row, times=timed.times, ratios=timed.ratios, rounds=timed.rounds)


def _apart(steps: Mapping[str, Step], plan: Plan) -> Timed:
    """The authors' and ours A B A B; then the authors' and plain; then what is compiled.

    One after the other, for between a third one's kernels two are timed out of colder caches than a network has, which tells
    most on tiny maps. What was timed first is the authors' time.
    """
    compiled = [column for column in steps if column.endswith(" compiled")]
    groups = [("authors", "ours"), ("authors", "plain") if "plain" in steps else (), compiled]
    apart = [{column: steps[column] for column in group if column in steps} for group in groups]
    found = [interleaved(some, plan.effort) for some in apart if some] or [Timed({}, {}, 0)]
    times = {column: time for timed in reversed(found) for column, time in timed.times.items()}
    ratios = {pair: ratio for timed in found for pair, ratio in timed.ratios.items()}
    return Timed(times, ratios, found[0].rounds)


def _step(subject: Workload, kind: Kind) -> Step:
    """A forward, or a forward and its backward; the gradients of the last one are let go before, untimed."""
    if kind == "forward":
        return Step(subject.forward, lambda: None)
    run = torch.autograd.backward
    return Step(lambda: run(subject.forward(), subject.grad_output), lambda: clear_gradients(subject.leaves))


def _owned(subject: Workload) -> list[Tensor]:
    return [*subject.module.parameters(), *subject.module.buffers()]


def _work(pair: Pair, x: Tensor, loaded: Mapping[str, Workload], kind: Kind) -> dict[str, float]:
    """Bytes and operations that no implementation can do without."""
    told = summarize(pair.ours, *x.shape[2:], batch=x.shape[0])
    case = Case(pair.name, pair.ours, told.parameters, told.macs, told.elements, {})
    y = next(iter(loaded.values())).grad_output if loaded else x
    units = {"traffic": MachineRates(1.0, float("inf")), "operations": MachineRates(float("inf"), 1.0)}
    return {name: roofline_bound(case, x, y, unit, kind == "training") for name, unit in units.items()}


def pam_memory(plan: Plan) -> dict[str, int]:
    """Bytes alive at the fullest moment of a training step of position attention, beyond input and weights, by column."""
    pair = paired("pam", plain=plan.plain)
    x = inputs(pair, (PAM.batches[plan.cuda], CHANNELS, PAM.side, PAM.side), plan.device)
    peaks = {}
    for name, module in pair.modules().items():
        subject = prepare_workload(module, x, Options(device=plan.device))
        step = _step(subject, "training")
        subject.module.train()
        peaks[name] = peak_memory_bytes(step.run, x, [*_owned(subject), subject.grad_output]) - x.nbytes
        clear_gradients(subject.leaves)
    return peaks
