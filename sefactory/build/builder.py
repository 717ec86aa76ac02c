"""Builds the module tree of a syntax tree: the sizes are inferred node by node, from the input to the output."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, NoReturn

from torch import nn

from ..block import NodeInfo
from ..compiler.edits import record_all_as_built, record_as_built
from ..config.expressions import MAX_NUMBER, UnresolvedName, Value, evaluate
from ..config.scope import LetError, resolve_let, size_variables
from ..config.syntax_tree import Node, OpNode, ParallelNode, ReferenceNode, SequenceNode, SourceLocation, UnitNode
from ..errors import ConfigError, InvalidValue
from ..operators.containers import ModuleDict, Parallel, Sequential, Unit, find_upsample_axes, fused_sizes, shared_trunk_sizes
from ..operators.parameters import MAX_PARAMETERS
from ..shapes import Sizes

Names = Mapping[str, Value]
Built = tuple[nn.Module, Sizes]
"""A module and the sizes of its output."""


@dataclass(frozen=True)
class ModuleTree:
    """The modules of a config, the sizes of their output, one NodeInfo per node, and the values of each `let` by its path."""

    root: nn.Module
    output: Sizes
    nodes: tuple[NodeInfo, ...]
    let: Mapping[str, Names]


class FaultyNode(Exception):
    """A node is at fault and the fault is recorded: what depends on the node is skipped."""


def build_tree(root: Node, sizes: Sizes, faults: Iterable[tuple[str, str]] = ()) -> ModuleTree:
    """Returns the module tree for an input of `sizes`.

    Raises ConfigError with all faults: those that were given and those that are found here.
    """
    builder = ModuleBuilder(faults)
    with suppress(FaultyNode):
        module, out = builder.build_root(root, sizes)
        if not builder.faults:
            return ModuleTree(module, out, tuple(builder.nodes), builder.let)
    raise ConfigError(dict.fromkeys(builder.faults) or [(str(root.location), "depends on a number that is not known")])


class ModuleBuilder:
    """Builds modules from nodes and records the faults.

    Methods raise FaultyNode if a node cannot be built. Of parallel nodes all are built before that, so that one pass finds
    as many faults as possible.
    """

    def __init__(self, faults: Iterable[tuple[str, str]] = ()) -> None:
        self.faults = [*faults]
        self.nodes: list[NodeInfo] = []
        self.let: dict[str, Names] = {}

    def build_root(self, node: Node, sizes: Sizes) -> Built:
        """Builds a whole config; its output must be one map on the grid of the input."""
        module, out = self.build_node(node, sizes, size_variables(sizes))
        record_all_as_built(module)
        if out["S"] != 1:
            text = f"leaves {out['S']} maps on S, and a block returns one: join them, for example by pool: {{over: S, by: sum}}"
            self.faults.append((out.stacked_at or str(node.location), text))
        if any(out[axis] != 1 for axis in out.spatial_axes if axis not in out.grid):
            self._record(node.location, f"leaves sizes of {out} (S x C x H x W), and a grid of W has no H")
        if (count := sum(parameter.numel() for parameter in module.parameters())) > MAX_PARAMETERS:
            self._record(node.location, f"holds {count:,} parameters; at most {MAX_PARAMETERS:,} in a block")
        return module, out

    def build_node(self, node: Node, sizes: Sizes, names: Names) -> Built:
        """Builds the module of a node and of all nodes below it; its NodeInfo stands before those of its children."""
        names, index = self._scope(node, names), len(self.nodes)
        module, out = self._build(node, sizes, names)
        record_as_built(module, sizes)
        if not isinstance(node, ReferenceNode):
            self.nodes.insert(index, NodeInfo(node.path, _kind(node), (sizes, out)))
        return module, out

    def _build(self, node: Node, sizes: Sizes, names: Names) -> Built:
        """Builds the module of a node by the kind of the node."""
        match node:
            case OpNode():
                return self._operator(node, sizes, names)
            case SequenceNode():
                steps, out = self._sequence(node, sizes, names)
                return (Sequential([("series", steps)]) if node.is_named else steps), out
            case ParallelNode():
                return self._parallel(node, sizes, names)
            case UnitNode():
                return self._unit(node, sizes, names)
            case ReferenceNode():
                return self._reference(node, sizes, names)
        raise FaultyNode

    def _record(self, location: SourceLocation, text: str) -> None:
        self.faults.append((str(location), text))

    def _fail(self, location: SourceLocation, text: str) -> NoReturn:
        self._record(location, text)
        raise FaultyNode

    def _scope(self, node: Node, outer: Names) -> Names:
        """The names that a node sees: those around it and those of its `let`."""
        if not node.let:
            return outer
        try:
            names = resolve_let(node.let, outer)
        except LetError as error:
            for name, text in error.faults.items():
                self._record(node.location / "let" / name, text)
            return error.values
        self.let[node.path] = {name: names[name] for name in node.let}
        return names

    def _operator(self, node: OpNode, sizes: Sizes, names: Names) -> Built:
        """Calls the factory function of an operator; sizes that it does not declare are unchanged."""
        operator = node.operator
        schemas = [schema for schema in operator.parameters if schema.name in node.arguments]
        try:
            arguments = {schema.name: schema.read(node.arguments[schema.name], names) for schema in schemas}
            module = operator.make(sizes, **arguments)
        except UnresolvedName:
            raise FaultyNode from None
        except ValueError as error:
            self._fail(node.location, f"{operator.name}: {error}")
        out = getattr(module, "sizes", sizes)
        if out.max_constant > MAX_NUMBER:
            self._fail(node.location, f"{operator.name}: leaves a size beyond 2^53")
        if out["S"] != 1 and sizes["S"] == 1:
            out = replace(out, stacked_at=str(node.location))
        return module, out

    def _sequence(self, node: SequenceNode, sizes: Sizes, names: Names) -> tuple[Sequential, Sizes]:
        steps: list[tuple[str, nn.Module]] = []
        for name, step in node.steps:
            module, sizes = self.build_node(step, sizes, names)
            steps.append((name, module))
        return Sequential(steps), sizes

    def _unit(self, node: UnitNode, sizes: Sizes, names: Names) -> Built:
        squeeze, out = self._sequence(node.squeeze, sizes, names)
        excite, out = self._sequence(node.excite, out, names)
        gate, out = self._sequence(node.gate, out, names)
        try:
            axes = find_upsample_axes(node.apply, sizes, out)
        except InvalidValue as error:
            since = f"; S holds several maps since {out.stacked_at}" if out["S"] not in (1, sizes["S"]) else ""
            self._fail(node.location, f"{error}{since}")
        return Unit(squeeze, excite, gate, node.apply, axes), sizes

    def _parallel(self, node: ParallelNode, sizes: Sizes, names: Names) -> Built:
        branches, outs = self._children({name: (branch, sizes) for name, branch in node.branches}, names)
        trunk = None
        if node.shared is not None:
            trunk, outs = self._shared_trunk(node.location / "shared", node.shared, outs, names)
        heads, head_outs = self._children({name: (head, outs[name]) for name, head in node.branch_heads if name in outs}, names)
        out = self._fuse(node, [*(outs | head_outs).values()])
        return Parallel(branches, trunk, heads if node.branch_heads else None, node.fuse), out

    def _children(self, nodes: Mapping[str, tuple[Node, Sizes]], names: Names) -> tuple[ModuleDict, dict[str, Sizes]]:
        """Builds parallel nodes, each for its own input sizes; returns their modules and output sizes by name."""
        modules, outs = dict[str, nn.Module](), dict[str, Sizes]()
        for name, (node, sizes) in nodes.items():
            with suppress(FaultyNode):
                modules[name], outs[name] = self.build_node(node, sizes, names)
        if len(outs) < len(nodes):
            raise FaultyNode
        return ModuleDict(modules), outs

    def _shared_trunk(
        self, location: SourceLocation, node: SequenceNode, branches: Mapping[str, Sizes], names: Names
    ) -> tuple[Sequential, dict[str, Sizes]]:
        """The shared trunk and the sizes of each branch behind it: S and C are those of the trunk, the grid is kept."""
        try:
            joined = shared_trunk_sizes([*branches.values()])
        except InvalidValue as error:
            self._fail(location, str(error))
        trunk, out = self._sequence(node, joined, names)
        after, before = (" x ".join(str(sizes[axis]) for axis in joined.spatial_axes) for sizes in (out, joined))
        if after != before:
            self._fail(location, f"a shared trunk must keep its positions: it receives {before} and returns {after}")
        return trunk, {
            name: replace(out.replace({a: s[a] for a in s.spatial_axes}), grid=s.grid) for name, s in branches.items()
        }

    def _fuse(self, node: ParallelNode, branches: list[Sizes]) -> Sizes:
        """The sizes of the fused branches."""
        try:
            out = fused_sizes(node.fuse, branches)
        except InvalidValue as error:
            self._fail(node.location / "fuse", str(error))
        stacked_at = next((sizes.stacked_at for sizes in branches if sizes["S"] != 1), "")
        return replace(out, stacked_at=stacked_at or (str(node.location) if node.fuse == "stack" else ""))

    def _reference(self, node: ReferenceNode, sizes: Sizes, names: Names) -> Built:
        """Builds another config; of the names around it, it sees only those that are passed as parameters."""
        parameters: dict[str, Any] = {}
        for name, value in node.parameters.items():
            try:
                parameters[name] = evaluate(value, names) if isinstance(value, str) else value
            except UnresolvedName:
                raise FaultyNode from None
            except InvalidValue as error:
                self._record(node.location, f"{node.body.location.file}: {name} is {error}")
        body = replace(node.body, let={**node.body.let, **parameters})
        return self.build_node(body, sizes, size_variables(sizes))


def _kind(node: Node) -> str:
    """The operator of a node, or the keyword of its form."""
    match node:
        case OpNode():
            return node.operator.name
        case ParallelNode():
            return f"parallel, {node.fuse}"
        case UnitNode():
            return f"unit, {node.apply}"
    return "series"
