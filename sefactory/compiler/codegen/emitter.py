"""What emitters share: registers, the steps that are emitted, and the program that they become."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from torch import Tensor

from ...operators.norm import BatchNorm
from ..graph import Node, topological_order
from ..ir import ChannelSplit, ConcatPositions, Op, OpaqueCall, ScalarAffine, Slice, Source, SplitPositions
from .layout import conversion, strip_unit_axes

Registers = list[Any]
Step = Callable[[Registers], None]
Lap = tuple[tuple[str, ...], float]
"""A reading of a clock, and the paths of the nodes to which the time since the reading before belongs."""
TensorFunction = Callable[..., Tensor]


MAY_BE_VIEWS: tuple[type[Op], ...] = (Source, OpaqueCall, Slice, ChannelSplit, ConcatPositions, SplitPositions, ScalarAffine)
"""Operations whose result may be a view of an input."""


class Program:
    """Steps that compute the output of a block from its input.

    Large feature maps are released after their last use. `paths` has one entry for each step: the source paths of the nodes
    that the step was emitted for, of which there is one or, where one step does the work of several nodes, more.
    """

    def __init__(self, steps: Sequence[Step], paths: Sequence[tuple[str, ...]], registers: int, result: int) -> None:
        self._steps, self._empty, self._result = tuple(steps), [None] * (registers - 1), result
        self.paths = tuple(paths)

    def __call__(self, x: Tensor) -> Tensor:
        registers: Registers = [x, *self._empty]
        for step in self._steps:
            step(registers)
        y: Tensor = registers[self._result]
        return y

    def timed(self, now: Callable[[], float], laps: list[Lap]) -> "Program":
        """The same program, which adds a reading of the clock to `laps` before its first step and after each."""
        steps = [_timed_step(step, paths, now, laps) for step, paths in zip(self._steps, self.paths, strict=True)]
        start = _timed_step(lambda registers: None, (), now, laps)
        return Program([start, *steps], [(), *self.paths], 1 + len(self._empty), self._result)


def _timed_step(step: Step, paths: tuple[str, ...], now: Callable[[], float], laps: list[Lap]) -> Step:
    def run(registers: Registers) -> None:
        step(registers)
        laps.append((paths, now()))

    return run


class EmittedStep(NamedTuple):
    """A step, the registers that it reads, and the source paths of its nodes."""

    run: Step
    read: tuple[int, ...]
    paths: tuple[str, ...]


class Emitter:
    """Collects the steps of a graph. A register is the number of a tensor at run time.

    `register(node)` and `register(node, layout)` return the register that holds the tensor of a node. `frozen` says that there
    are no gradients, and that weights are constants. Steps belong to the node at `source_path`, for which the emitter of an
    operation was called; the conversions of its inputs belong to it as well.
    """

    def __init__(self, root: Node, frozen: bool = False) -> None:
        self.frozen = frozen
        self.source_path = ""
        self.steps: list[EmittedStep] = []
        self.layouts: dict[int, str] = {}
        self.split_registers: dict[int, list[int]] = {}
        self.contexts: dict[int, int | None] = {}
        self._registers: dict[tuple[int, str], int] = {}
        self._map_registers: set[int] = set()
        self._newly_allocated: set[int] = set()
        self._next = 0
        self.nodes = topological_order(root)
        self.norms: list[BatchNorm] = []
        self.stacks: dict[int, tuple[int, str]] = {}
        self.readers: dict[int, list[Node]] = defaultdict(list)
        for node in self.nodes:
            for other in node.inputs:
                self.readers[id(other)].append(node)

    # ---- What an emitter calls ----

    def layout(self, node: Node) -> str:
        """The layout in which a node was recorded."""
        return self.layouts[id(node)]

    def register(self, node: Node, layout: str | None = None) -> int:
        """The register of a node's tensor, in its own layout or converted to another."""
        current = self.layouts[id(node)]
        key = (id(node), current if layout is None else layout)
        if key not in self._registers:
            convert = conversion(current, key[1], node.sizes)
            own_register = self._registers[id(node), current]
            self._registers[key] = own_register if convert is None else self.apply(convert, own_register)
            if own_register in self._map_registers:
                self._map_registers.add(self._registers[key])
        return self._registers[key]

    def new_register(self) -> int:
        """The number of a new register."""
        self._next += 1
        return self._next - 1

    def new_map_register(self) -> int:
        """A new register for something as large as a feature map, which is released after its last use."""
        self._map_registers.add(register := self.new_register())
        return register

    def emit(self, step: Step, *read: int, nodes: Sequence[Node] = ()) -> None:
        """Adds a step, and the registers that it reads. `nodes` are those whose work it does, if they are several."""
        self.steps.append(EmittedStep(step, read, tuple(node.source_path for node in nodes) or (self.source_path,)))

    def apply(self, run: TensorFunction, *inputs: int) -> int:
        """Emits registers[o] = run(registers[i], ...) and returns o."""
        o = self.new_register()
        self.emit(call_step(run, o, inputs), *inputs)
        return o

    def call(self, node: Node, run: TensorFunction, inputs: Sequence[int], layout: str, newly_allocated: bool = False) -> None:
        """Emits run(*inputs) and records its result as the tensor of a node."""
        self.record(node, self.apply(run, *inputs), layout, newly_allocated)

    def record(self, node: Node, register: int, layout: str, newly_allocated: bool = False) -> None:
        """Notes the register and the layout of a node.

        `newly_allocated`: no other tensor shares its memory, and no gradient depends on its values.
        """
        self.layouts[id(node)] = layout
        self._registers[id(node), layout] = register
        if newly_allocated:
            self._newly_allocated.add(register)
        if node.inputs and set(node.sizes.grid) <= set(strip_unit_axes(layout, node.sizes)):
            self._map_registers.add(register)

    def may_overwrite(self, node: Node) -> bool:
        """True if the tensor of a node may be overwritten: it is newly allocated and has one user."""
        return len(self.readers[id(node)]) == 1 and self._registers[id(node), self.layouts[id(node)]] in self._newly_allocated

    def may_overwrite_in_inference(self, node: Node, reader: Node) -> bool:
        """True if it may be overwritten without gradients: `reader` is its last user, and no user is a view of it."""
        if type(node.op) in MAY_BE_VIEWS or not node.inputs:
            return False
        others = [other for other in self.readers[id(node)] if other is not reader]
        return all(id(other) in self.layouts and type(other.op) not in MAY_BE_VIEWS for other in others)

    # ---- The whole ----

    def program(self, result: int) -> Program:
        """The program. Feature maps are released after the last step that reads them."""
        last = {register: i for i, step in enumerate(self.steps) for register in step.read}
        released: dict[int, list[int]] = {}
        for register in (self._map_registers & last.keys()) - {result}:
            released.setdefault(last[register], []).append(register)
        released.pop(len(self.steps) - 1, None)
        steps: list[EmittedStep] = []
        for i, step in enumerate(self.steps):
            steps += [step, EmittedStep(_release(released[i]), (), step.paths)] if i in released else [step]
        return Program([step.run for step in steps], [step.paths for step in steps], self._next, result)


def _release(released: list[int]) -> Step:
    def step(registers: Registers) -> None:
        for register in released:
            registers[register] = None

    return step


def call_step(run: TensorFunction, o: int, inputs: Sequence[int]) -> Step:
    """The step registers[o] = run(registers[i], ...). One or two inputs are read without building a list.

    That is faster for small maps.
    """
    i, j = inputs[0], inputs[-1]

    def call_one(registers: Registers) -> None:
        registers[o] = run(registers[i])

    def call_two(registers: Registers) -> None:
        registers[o] = run(registers[i], registers[j])

    def call_many(registers: Registers) -> None:
        registers[o] = run(*[registers[k] for k in inputs])

    return {1: call_one, 2: call_two}.get(len(inputs), call_many)
