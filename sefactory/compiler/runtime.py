"""Compiling a block: its module tree is traced to a graph, the rewrite rules change the graph, and a program runs it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.compiler import is_compiling
from torch.nn.modules import module as torch_module

from ..kernels.dispatch import assume_constant_result
from ..operators.containers import Sequential
from ..operators.norm import BatchNorm
from ..shapes import Sizes
from .codegen.emitter import Lap, Program
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


class Programs(NamedTuple):
    """The programs of a tree. They are assigned at once: threads never pair them with the snapshot of another edit."""

    snapshot: Snapshot
    any_mode: Program | None
    """None if the tree cannot be compiled."""
    eval_mode: Program | None
    with_eval_mode: bool
    """True if the program for eval mode was asked for before they were compiled."""
    norms: list[BatchNorm]
    on_accelerators: dict[bool, Program]
    """The programs for other devices, by whether norms are constants. Each is added at its first run."""

    def timed(self, now: Callable[[], float], laps: list[Lap]) -> "Programs":
        """The same programs, which add readings of a clock to `laps`."""
        any_mode, eval_mode = (program and program.timed(now, laps) for program in (self.any_mode, self.eval_mode))
        on_accelerators = {key: program.timed(now, laps) for key, program in self.on_accelerators.items()}
        return self._replace(any_mode=any_mode, eval_mode=eval_mode, on_accelerators=on_accelerators)


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
        self._wants_eval_program = False
        self._programs: Programs | None = None

    @assume_constant_result
    def guards_hold(self) -> bool:
        """True if the programs compute what the tree does. They are compiled if they were not yet, or after an edit.

        Called before every run. Dynamo calls it once, before it traces `__call__`.
        """
        if not self._guard.holds():
            return False
        programs = self._programs
        if programs is None or programs.with_eval_mode is not self._wants_eval_program or not programs.snapshot.is_current():
            programs = self._programs = self._updated(programs)
        return programs.any_mode is not None

    def watch(self) -> bool:
        """True under dynamo if no edit is pending (see `Snapshot.watch`). Dynamo traces this method, and not `guards_hold`."""
        return self._programs is not None and self._programs.snapshot.watch()

    def prepare_eval(self) -> None:
        """Asks for the program for eval mode. Until then the program for any mode runs."""
        self._wants_eval_program = True

    def _updated(self, programs: Programs | None) -> Programs:
        """The programs of the tree as it is now: the former ones if the edit was made to another tree."""
        snapshot, wants_eval_program = Snapshot(self._node.modules()), self._wants_eval_program
        if programs and programs.with_eval_mode is wants_eval_program and snapshot.describes(programs.snapshot):
            return programs._replace(snapshot=snapshot)
        norms = [module for module in self._node.modules() if isinstance(module, BatchNorm)]
        program = eval_program = None
        with suppress(CannotCompile):
            program = self._generate(ANY_MODE)
            if wants_eval_program and norms:
                eval_program = self._generate(ANY_MODE, EVAL_MODE)
        return Programs(snapshot, program, eval_program, wants_eval_program, norms, {})

    def _run_on_accelerator(self, x: Tensor) -> Tensor:
        """Runs the program for other devices: norms are constants if there are no gradients and all are in eval mode."""
        programs = self._programs
        assert programs is not None
        constant_norms = not torch.is_grad_enabled() and not any(norm.training for norm in programs.norms)
        if constant_norms not in programs.on_accelerators:
            rules = (ON_ACCELERATORS, EVAL_MODE) if constant_norms else (ON_ACCELERATORS,)
            programs.on_accelerators[constant_norms] = self._generate(*rules)
        return programs.on_accelerators[constant_norms](x)

    def _generate(self, *stages: Rules) -> Program:
        """The program of the tree after all rules of each stage."""
        return generate(self._rewrite(*stages)[0], self._frozen)

    def _rewrite(self, *stages: Rules) -> tuple[Node, list[Rewrite]]:
        """Returns (the graph of the tree as it is now after all rules of each stage, the rewrites that led to it)."""
        graph, log = trace(self._node, self._sizes), list[Rewrite]()
        for rules in stages:
            graph = rewrite(graph, rules, log)
        return graph, log

    @contextmanager
    def timed(self, now: Callable[[], float]) -> Iterator[list[Lap]]:
        """The readings of a clock around the steps of every run inside. A program for another device has to have run before.

        There are none where the module tree runs, because the guards do not hold.
        """
        self.guards_hold()  # compiles the programs
        programs, laps = self._programs, list[Lap]()
        self._programs = programs and programs.timed(now, laps)
        try:
            yield laps
        finally:
            self._programs = programs

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
        programs = self._programs
        assert programs is not None and programs.any_mode is not None
        if not (x.is_cpu or is_compiling()):
            return self._run_on_accelerator(x)
        if programs.eval_mode is None or any(norm.training for norm in programs.norms):
            return programs.any_mode(x)
        return programs.eval_mode(x)
