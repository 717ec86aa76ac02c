"""Lowering: the plain tree becomes a graph, the rules rewrite it, and its steps run in place of the tree."""

from collections.abc import Callable
from itertools import chain

from torch import Tensor, nn

from ..axes import Sizes
from ..operators.norm import BatchNorm
from ..structure import Steps
from .capture import captured
from .emit import program
from .graph import Value, fixed, ordered, uses
from .program import Program
from .rules import ALWAYS, EVALUATED
from .rules.rewrite import Rewrite, Rules

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
    values = ordered(root)
    used = uses(values)
    made: dict[int, Value] = {}
    for value in values:
        new = value.resting_on([made[id(other)] for other in value.inputs]) if value.inputs else value
        for rule in rules.get(type(new.op), ()):
            found = rule(new, used)
            if found is not None:
                notes.append(Rewrite(value.place, rule.__name__, str(rule.__doc__).partition("\n")[0]))
                new = found
                break  # what it has become is looked at in the next pass
        used[id(new)] = used[id(value)]
        made[id(value)] = new
    return made[id(root)]


def watch(node: nn.Module) -> Callable[[], bool]:
    """Whether a tree is still as it is now: no module exchanged, added or removed, and none with a hook.

    Asked before every run: 1 us. A compiler asks once, as it does for hooks, and compiles what it then finds.
    """
    children = [module._modules for module in node.modules() if module._modules or isinstance(module, Steps)]
    found = list(chain.from_iterable(map(dict.values, children)))
    hooks = [hooks for module in node.modules() for hooks in _hooks(module)]

    def unchanged() -> bool:
        return not any(hooks) and list(chain.from_iterable(map(dict.values, children))) == found

    # what torch.compiler.assume_constant_result sets, without its import of the whole compiler
    unchanged._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return unchanged


def _hooks(module: nn.Module) -> tuple[dict[int, object], ...]:
    return module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks  # type: ignore[return-value]


class Lowered:
    """A block as steps: a program for any mode, and from the first time in eval mode on one in which norms are constants.

    `rewrites` are those of both. A `frozen` tree has constant weights and no gradients.
    """

    def __init__(self, node: nn.Module, sizes: Sizes, frozen: bool = False) -> None:
        self._notes: list[Rewrite] = []
        self._graph = rewritten(captured(node, sizes), ALWAYS, self._notes)
        self._frozen = frozen
        self.faithful = watch(node)
        """Whether the tree is still what the steps were written from, and nobody listens in."""
        self._always = program(self._graph, frozen)
        self._evaluated: Program | None = None
        self._fixed: list[BatchNorm] = []

    def evaluate(self) -> None:
        """Writes the program for eval mode; before that the one for any mode runs."""
        if self._evaluated is None:
            count = len(self._notes)
            graph = rewritten(self._graph, EVALUATED, self._notes)
            self._fixed = fixed(graph)
            self._evaluated = program(graph, self._frozen) if len(self._notes) > count else self._always

    @property
    def rewrites(self) -> tuple[Rewrite, ...]:
        """What the rules did, in the order in which they did it."""
        self.evaluate()
        return tuple(self._notes)

    @property
    def graph(self) -> Value:
        """What is computed in eval mode."""
        return rewritten(self._graph, EVALUATED, [])

    def __call__(self, x: Tensor) -> Tensor:
        """(B, C, ...) -> (B, C', ...)."""
        if self._evaluated is None:
            return self._always(x)
        for norm in self._fixed:
            if norm.training:
                return self._always(x)
        return self._evaluated(x)
