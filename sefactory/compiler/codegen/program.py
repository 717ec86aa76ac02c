"""From the graph to steps that run one after the other on numbered slots; which layout each tensor has is decided here."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from ...operators.norm import BatchNorm
from ..graph import Node, topological_order, user_counts
from ..ir import ChannelSplit, ConcatPositions, Op, OpaqueCall, ScalarAffine, Slice, Source, SplitPositions
from .layout import conversion, strip_unit_axes

Slots = list[Any]
Step = Callable[[Slots], None]
Run = Callable[..., Tensor]


VIEWS: tuple[type[Op], ...] = (Source, OpaqueCall, Slice, ChannelSplit, ConcatPositions, SplitPositions, ScalarAffine)
"""Operations whose result may be a view of an input."""


class Program:
    """Steps that make one map of another.

    What no later step reads is let go where it is as large as a map.
    """

    def __init__(self, steps: Sequence[Step], slots: int, result: int) -> None:
        self._steps, self._empty, self._result = tuple(steps), [None] * (slots - 1), result

    def __call__(self, x: Tensor) -> Tensor:
        slots: Slots = [x, *self._empty]
        for step in self._steps:
            step(slots)
        y: Tensor = slots[self._result]
        return y


class Emitter:
    """Writes the steps of a graph: `slot(value)` and `slot(value, layout)` give the number under which a tensor will be.

    `frozen` says that there are no gradients, and that weights are constants.
    """

    def __init__(self, root: Node, frozen: bool = False) -> None:
        self.frozen = frozen
        self.steps: list[tuple[Step, tuple[int, ...]]] = []
        self.layouts: dict[int, str] = {}
        self.parts: dict[int, list[int]] = {}
        self.contexts: dict[int, int | None] = {}
        self.ready_statistics: dict[int, int] = {}
        self._slots: dict[tuple[int, str], int] = {}
        self._large: set[int] = set()
        self._fresh: set[int] = set()
        self._next = 0
        self.values = topological_order(root)
        self.used = user_counts(self.values)
        self.norms: list[BatchNorm] = []
        self.stacks: dict[int, tuple[int, str]] = {}
        self.readers: dict[int, list[Node]] = {}
        for value in self.values:
            for other in value.inputs:
                self.readers.setdefault(id(other), []).append(value)

    # ---- What a writer of an operation asks for ----

    def layout(self, value: Node) -> str:
        """The layout in which a value was made."""
        return self.layouts[id(value)]

    def slot(self, value: Node, layout: str | None = None) -> int:
        """Where its tensor is, in the layout it was made in or in another."""
        made = self.layouts[id(value)]
        key = (id(value), made if layout is None else layout)
        if key not in self._slots:
            change = conversion(made, key[1], value.sizes)
            first = self._slots[id(value), made]
            self._slots[key] = first if change is None else self.unary(change, first)
            if first in self._large:
                self._large.add(self._slots[key])
        return self._slots[key]

    def new(self) -> int:
        """The number of a new slot."""
        self._next += 1
        return self._next - 1

    def new_map(self) -> int:
        """The same, of something as large as a map."""
        self._large.add(slot := self.new())
        return slot

    def put(self, step: Step, *read: int) -> None:
        """Adds a step that reads some slots."""
        self.steps.append((step, read))

    def unary(self, run: Run, i: int) -> int:
        """Adds slots[o] = run(slots[i]) and gives o."""
        o = self.new()

        def step(slots: Slots) -> None:
            slots[o] = run(slots[i])

        self.put(step, i)
        return o

    def binary(self, run: Run, i: int, j: int) -> int:
        """Adds slots[o] = run(slots[i], slots[j]) and gives o."""
        o = self.new()

        def step(slots: Slots) -> None:
            slots[o] = run(slots[i], slots[j])

        self.put(step, i, j)
        return o

    def nary(self, run: Run, given: Sequence[int]) -> int:
        """Adds slots[o] = run(*slots of given) and gives o."""
        if len(given) < 3:
            return self.unary(run, given[0]) if len(given) == 1 else self.binary(run, given[0], given[1])
        o, places = self.new(), tuple(given)

        def step(slots: Slots) -> None:
            slots[o] = run(*[slots[i] for i in places])

        self.put(step, *places)
        return o

    def made(self, value: Node, slot: int, layout: str, fresh: bool = False) -> None:
        """Notes where a value is and how it lies; `fresh` where its memory is new and no gradient rests on what is in it."""
        self.layouts[id(value)] = layout
        self._slots[id(value), layout] = slot
        if fresh:
            self._fresh.add(slot)
        if value.inputs and set(value.sizes.grid) <= set(strip_unit_axes(layout, value.sizes)):
            self._large.add(slot)

    def own(self, value: Node) -> bool:
        """Whether the tensor of a value may be overwritten: it is fresh, and nobody else reads it."""
        return self.used[id(value)] == 1 and self._slots[id(value), self.layouts[id(value)]] in self._fresh

    def spent(self, value: Node, reader: Node) -> bool:
        """Whether it may be overwritten where there are no gradients: `reader` is the last to read it, and none has a view."""
        if type(value.op) in VIEWS or not value.inputs:
            return False
        others = [other for other in self.readers[id(value)] if other is not reader]
        return all(id(other) in self.layouts and type(other.op) not in VIEWS for other in others)

    # ---- The whole ----

    def program(self, result: int) -> Program:
        """The program, with maps let go behind the last step that reads them; behind the last of all, all are."""
        last = {slot: i for i, (_, read) in enumerate(self.steps) for slot in read if slot in self._large and slot != result}
        dead: dict[int, list[int]] = {}
        for slot, i in last.items():
            dead.setdefault(i, []).append(slot)
        dead.pop(len(self.steps) - 1, None)
        steps: list[Step] = []
        for i, (step, _) in enumerate(self.steps):
            steps += [step, _forgetting(dead[i])] if i in dead else [step]
        return Program(steps, self._next, result)


def _forgetting(dead: list[int]) -> Step:
    def step(slots: Slots) -> None:
        for slot in dead:
            slots[slot] = None

    return step
