"""Sizes are threaded through the nodes, and each node becomes the module at its path."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from .axes import Sizes
from .block import Part
from .errors import Refused
from .expression import LARGEST, Unknown, Value, evaluate
from .nodes import Chain, Fork, Gated, Node, Operation, Place, Reference
from .operators.weights import MOST_PARAMETERS
from .registry import Operator
from .rehearsal import Rehearsal, size
from .scope import LetFault, of_map, resolve_let
from .structure import Branches, Parallel, Series, Steps, Unit, fit, fused, trunk_sizes

Made = tuple[nn.Module | None, Sizes | None]
FAULTY: Made = (None, None)


class Maker:
    """Makes modules of nodes; a fault is noted, and what rests on it is left out, so that one pass finds what it can."""

    def __init__(self, faults: list[tuple[str, str]], rehearsal: Rehearsal | None = None) -> None:
        self.faults, self.rehearsal = faults, rehearsal
        self.parts: list[Part] = []
        self.let: dict[str, Mapping[str, Value]] = {}

    def root(self, node: Node, sizes: Sizes) -> Made:
        """The whole config; one map comes in and one has to go out."""
        module, out = self.node(node, sizes, of_map(sizes))
        if out is not None and out["S"] != 1:
            text = f"puts {out['S']} maps side by side on S, and nothing joins them later, as pool: {{over: S, by: sum}} would"
            self.faults.append((out.since or str(node.place), text))
        if out is not None and any(out[axis] != 1 for axis in out.space if axis not in out.grid):
            self._fault(node.place, f"leaves sizes of {out} (S x C x H x W), and a grid of W has no H")
        if module is not None and (count := size(module)) > MOST_PARAMETERS:
            self._fault(node.place, f"holds {count:,} parameters; at most {MOST_PARAMETERS:,} in a block")
        return module, out

    def node(self, node: Node, sizes: Sizes, names: Mapping[str, Value]) -> Made:
        """The module of a node and the sizes behind it; (None, None) where something is at fault."""
        names, first = self._names(node, names), len(self.parts)
        module, out = self._module(node, sizes, names)
        if out is not None and not isinstance(node, Reference):
            self.parts.insert(first, Part(node.path, _word(node), (sizes, out)))
        return module, out

    def _module(self, node: Node, sizes: Sizes, names: Mapping[str, Value]) -> Made:
        match node:
            case Operation():
                return self._operation(node, sizes, names)
            case Chain():
                return self._chain(node, sizes, names)
            case Fork():
                return self._fork(node, sizes, names)
            case Gated():
                return self._gated(node, sizes, names)
            case Reference():
                return self._reference(node, sizes, names)
        return FAULTY

    def _fault(self, place: Place, text: str) -> Made:
        self.faults.append((str(place), text))
        return FAULTY

    def _names(self, node: Node, outer: Mapping[str, Value]) -> Mapping[str, Value]:
        if not node.let:
            return outer
        try:
            names = resolve_let(node.let, outer)
            self.let[node.path] = {name: names[name] for name in node.let}
            return names
        except LetFault as found:
            for name, text in found.faults.items():
                self._fault(node.place / "let" / name, text)
            return found.values

    def _operation(self, node: Operation, sizes: Sizes, names: Mapping[str, Value]) -> Made:
        arguments: dict[str, Any] = {}
        for schema in node.operator.parameters:
            if schema.name in node.arguments:
                try:
                    arguments[schema.name] = schema.read(node.arguments[schema.name], names)
                except Unknown:
                    return FAULTY
                except Refused as refused:
                    return self._fault(node.place, f"{node.operator.name}: {refused}")
        try:
            module = self._made(node.operator, sizes, arguments)
        except ValueError as refused:
            return self._fault(node.place, f"{node.operator.name}: {refused}")
        out = getattr(module, "sizes", sizes)
        if out.largest > LARGEST:
            return self._fault(node.place, f"{node.operator.name}: leaves a size beyond 2^53")
        return module, _noted(node.place, sizes, out)

    def _made(self, operator: Operator, sizes: Sizes, arguments: Mapping[str, Any]) -> nn.Module:
        if self.rehearsal is None:
            return operator.make(sizes, **arguments)
        if operator.shipped:
            return self.rehearsal.made(operator.make, sizes, arguments)
        self.rehearsal.whole = False
        with torch.device("meta"):
            return operator.make(sizes, **arguments)

    def _steps(self, node: Chain, sizes: Sizes, names: Mapping[str, Value]) -> tuple[Steps | None, Sizes | None]:
        made: list[tuple[str, nn.Module]] = []
        here: Sizes | None = sizes
        for name, step in node.steps:
            if here is None:
                break
            module, here = self.node(step, here, names)
            if module is not None:
                made.append((name, module))
        return (None, None) if here is None else (Steps(made), here)

    def _chain(self, node: Chain, sizes: Sizes, names: Mapping[str, Value]) -> Made:
        steps, out = self._steps(node, sizes, names)
        return (Series(steps) if steps is not None and node.named else steps), out

    def _gated(self, node: Gated, sizes: Sizes, names: Mapping[str, Value]) -> Made:
        slots: list[Steps] = []
        here: Sizes | None = sizes
        for slot in (node.squeeze, node.excite, node.gate):
            if here is None:
                return FAULTY
            steps, here = self._steps(slot, here, names)
            slots += [steps] if steps is not None else []
        if here is None:
            return FAULTY
        try:
            coarse = fit(node.apply, sizes, here)
        except Refused as refused:
            since = f"; maps lie side by side on S since {here.since}" if here["S"] not in (1, sizes["S"]) else ""
            return self._fault(node.place, f"{refused}{since}")
        return Unit(slots[0], slots[1], slots[2], node.apply, coarse), sizes

    def _fork(self, node: Fork, sizes: Sizes, names: Mapping[str, Value]) -> Made:
        made = {name: self.node(branch, sizes, names) for name, branch in node.branches}
        outs = {name: out for name, (_, out) in made.items() if out is not None}
        if len(outs) < len(made):
            return FAULTY
        try:
            shared, after = self._trunk(node.shared, outs, names)
        except Refused as refused:
            return self._fault(node.place / "shared", str(refused))
        if after is None:
            return FAULTY
        own = {name: self.node(step, after[name], names) for name, step in node.own if name in after}
        ends = [own[name][1] if name in own else out for name, out in after.items()]
        out = self._fused(node, [end for end in ends if end is not None]) if all(ends) else None
        if out is None:
            return FAULTY
        return Parallel(_branches(made), shared, _branches(own) if node.own else None, node.fuse), out

    def _fused(self, node: Fork, ends: list[Sizes]) -> Sizes | None:
        try:
            out = fused(node.fuse, ends)
        except Refused as refused:
            self._fault(node.place / "fuse", str(refused))
            return None
        several = next((end.since for end in ends if end["S"] != 1), "")
        return replace(out, since=str(node.place) if node.fuse == "stack" and not several else several)

    def _trunk(
        self, node: Chain | None, outs: dict[str, Sizes], names: Mapping[str, Value]
    ) -> tuple[Steps | None, dict[str, Sizes] | None]:
        """The shared trunk and what each branch is behind it."""
        if node is None:
            return None, outs
        seen = trunk_sizes(list(outs.values()))
        steps, out = self._steps(node, seen, names)
        if steps is None or out is None:
            return None, None
        left, kept = (" x ".join(str(sizes[axis]) for axis in seen.space) for sizes in (out, seen))
        if left != kept:
            raise Refused(f"a shared trunk keeps its positions, {kept}; this one leaves {left}")
        return steps, {name: replace(out.replace({a: o[a] for a in o.space}), grid=o.grid) for name, o in outs.items()}

    def _reference(self, node: Reference, sizes: Sizes, names: Mapping[str, Value]) -> Made:
        given: dict[str, Any] = {}
        for name, value in node.parameters.items():
            try:
                given[name] = evaluate(value, names) if isinstance(value, str) else value
            except Unknown:
                return FAULTY
            except Refused as refused:
                self._fault(node.place, f"{node.body.place.file}: {name} is {refused}")
        return self.node(replace(node.body, let={**node.body.let, **given}), sizes, of_map(sizes))


def _branches(made: Mapping[str, Made]) -> Branches:
    return Branches({name: module for name, (module, _) in made.items() if module is not None})


def _noted(place: Place, sizes: Sizes, out: Sizes) -> Sizes:
    """The sizes behind a node, with its place where one map became several."""
    return replace(out, since=str(place)) if out["S"] != 1 and sizes["S"] == 1 else out


def _word(node: Node) -> str:
    """What a node is, in a word or two."""
    match node:
        case Operation():
            return node.operator.name
        case Fork():
            return f"parallel, {node.fuse}"
        case Gated():
            return f"unit, {node.apply}"
    return "series"
