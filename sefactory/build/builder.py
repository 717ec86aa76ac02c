"""Sizes are threaded through the nodes, and each node becomes the module at its path."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from ..block import NodeInfo
from ..config.expressions import MAX_NUMBER, UnresolvedName, Value, evaluate
from ..config.registry import Operator
from ..config.scope import LetError, resolve_let, size_variables
from ..config.syntax_tree import Node, OpNode, ParallelNode, ReferenceNode, SequenceNode, SourceLocation, UnitNode
from ..errors import InvalidValue
from ..operators.containers import (
    ModuleDict,
    Parallel,
    Sequential,
    Series,
    Unit,
    find_upsample_axes,
    fused_sizes,
    shared_trunk_sizes,
)
from ..operators.deferred_init import DeferredInit, count_parameters
from ..operators.parameters import MOST_PARAMETERS
from ..shapes import Sizes

BuildResult = tuple[nn.Module | None, Sizes | None]
FAILED: BuildResult = (None, None)


class ModuleBuilder:
    """Makes modules of nodes; a fault is noted, and what rests on it is left out, so that one pass finds what it can."""

    def __init__(self, faults: list[tuple[str, str]], rehearsal: DeferredInit | None = None) -> None:
        self.faults, self.rehearsal = faults, rehearsal
        self.parts: list[NodeInfo] = []
        self.let: dict[str, Mapping[str, Value]] = {}

    def root(self, node: Node, sizes: Sizes) -> BuildResult:
        """The whole config; one map comes in and one has to go out."""
        module, out = self.node(node, sizes, size_variables(sizes))
        if out is not None and out["S"] != 1:
            text = f"puts {out['S']} maps side by side on S, and nothing joins them later, as pool: {{over: S, by: sum}} would"
            self.faults.append((out.stacked_at or str(node.location), text))
        if out is not None and any(out[axis] != 1 for axis in out.spatial_axes if axis not in out.grid):
            self._fault(node.location, f"leaves sizes of {out} (S x C x H x W), and a grid of W has no H")
        if module is not None and (count := count_parameters(module)) > MOST_PARAMETERS:
            self._fault(node.location, f"holds {count:,} parameters; at most {MOST_PARAMETERS:,} in a block")
        return module, out

    def node(self, node: Node, sizes: Sizes, names: Mapping[str, Value]) -> BuildResult:
        """The module of a node and the sizes behind it; (None, None) where something is at fault."""
        names, first = self._names(node, names), len(self.parts)
        module, out = self._module(node, sizes, names)
        if out is not None and not isinstance(node, ReferenceNode):
            self.parts.insert(first, NodeInfo(node.path, _word(node), (sizes, out)))
        return module, out

    def _module(self, node: Node, sizes: Sizes, names: Mapping[str, Value]) -> BuildResult:
        match node:
            case OpNode():
                return self._operation(node, sizes, names)
            case SequenceNode():
                return self._chain(node, sizes, names)
            case ParallelNode():
                return self._fork(node, sizes, names)
            case UnitNode():
                return self._gated(node, sizes, names)
            case ReferenceNode():
                return self._reference(node, sizes, names)
        return FAILED

    def _fault(self, place: SourceLocation, text: str) -> BuildResult:
        self.faults.append((str(place), text))
        return FAILED

    def _names(self, node: Node, outer: Mapping[str, Value]) -> Mapping[str, Value]:
        if not node.let:
            return outer
        try:
            names = resolve_let(node.let, outer)
            self.let[node.path] = {name: names[name] for name in node.let}
            return names
        except LetError as found:
            for name, text in found.faults.items():
                self._fault(node.location / "let" / name, text)
            return found.values

    def _operation(self, node: OpNode, sizes: Sizes, names: Mapping[str, Value]) -> BuildResult:
        arguments: dict[str, Any] = {}
        for schema in node.operator.parameters:
            if schema.name in node.arguments:
                try:
                    arguments[schema.name] = schema.read(node.arguments[schema.name], names)
                except UnresolvedName:
                    return FAILED
                except InvalidValue as refused:
                    return self._fault(node.location, f"{node.operator.name}: {refused}")
        try:
            module = self._made(node.operator, sizes, arguments)
        except ValueError as refused:
            return self._fault(node.location, f"{node.operator.name}: {refused}")
        out = getattr(module, "sizes", sizes)
        if out.max_constant > MAX_NUMBER:
            return self._fault(node.location, f"{node.operator.name}: leaves a size beyond 2^53")
        return module, _noted(node.location, sizes, out)

    def _made(self, operator: Operator, sizes: Sizes, arguments: Mapping[str, Any]) -> nn.Module:
        if self.rehearsal is None:
            return operator.make(sizes, **arguments)
        if operator.is_builtin:
            return self.rehearsal.made(operator.make, sizes, arguments)
        self.rehearsal.whole = False
        with torch.device("meta"):
            return operator.make(sizes, **arguments)

    def _steps(self, node: SequenceNode, sizes: Sizes, names: Mapping[str, Value]) -> tuple[Sequential | None, Sizes | None]:
        made: list[tuple[str, nn.Module]] = []
        here: Sizes | None = sizes
        for name, step in node.steps:
            if here is None:
                break
            module, here = self.node(step, here, names)
            if module is not None:
                made.append((name, module))
        return (None, None) if here is None else (Sequential(made), here)

    def _chain(self, node: SequenceNode, sizes: Sizes, names: Mapping[str, Value]) -> BuildResult:
        steps, out = self._steps(node, sizes, names)
        return (Series(steps) if steps is not None and node.is_named else steps), out

    def _gated(self, node: UnitNode, sizes: Sizes, names: Mapping[str, Value]) -> BuildResult:
        slots: list[Sequential] = []
        here: Sizes | None = sizes
        for slot in (node.squeeze, node.excite, node.gate):
            if here is None:
                return FAILED
            steps, here = self._steps(slot, here, names)
            slots += [steps] if steps is not None else []
        if here is None:
            return FAILED
        try:
            axes = find_upsample_axes(node.apply, sizes, here)
        except InvalidValue as refused:
            since = f"; maps lie side by side on S since {here.stacked_at}" if here["S"] not in (1, sizes["S"]) else ""
            return self._fault(node.location, f"{refused}{since}")
        return Unit(slots[0], slots[1], slots[2], node.apply, axes), sizes

    def _fork(self, node: ParallelNode, sizes: Sizes, names: Mapping[str, Value]) -> BuildResult:
        made = {name: self.node(branch, sizes, names) for name, branch in node.branches}
        outs = {name: out for name, (_, out) in made.items() if out is not None}
        if len(outs) < len(made):
            return FAILED
        try:
            shared, after = self._trunk(node.shared, outs, names)
        except InvalidValue as refused:
            return self._fault(node.location / "shared", str(refused))
        if after is None:
            return FAILED
        own = {name: self.node(step, after[name], names) for name, step in node.branch_heads if name in after}
        ends = [own[name][1] if name in own else out for name, out in after.items()]
        out = self._fused(node, [end for end in ends if end is not None]) if all(ends) else None
        if out is None:
            return FAILED
        return Parallel(_branches(made), shared, _branches(own) if node.branch_heads else None, node.fuse), out

    def _fused(self, node: ParallelNode, ends: list[Sizes]) -> Sizes | None:
        try:
            out = fused_sizes(node.fuse, ends)
        except InvalidValue as refused:
            self._fault(node.location / "fuse", str(refused))
            return None
        several = next((end.stacked_at for end in ends if end["S"] != 1), "")
        return replace(out, stacked_at=str(node.location) if node.fuse == "stack" and not several else several)

    def _trunk(
        self, node: SequenceNode | None, outs: dict[str, Sizes], names: Mapping[str, Value]
    ) -> tuple[Sequential | None, dict[str, Sizes] | None]:
        """The shared trunk and what each branch is behind it."""
        if node is None:
            return None, outs
        seen = shared_trunk_sizes(list(outs.values()))
        steps, out = self._steps(node, seen, names)
        if steps is None or out is None:
            return None, None
        left, kept = (" x ".join(str(sizes[axis]) for axis in seen.spatial_axes) for sizes in (out, seen))
        if left != kept:
            raise InvalidValue(f"a shared trunk keeps its positions, {kept}; this one leaves {left}")
        return steps, {name: replace(out.replace({a: o[a] for a in o.spatial_axes}), grid=o.grid) for name, o in outs.items()}

    def _reference(self, node: ReferenceNode, sizes: Sizes, names: Mapping[str, Value]) -> BuildResult:
        given: dict[str, Any] = {}
        for name, value in node.parameters.items():
            try:
                given[name] = evaluate(value, names) if isinstance(value, str) else value
            except UnresolvedName:
                return FAILED
            except InvalidValue as refused:
                self._fault(node.location, f"{node.body.location.file}: {name} is {refused}")
        return self.node(replace(node.body, let={**node.body.let, **given}), sizes, size_variables(sizes))


def _branches(made: Mapping[str, BuildResult]) -> ModuleDict:
    return ModuleDict({name: module for name, (module, _) in made.items() if module is not None})


def _noted(place: SourceLocation, sizes: Sizes, out: Sizes) -> Sizes:
    """The sizes behind a node, with its place where one map became several."""
    return replace(out, stacked_at=str(place)) if out["S"] != 1 and sizes["S"] == 1 else out


def _word(node: Node) -> str:
    """What a node is, in a word or two."""
    match node:
        case OpNode():
            return node.operator.name
        case ParallelNode():
            return f"parallel, {node.fuse}"
        case UnitNode():
            return f"unit, {node.apply}"
    return "series"
