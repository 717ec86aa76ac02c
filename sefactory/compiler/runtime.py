"""Lowering: the plain tree becomes a graph, the rules rewrite it, and its steps run in place of the tree."""

from itertools import chain
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.compiler import is_compiling

from ..kernels.dispatch import SMALL, asked_once, exporting
from ..operators.containers import Sequential
from ..operators.norm import BatchNorm
from ..shapes import Sizes
from . import ir as ops
from .codegen.emitter import program
from .codegen.layout import non_unit_axes
from .codegen.program import Program
from .graph import Node, eval_norms, topological_order, user_counts
from .passes import ANY_MODE, EVAL_MODE, ON_ACCELERATORS
from .passes.rewrite import Rewrite, Rules
from .tracer import trace

MOST_PASSES = 20


def rewritten(root: Node, rules: Rules, notes: list[Rewrite]) -> Node:
    """The graph after the rules, applied from the source to the result until none of them says anything."""
    for _ in range(MOST_PASSES):
        before = len(notes)
        root = _once(root, rules, notes)
        if len(notes) == before:
            break
    return root


def _once(root: Node, rules: Rules, notes: list[Rewrite]) -> Node:
    values = topological_order(root)
    used = user_counts(values)
    made: dict[int, Node] = {}
    for value in values:
        new = value.with_inputs([made[id(other)] for other in value.inputs]) if value.inputs else value
        for rule in rules.get(type(new.op), ()):
            found = rule(new, used)
            if found is not None:
                notes.append(Rewrite(value.source_path, rule.__name__, str(rule.__doc__).partition("\n")[0]))
                new = found
                break  # what it has become is looked at in the next pass
        used[id(new)] = used[id(value)]
        made[id(value)] = new
    return made[id(root)]


ALIKE = (
    ops.Source,
    ops.OpaqueCall,
    ops.Reduce,
    ops.Variance,
    ops.Stack,
    ops.Concat,
    ops.ChannelSplit,
    ops.Slice,
    ops.Elementwise,
    ops.ScalarAffine,
    ops.LearnedScale,
    ops.Pointwise,
    ops.Softmax,
    ops.Gate,
    ops.Select,
)
"""What a compiler makes the same of in steps and in modules: its own loops, in whatever order, and what no rule speaks of."""


def descriptive(root: Node, alike: tuple[type[ops.Op], ...] = ALIKE) -> bool:
    """Whether maps are but reduced, gated and changed number by number, or by modules of the tree; all else is of one axis."""
    return all(
        isinstance(value.op, alike) or not any(map(_is_map, (value, *value.inputs))) for value in topological_order(root)
    )


def reduced(root: Node) -> bool:
    """Whether a statistic of a map is taken: it would be of what the compiler has laid with channels last for a convolution."""
    return any(
        isinstance(value.op, ops.Reduce | ops.Variance) and _is_map(value.inputs[0]) for value in topological_order(root)
    )


def _is_map(value: Node) -> bool:
    """Whether a value has places on the grid, and more than one axis: the mean of each row is no map."""
    sizes = value.sizes
    return not sizes.has_unit_axes(sizes.spatial_axes) and len(non_unit_axes(sizes).replace("S", "")) > 1


class Watch(NamedTuple):
    """A tree as it was: the dictionaries of its children and what was in them, and those of its hooks."""

    children: list[dict[str, nn.Module | None]]
    found: list[nn.Module | None]
    hooks: list[dict[int, object]]

    @classmethod
    def over(cls, node: nn.Module) -> "Watch":
        """The tree as it is now."""
        modules = list(node.modules())
        children = [module._modules for module in modules if module._modules or isinstance(module, Sequential)]
        hooks = [hooks for module in modules for hooks in _hooks(module)]
        return cls(children, list(chain.from_iterable(map(dict.values, children))), hooks)


def _hooks(module: nn.Module) -> tuple[dict[int, object], ...]:
    return module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks  # type: ignore[return-value]


def settled(node: nn.Module) -> bool:
    """Whether the shapes of all weights are numbers.

    Under torch.jit.trace they are values of the graph that it makes: what is written from them is good for that run alone.
    """
    return all(type(n) is int for weight in node.parameters() for n in weight.shape)


class CompiledBlock:
    """A block as steps: a program for any mode, and from the first time in eval mode on one in which norms are constants.

    The steps are written when they are about to run for the first time, by `faithful`: building a block costs nothing of
    it. They are of the tree as this object was given it: where a module was exchanged since, they are never written.
    A `frozen` tree has constant weights and no gradients.
    """

    # of an object with a __dict__ a compiler looks before each call whether a method was put there
    __slots__ = (
        "_always",
        "_behind",
        "_elsewhere",
        "_evaluated",
        "_evaluates",
        "_fixed",
        "_frozen",
        "_node",
        "_norms",
        "_sizes",
        "_watch",
    )

    def __init__(self, node: nn.Module, sizes: Sizes, frozen: bool = False) -> None:
        self._node, self._sizes, self._frozen = node, sizes, frozen
        self._watch = Watch.over(node)
        self._always: Program | None = None
        self._evaluated: Program | None = None
        self._fixed: list[BatchNorm] = []
        self._norms: list[BatchNorm] = []
        self._elsewhere: dict[bool, Program] = {}
        self._evaluates, self._behind = False, True

    @asked_once
    def faithful(self) -> bool:
        """Whether the tree is still what it was and nobody listens in; then the steps are written, if they were not yet.

        Asked before every run, which takes 1 us: no module was exchanged, added or removed, and none has a hook. A compiler
        asks once, as it does for hooks, and compiles what it then finds: it takes the answer for a constant and runs this as
        it stands, so that the steps are there before it reads them.
        """
        children, found, hooks = self._watch
        if any(hooks) or list(chain.from_iterable(map(dict.values, children))) != found:
            return False
        if self._behind:
            self._write()
        return True

    def left(self, x: Tensor) -> bool:
        """Whether a compiler, which alone asks, is given the tree: of a small map, and where it makes the same of both.

        It fuses by itself, so that its code for a small map is as fast from the plain tree. But before every call it looks
        whether all that it read is still as it was, every function and constant of this question too: they are few.
        """
        from torch.fx.experimental.symbolic_shapes import statically_known_true  # which a compiler has long imported

        most = self.left_up_to()
        return most is None or statically_known_true(x.numel() <= most)

    @asked_once
    def left_up_to(self) -> int | None:
        """The values of the largest map of which a compiler is given the tree, None for any: steps hold nothing of their own.

        Nor has a 1 x 1 convolution of them, where no rule changes its weights and no statistic reads its map. An exporter is
        given the steps whatever they are, as it runs them as they stand.
        """
        if exporting():
            return -1
        graph = trace(self._node, self._sizes)
        if descriptive(graph):
            return None
        return None if descriptive(graph, (*ALIKE, ops.LinearOp)) and not reduced(graph) and not self.rewrites else SMALL

    def evaluate(self) -> None:
        """Asks for the program for eval mode; before that the one for any mode runs."""
        if not self._evaluates:
            self._evaluates = self._behind = True

    def _write(self) -> None:
        """Writes the programs. Threads that do so at once write the same, and put each program there whole."""
        evaluates = self._evaluates
        graph = rewritten(trace(self._node, self._sizes), ANY_MODE, [])
        self._always = always = program(graph, self._frozen)
        self._norms = [module for module in self._node.modules() if isinstance(module, BatchNorm)]
        self._elsewhere = {}
        if evaluates:
            evaluated = rewritten(graph, EVAL_MODE, [])
            self._fixed = eval_norms(evaluated)
            self._evaluated = always if evaluated is graph else program(evaluated, self._frozen)
        self._behind = evaluates != self._evaluates or not settled(self._node)

    def _on_accelerator(self, x: Tensor) -> Tensor:
        """Runs the program of other devices: with norms as constants where there are no gradients and all are in eval mode."""
        constant_norms = not torch.is_grad_enabled() and not any(norm.training for norm in self._norms)
        if constant_norms not in self._elsewhere:
            graph = rewritten(trace(self._node, self._sizes), ON_ACCELERATORS, [])
            graph = rewritten(graph, EVAL_MODE, []) if constant_norms else graph
            self._elsewhere[constant_norms] = program(graph, self._frozen)
        return self._elsewhere[constant_norms](x)

    def _read(self) -> tuple[Node, list[Rewrite]]:
        """What is computed in eval mode by the tree as it is, and what the rules did for it."""
        notes: list[Rewrite] = []
        graph = rewritten(trace(self._node, self._sizes), ANY_MODE, notes)
        return rewritten(graph, EVAL_MODE, notes), notes

    @property
    def rewrites(self) -> tuple[Rewrite, ...]:
        """What the rules do, in the order in which they do it: those for any mode, then those for eval mode."""
        return tuple(self._read()[1])

    @property
    def graph(self) -> Node:
        """What is computed in eval mode."""
        return self._read()[0]

    def __call__(self, x: Tensor) -> Tensor:
        """(B, C, ...) -> (B, C', ...); `faithful` was asked before."""
        assert self._always is not None
        if not (x.is_cpu or is_compiling()):
            return self._on_accelerator(x)
        if self._evaluated is None:
            return self._always(x)
        for norm in self._fixed:
            if norm.training:
                return self._always(x)
        return self._evaluated(x)
