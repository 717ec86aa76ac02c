"""Compiling a block: its module tree is traced to a graph, the rewrite rules change the graph, and a program runs it."""

from contextlib import suppress
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.compiler import is_compiling
from torch.nn.modules import module as torch_module

from ..kernels.dispatch import assume_constant_result
from ..operators.containers import Sequential
from ..operators.norm import BatchNorm
from ..shapes import Sizes
from .codegen.emitter import Program
from .codegen.generate import generate
from .edits import Snapshot, record_all_as_built
from .graph import Node, topological_order, user_counts
from .passes import ANY_MODE, EVAL_MODE, ON_ACCELERATORS
from .passes.rewrite import Rewrite, Rules
from .tracer import CannotCompile, trace

MAX_PASSES = 20
SEQUENCES = (Sequential, nn.Sequential)
"""Containers whose children may be added later: without children they are the identity."""
GLOBAL_HOOKS: list[dict[int, object]] = [
    getattr(torch_module, f"_global_{kind}_hooks") for kind in ("forward", "forward_pre", "backward", "backward_pre")
]
"""The hooks that torch calls at every module."""


def rewrite(root: Node, rules: Rules, log: list[Rewrite]) -> Node:
    """The graph after the rules, applied from the source to the result until none of them applies. Each is added to `log`."""
    for _ in range(MAX_PASSES):
        before = len(log)
        root = _rewrite_once(root, rules, log)
        if len(log) == before:
            break
    return root


def _rewrite_once(root: Node, rules: Rules, log: list[Rewrite]) -> Node:
    """One pass over the graph. What a rule returns is looked at again in the next pass."""
    nodes = topological_order(root)
    users = user_counts(nodes)
    replaced: dict[int, Node] = {}
    for node in nodes:
        new = node.with_inputs([replaced[id(other)] for other in node.inputs]) if node.inputs else node
        for rule in rules.get(type(new.op), ()):
            result = rule(new, users)
            if result is not None:
                log.append(Rewrite(node.source_path, rule.__name__, str(rule.__doc__).partition("\n")[0]))
                new = result
                break
        users[id(new)] = users[id(node)]
        replaced[id(node)] = new
    return replaced[id(root)]


class Guard(NamedTuple):
    """The state of a module tree: the dictionaries of its children and what they held, and the dictionaries of all hooks."""

    children: list[dict[str, nn.Module | None]]
    copies: list[dict[str, nn.Module | None]]
    hooks: list[dict[int, object]]

    @classmethod
    def of(cls, node: nn.Module) -> "Guard":
        """The guard for the tree as it is now."""
        modules = list(node.modules())
        children = [module._modules for module in modules if module._modules or isinstance(module, SEQUENCES)]
        hooks = [hooks for module in modules for hooks in _hooks(module)]
        return cls(children, list(map(dict, children)), hooks + GLOBAL_HOOKS)

    def holds(self) -> bool:
        """True if no module was exchanged, added or removed, and no hook would be called. Takes 0.5 us."""
        return not any(self.hooks) and self.children == self.copies


def _hooks(module: nn.Module) -> tuple[dict[int, object], ...]:
    return module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks  # type: ignore[return-value]


class CompiledBlock:
    """A block as programs: one for any mode, and from the first time in eval mode on one in which norms are constants.

    `guards_hold` compiles the programs before the first run, so that building a block takes no time for it, and again after
    an edit. A tree whose modules were exchanged since it was passed in is never compiled, nor is one with a module whose
    function or sizes are unknown. A `frozen` tree has no gradients.
    """

    def __init__(self, node: nn.Module, sizes: Sizes, frozen: bool = False) -> None:
        self._node, self._sizes, self._frozen = node, sizes, frozen
        record_all_as_built(node)
        self._guard = Guard.of(node)
        self._snapshot = Snapshot(())
        self._program: Program | None = None
        self._eval_program: Program | None = None
        self._norms: list[BatchNorm] = []
        self._accelerator_programs: dict[bool, Program] = {}
        self._wants_eval_program, self._stale = False, True

    @assume_constant_result
    def guards_hold(self) -> bool:
        """True if the programs compute what the tree does. They are compiled if they were not yet, or after an edit.

        Called before every run. Dynamo calls it once, before it traces `__call__`.
        """
        if not self._guard.holds():
            return False
        if self._stale or not self._snapshot.is_current():
            self._update()
        return self._program is not None

    def watch(self) -> bool:
        """True under dynamo if no edit is pending (see `Snapshot.watch`). Dynamo traces this method, and not `guards_hold`."""
        return self._snapshot.watch()

    def prepare_eval(self) -> None:
        """Asks for the program for eval mode. Until then the program for any mode runs."""
        if not self._wants_eval_program:
            self._wants_eval_program = self._stale = True

    def _update(self) -> None:
        """Compiles the tree as it is now, unless the edit was made to another tree."""
        snapshot = Snapshot(self._node.modules())
        if self._stale or not snapshot.describes(self._snapshot):
            self._compile()
        self._snapshot = snapshot

    def _compile(self) -> None:
        """Compiles the programs. Threads that do so at once compile the same, and assign each program as a whole."""
        wants_eval_program = self._wants_eval_program
        self._norms = [module for module in self._node.modules() if isinstance(module, BatchNorm)]
        self._accelerator_programs = {}
        program = eval_program = None
        with suppress(CannotCompile):
            program = self._generate(ANY_MODE)
            if wants_eval_program and self._norms:
                eval_program = self._generate(ANY_MODE, EVAL_MODE)
        self._program, self._eval_program = program, eval_program
        self._stale = wants_eval_program != self._wants_eval_program

    def _run_on_accelerator(self, x: Tensor) -> Tensor:
        """Runs the program for other devices: norms are constants if there are no gradients and all are in eval mode."""
        constant_norms = not torch.is_grad_enabled() and not any(norm.training for norm in self._norms)
        if constant_norms not in self._accelerator_programs:
            rules = (ON_ACCELERATORS, EVAL_MODE) if constant_norms else (ON_ACCELERATORS,)
            self._accelerator_programs[constant_norms] = self._generate(*rules)
        return self._accelerator_programs[constant_norms](x)

    def _generate(self, *stages: Rules) -> Program:
        """The program of the tree after all rules of each stage."""
        return generate(self._rewrite(*stages)[0], self._frozen)

    def _rewrite(self, *stages: Rules) -> tuple[Node, list[Rewrite]]:
        """Returns (the graph of the tree as it is now after all rules of each stage, the rewrites that led to it)."""
        graph, log = trace(self._node, self._sizes), list[Rewrite]()
        for rules in stages:
            graph = rewrite(graph, rules, log)
        return graph, log

    @property
    def rewrites(self) -> tuple[Rewrite, ...]:
        """The rewrites in their order: those for any mode, then those for eval mode. Empty if the tree cannot be compiled."""
        with suppress(CannotCompile):
            return tuple(self._rewrite(ANY_MODE, EVAL_MODE)[1])
        return ()

    @property
    def graph(self) -> Node | None:
        """The graph in eval mode. None if the tree has hooks or cannot be compiled."""
        with suppress(CannotCompile):
            return self._rewrite(ANY_MODE, EVAL_MODE)[0] if self._guard.holds() else None
        return None

    def __call__(self, x: Tensor) -> Tensor:
        """(B, C, ...) -> (B, C', ...). Call it only after `guards_hold` returned True, and under dynamo `watch` as well."""
        assert self._program is not None
        if not (x.is_cpu or is_compiling()):
            return self._run_on_accelerator(x)
        if self._eval_program is None or any(norm.training for norm in self._norms):
            return self._program(x)
        return self._eval_program(x)
