"""All single errors of a config, derived from its tree and the schemas of its operators."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from sefactory.config.registry import HEADER_KEYS, find_operator
from sefactory.operators.containers import APPLIES, FUSES

from .tree import FORM_KEYS, NAMED, Path, Widths, module_path, parts
from .values import AXES, alternatives, current, kind_of, of_let, plain_axes

ACTIVATIONS = {
    "sigmoid": ("hard_sigmoid", "tanh", "identity"),
    "hard_sigmoid": ("sigmoid", "tanh", "identity"),
    "tanh": ("sigmoid", "hard_sigmoid", "identity"),
    "relu": ("relu6", "gelu", "silu", "identity"),
    "relu6": ("relu", "hard_swish", "gelu", "identity"),
    "hard_swish": ("silu", "relu", "gelu", "identity"),
    "silu": ("hard_swish", "relu", "gelu", "identity"),
    "gelu": ("silu", "relu", "relu6", "identity"),
    "softplus": ("relu", "exp"),
    "softmax": ("sigmoid", "exp"),
    "square": ("abs", "identity", "exp"),
    "abs": ("square", "identity", "relu"),
    "sqrt": ("identity", "log", "square"),
    "exp": ("softplus", "square", "sigmoid"),
    "log": ("sqrt", "identity", "exp"),
}
WHOLE_STATISTICS = ("window", "spectrum", "cluster")
"""Operators that are a statistic without a word for another one: the mean stands in for them."""
ORDERED_FUSES = ("stack", "concat", "difference")


@dataclass(frozen=True)
class Change:
    """One thing that could be wrong: values at paths, and modules whose weights are found elsewhere."""

    kind: str
    path: Path
    was: Any
    now: Any
    edits: Mapping[Path, Any]
    moved: Mapping[str, list[str]] = field(default_factory=dict)


def changes(node: Any, widths: Widths, path: Path = ()) -> Iterator[Change]:
    """What could be wrong in a node and below it; paths are from the root."""
    if isinstance(node, list):
        steps = [((*path, i), step) for i, step in enumerate(node)]
        yield from _sequence(steps)
    elif any(key in node for key in FORM_KEYS):
        yield from _let(node, path)
        yield from _form(node, path)
        steps = [((*path, *below), step) for below, step in parts(node)]
    else:
        yield from _let(node, path)
        ((name, arguments),) = ((key, value) for key, value in node.items() if key not in HEADER_KEYS)
        yield from _operator(name, arguments, widths, path)
        return
    for place, step in steps:
        yield Change("drop", place, _word(step), "identity", {place: {"identity": {}}})
        yield from changes(step, widths, place)


def transposed(config: Any) -> Iterator[Change]:
    """H and W mistaken for one another wherever they are written."""
    edits = {path: axes.translate(str.maketrans("HW", "WH")) for path, axes in _written_axes(config)}
    edits_seen = {path: now for path, now in edits.items() if path[-1] == "along" or now not in ("HW", "WH")}
    if any(set("HW") & set(now) for now in edits_seen.values()):
        yield Change("axis", (), "H and W", "swapped", edits_seen)


def _written_axes(node: Any, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """The axes that are written, with their paths."""
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        if key in AXES and isinstance(value, str):
            yield (*path, key), plain_axes(value)
        elif key not in HEADER_KEYS:
            yield from _written_axes(value, (*path, key))


def _word(node: Any) -> str:
    """What a node is, in a word."""
    if isinstance(node, list):
        return "steps"
    return next((key for key in FORM_KEYS if key in node), None) or next(key for key in node if key not in HEADER_KEYS)


def _let(node: dict[str, Any], path: Path) -> Iterator[Change]:
    for name, value in node.get("let", {}).items():
        place = (*path, "let", name)
        yield from (Change("let", place, value, now, {place: now}) for now in of_let(value))


def _form(node: dict[str, Any], path: Path) -> Iterator[Change]:
    """How parts are put together: the order of steps, of branches where it has a meaning, the fuse, the application."""
    steps = [((*path, *below), step) for below, step in parts(node) if below[0] not in NAMED]
    if isinstance(node.get("series"), dict):
        yield from _named_in_turn(node["series"], (*path, "series"))
    else:
        yield from _sequence(steps)
    if "shared" in node:
        yield from _trunk_by_branch(node, path)
    if "fuse" in node:
        yield from _words(path, "fuse", node["fuse"], FUSES)
        if node["fuse"] in ORDERED_FUSES:
            yield from _named_in_turn(node["parallel"], (*path, "parallel"))
    elif "series" not in node:
        yield from _words(path, "apply", node.get("apply", "multiply"), APPLIES)


def _words(path: Path, key: str, was: str, allowed: Iterable[str]) -> Iterator[Change]:
    place = (*path, key)
    yield from (Change(key, place, was, now, {place: now}) for now in allowed if now != was)


def _sequence(steps: list[tuple[Path, Any]]) -> Iterator[Change]:
    """Neighbours swapped, their weights with them; from the last step of one slot to the first of the next as well."""
    for (a, first), (b, second) in pairwise(steps):
        moved = {module_path(a): [module_path(b)], module_path(b): [module_path(a)]}
        yield Change("order", a, f"{_word(first)}, {_word(second)}", "swapped", {a: second, b: first}, moved)


def _named_in_turn(steps: dict[str, Any], path: Path) -> Iterator[Change]:
    """Named neighbours swapped; their paths, and so their weights, stay theirs."""
    for a, b in pairwise(steps):
        names = [b if name == a else a if name == b else name for name in steps]
        yield Change("order", path, f"{a}, {b}", "swapped", {path: {name: steps[name] for name in names}})


def _trunk_by_branch(node: dict[str, Any], path: Path) -> Iterator[Change]:
    """The shared trunk run on each branch by itself, with the same weights."""
    shared, branches = node["shared"], node["parallel"]
    if not all(isinstance(branch, list) for branch in branches.values()):
        return
    moved = {
        module_path((*path, "shared", i)): [module_path((*path, "parallel", b, len(branches[b]) + i)) for b in branches]
        for i in range(len(shared))
    }
    apart = {**node, "parallel": {name: [*branch, *shared] for name, branch in branches.items()}}
    del apart["shared"]
    yield Change("order", (*path, "shared"), "shared", "branch by branch", {path: apart}, moved)


def _operator(name: str, arguments: dict[str, Any], widths: Widths, path: Path) -> Iterator[Change]:
    """Another value of each parameter, written or not, and another operator of its kind."""
    operator = find_operator(name)
    if operator is None:
        return  # a node of let
    for schema in operator.parameters:
        place, was = (*path, name, schema.name), current(operator, schema, arguments)
        for now in alternatives(operator, schema, was):
            yield Change(kind_of(schema.name), place, was, now, {place: now})
    for other in ACTIVATIONS.get(name, ()):
        yield Change("activation", path, name, other, {path: {other: {}}})
    if name in WHOLE_STATISTICS:
        yield Change("statistic", path, name, "pool", {path: {"pool": {}}})
    if name == "sigmoid":
        yield Change("activation", path, name, "softmax", {path: {"softmax": {"over": "C"}}})
    if name == "mlp":
        yield from _inner_activation(arguments, widths[module_path(path)], path)
    if name == "attention":
        yield from _heads(arguments, path)


def _inner_activation(arguments: dict[str, Any], width: int, path: Path) -> Iterator[Change]:
    """The mlp as the three steps that it is, with another activation between its maps."""
    maps = [{"linear": {"out": out, "mix": "C", "bias": arguments.get("bias", False)}} for out in (arguments["hidden"], width)]
    for other in ACTIVATIONS["relu"]:
        yield Change("activation", (*path, "mlp"), "relu", other, {path: [maps[0], {other: {}}, maps[1]]})


def _heads(arguments: dict[str, Any], path: Path) -> Iterator[Change]:
    """The same widths cut into twice or half as many heads."""
    heads, key = arguments.get("heads", 1), arguments.get("key")
    place = (*path, "attention")
    for more, less in (("2*({})", "({})/2"), ("({})/2", "2*({})")) if key is not None else ():
        now = {"heads": more.format(heads), "key": less.format(key)}
        edits = {(*place, name): value for name, value in now.items()}
        yield Change("heads", place, f"heads {heads}, key {key}", f"heads {now['heads']}, key {now['key']}", edits)
    if key is None:
        yield Change("heads", place, f"heads {heads}", "heads 2", {(*place, "heads"): 2})
