"""Lowering: the plain tree becomes a graph, the rules rewrite it, and its steps run in place of the tree."""

from dataclasses import dataclass
from inspect import getdoc
from itertools import chain

from torch import Tensor, nn

from ..axes import Sizes
from ..operators.norm import BatchNorm
from .capture import captured
from .emit import program
from .graph import Value, fixed, ordered, uses
from .program import Program
from .rules import ALWAYS, EVALUATED, Rewrite, Rules

MOST_PASSES = 20


def rewritten(root: Value, rules: Rules, notes: list[Rewrite]) -> Value:
    """The graph after the rules, applied from the source to the result until none of them says anything."""
    for _ in range(MOST_PASSES):
        before = len(notes)
        root = _once(root, rules, notes)
        if len(notes) == before:
            break
    return root


def _once(root: Value, rules: Rules, notes: list[Rewrite]) -> Value:
    used = uses(root)
    made: dict[int, Value] = {}
    for value in ordered(root):
        new = value.resting_on(*[made[id(other)] for other in value.inputs])
        used[id(new)] = used[id(value)]
        for rule in rules.get(type(new.op), ()):
            found = rule(new, used)
            if found is not None:
                notes.append(Rewrite(value.place, rule.__name__, (getdoc(rule) or "").split("\n")[0]))
                used[id(found)] = used[id(value)]
                new = found
                break  # what it has become is looked at in the next pass
        made[id(value)] = new
    return made[id(root)]


class Tree:
    """The modules of a tree as they are now: what runs in its place is right as long as they stay, and nobody listens in."""

    def __init__(self, node: nn.Module) -> None:
        self._children = [module._modules for module in node.modules() if module._modules]
        self._found = list(chain.from_iterable(map(dict.values, self._children)))
        self._hooks = [hooks for module in node.modules() for hooks in _hooks(module)]

    def unchanged(self) -> bool:
        """Whether no module was exchanged, added or removed, and none has a hook. Asked before every run: 1 us."""
        return not any(self._hooks) and list(chain.from_iterable(map(dict.values, self._children))) == self._found


def _hooks(module: nn.Module) -> tuple[dict[int, object], ...]:
    return module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks  # type: ignore[return-value]


@dataclass(frozen=True)
class Lowered:
    """A block as steps: one program for any mode, and one for eval mode, in which `fixed` norms are constants."""

    always: Program
    evaluated: Program
    fixed: tuple[BatchNorm, ...]
    rewrites: tuple[Rewrite, ...]
    tree: Tree

    def faithful(self) -> bool:
        """Whether the tree is still what the steps were written from."""
        return self.tree.unchanged()

    def __call__(self, x: Tensor) -> Tensor:
        """(B, C, ...) -> (B, C', ...)."""
        for norm in self.fixed:
            if norm.training:
                return self.always(x)
        return self.evaluated(x)


def lowered(node: nn.Module, sizes: Sizes, frozen: bool = False) -> Lowered:
    """The steps of a plain tree for the sizes of its map; a `frozen` one has constant weights and no gradients."""
    notes: list[Rewrite] = []
    graph = rewritten(captured(node, sizes), ALWAYS, notes)
    always = program(graph, frozen)
    count = len(notes)
    graph = rewritten(graph, EVALUATED, notes)
    evaluated = program(graph, frozen) if len(notes) > count else always
    return Lowered(always, evaluated, tuple(fixed(graph)), tuple(notes), Tree(node))


def folding(node: nn.Module, sizes: Sizes) -> Value:
    """The graph of a tree in eval mode: which norms and gains belong to which weights."""
    notes: list[Rewrite] = []
    return rewritten(rewritten(captured(node, sizes), ALWAYS, notes), EVALUATED, notes)
