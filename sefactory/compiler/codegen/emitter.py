"""From the graph to steps that run one after the other on numbered slots; which layout each tensor has is decided here."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from ...operators.norm import BatchNorm
from ..graph import Node, topological_order, user_counts
from ..ir import ChannelSplit, ConcatPositions, Op, OpaqueCall, ScalarAffine, Slice, Source, SplitPositions
from .layout import conversion, strip_unit_axes

Registers = list[Any]
Step = Callable[[Registers], None]
TensorFunction = Callable[..., Tensor]


MAY_BE_VIEWS: tuple[type[Op], ...] = (Source, OpaqueCall, Slice, ChannelSplit, ConcatPositions, SplitPositions, ScalarAffine)
"""Operations whose result may be a view of an input."""


class Program:
    """Steps that make one map of another.

    What no later step reads is let go where it is as large as a map.
    """

    def __init__(self, steps: Sequence[Step], inputs: int, result: int) -> None:
        self._steps, self._empty, self._result = tuple(steps), [None] * (inputs - 1), result

    def __call__(self, x: Tensor) -> Tensor:
        inputs: Registers = [x, *self._empty]
        for step in self._steps:
            step(inputs)
        y: Tensor = inputs[self._result]
        return y


class Emitter:
    """Writes the steps of a graph: `slot(value)` and `slot(value, layout)` give the number under which a tensor will be.

    `frozen` says that there are no gradients, and that weights are constants.
    """

    def __init__(self, root: Node, frozen: bool = False) -> None:
        self.frozen = frozen
        self.steps: list[tuple[Step, tuple[int, ...]]] = []
        self.layouts: dict[int, str] = {}
        self.split_registers: dict[int, list[int]] = {}
        self.contexts: dict[int, int | None] = {}
        self._registers: dict[tuple[int, str], int] = {}
        self._maps: set[int] = set()
        self._newly_allocated: set[int] = set()
        self._next = 0
        self.nodes = topological_order(root)
        self.user_counts = user_counts(self.nodes)
        self.norms: list[BatchNorm] = []
        self.stacks: dict[int, tuple[int, str]] = {}
        self.readers: dict[int, list[Node]] = {}
        for node in self.nodes:
            for other in node.inputs:
                self.readers.setdefault(id(other), []).append(node)

    # ---- What a writer of an operation asks for ----

    def layout(self, node: Node) -> str:
        """The layout in which a value was made."""
        return self.layouts[id(node)]

    def register(self, node: Node, layout: str | None = None) -> int:
        """Where its tensor is, in the layout it was made in or in another."""
        current = self.layouts[id(node)]
        key = (id(node), current if layout is None else layout)
        if key not in self._registers:
            change = conversion(current, key[1], node.sizes)
            first = self._registers[id(node), current]
            self._registers[key] = first if change is None else self.unary(change, first)
            if first in self._maps:
                self._maps.add(self._registers[key])
        return self._registers[key]

    def new_register(self) -> int:
        """The number of a new slot."""
        self._next += 1
        return self._next - 1

    def new_map_register(self) -> int:
        """The same, of something as large as a map."""
        self._maps.add(register := self.new_register())
        return register

    def emit(self, step: Step, *read: int) -> None:
        """Adds a step that reads some slots."""
        self.steps.append((step, read))

    def unary(self, run: TensorFunction, i: int) -> int:
        """Adds slots[o] = run(slots[i]) and gives o."""
        o = self.new_register()

        def step(registers: Registers) -> None:
            registers[o] = run(registers[i])

        self.emit(step, i)
        return o

    def binary(self, run: TensorFunction, i: int, j: int) -> int:
        """Adds slots[o] = run(slots[i], slots[j]) and gives o."""
        o = self.new_register()

        def step(registers: Registers) -> None:
            registers[o] = run(registers[i], registers[j])

        self.emit(step, i, j)
        return o

    def nary(self, run: TensorFunction, given: Sequence[int]) -> int:
        """Adds slots[o] = run(*slots of given) and gives o."""
        if len(given) < 3:
            return self.unary(run, given[0]) if len(given) == 1 else self.binary(run, given[0], given[1])
        o, places = self.new_register(), tuple(given)

        def step(registers: Registers) -> None:
            registers[o] = run(*[registers[i] for i in places])

        self.emit(step, *places)
        return o

    def record(self, node: Node, register: int, layout: str, newly_allocated: bool = False) -> None:
        """Notes where a value is and how it lies; `fresh` where its memory is new and no gradient rests on what is in it."""
        self.layouts[id(node)] = layout
        self._registers[id(node), layout] = register
        if newly_allocated:
            self._newly_allocated.add(register)
        if node.inputs and set(node.sizes.grid) <= set(strip_unit_axes(layout, node.sizes)):
            self._maps.add(register)

    def may_overwrite(self, node: Node) -> bool:
        """Whether the tensor of a value may be overwritten: it is fresh, and nobody else reads it."""
        return self.user_counts[id(node)] == 1 and self._registers[id(node), self.layouts[id(node)]] in self._newly_allocated

    def may_overwrite_in_inference(self, node: Node, reader: Node) -> bool:
        """Whether it may be overwritten where there are no gradients: `reader` is the last to read it, and none has a view."""
        if type(node.op) in MAY_BE_VIEWS or not node.inputs:
            return False
        others = [other for other in self.readers[id(node)] if other is not reader]
        return all(id(other) in self.layouts and type(other.op) not in MAY_BE_VIEWS for other in others)

    # ---- The whole ----

    def program(self, result: int) -> Program:
        """The program, with maps let go behind the last step that reads them; behind the last of all, all are."""
        last = {
            register: i
            for i, (_, read) in enumerate(self.steps)
            for register in read
            if register in self._maps and register != result
        }
        dead: dict[int, list[int]] = {}
        for register, i in last.items():
            dead.setdefault(i, []).append(register)
        dead.pop(len(self.steps) - 1, None)
        steps: list[Step] = []
        for i, (step, _) in enumerate(self.steps):
            steps += [step, _release(dead[i])] if i in dead else [step]
        return Program(steps, self._next, result)


def _release(dead: list[int]) -> Step:
    def step(registers: Registers) -> None:
        for register in dead:
            registers[register] = None

    return step
