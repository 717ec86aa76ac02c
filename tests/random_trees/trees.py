"""Random configs over the whole grammar and vocabulary, from a seed; some are corrupted at a random path."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from sefactory.operators.containers import shared_trunk_sizes
from sefactory.shapes import Sizes, broadcast
from tests.random_trees.operators import Generated, Names, Operators

WHOLE_MAPS = ["senet", "sknet", "cbam", "cbam_channel", "coordatt", "triplet", "triplet_two", "pam", "cam", "ecanet", "gcnet"]
REFERENCES = [
    *WHOLE_MAPS,
    *("gcnet_mul_add", "genet", "genet_minus", "genet_plus", "bam", "scse", "sse", "ese", "unit", "seaformer"),
]
SMALL: dict[str, dict[str, list[Any]]] = {  # parameters under which a shipped config fits narrow maps
    **{name: {"r": [1, 2, "C/2"]} for name in ("senet", "cbam", "cbam_channel", "gcnet", "gcnet_mul_add")},
    **{name: {"r": [1, 2]} for name in ("genet_plus", "scse", "bam")},
    "sknet": {"r": [2], "G": [1], "L": [2, 4]},
    "pam": {"key": [1, 2]},
    "seaformer": {"heads": [1, 2], "key": [1, 2, 3], "P": [1, 4]},
}
BRANCHES = ["a", "b", "c", "values", "keys", "h"]
NAMES = ["r", "k", "width", "D", "q"]
INVALID_VALUES: list[Any] = [
    *(0, -1, 1, 2, 3, 4, 5, 7, 1.5, 0.0, -0.5, 1e-300, 1e300, 10**12, 2**60, 10**400, float("nan"), float("inf")),
    *(None, True, False, "", "C", "S", "H", "HW", "CS", "WH", "SCHW", "HH", "hw", "none", "C/0", "C/1000", "C/3", "r", "zzz"),
    *("max(C)", "log2(0)", "(-8)**0.5", "2**2**2**2**9", "9" * 300, "odd(C)", "1/3", "C.real", "a b", "${x}", "mean", "std"),
    *([], {}, [[]], ["mean", "mean"], ["mean", 3], [3, 4], {"r": 2}, {"sigmoid": None}, {"pool": None}, ["relu"], "relu"),
    *("senet", {"senet": {"r": 0}}, {"senet": {"r": None}}, {"senet": {"r": [2]}}, {"senet": {"r": True}}, {"cbam": {"x": 1}}),
    *({"let": {"C": 2}}, {"let": {"r": "k", "k": "r"}, "mlp": "r"}, {"let": {"r": float("nan")}, "mlp": "r"}),
    *({"series": {}}, {"parallel": {}}, {"squeeze": []}, {"squeeze": None}, {"parallel": {"a": "relu"}, "fuse": "avg"}),
]
WORDS = ["over", "by", "kernel", "mix", "each", "groups", "series", "fuse", "gate", "let", "type", "a.b", "0", "_target_"]


@dataclass
class Tree:
    """A config, and the channels and grid that it is built for."""

    config: Any
    channels: int
    fixed_sizes: dict[str, int] = field(default_factory=dict)
    grid: str = "HW"
    is_corrupted: bool = False


def random_tree(seed: int) -> Tree:
    """Returns the tree of a seed."""
    rng = Random(seed)
    fixed = rng.random() < 0.3
    grid = rng.choice(["HW", "HW", "HW", "W", "DHW"])
    fixed_sizes = {axis: rng.randint(1, 6) for axis in grid} if fixed else {}
    tree = Tree(None, rng.choice([1, 2, 3, 4, 6, 8, 8, 12]), fixed_sizes, grid)
    sizes = Sizes.of_map(tree.channels, fixed_sizes, grid)
    grower = TreeGenerator(rng, tree.channels, deepest=rng.randint(1, 5))
    tree.config = grower.root(sizes)
    if rng.random() < 0.2:
        tree.is_corrupted = True
        for _ in range(rng.randint(1, 2)):
            tree.config = corrupt(tree.config, rng)
    return tree


def corrupt(config: Any, rng: Random) -> Any:
    """Returns the config with one entry replaced, removed, added or renamed."""
    config = copy.deepcopy(config)
    places = list(_places(config))
    if not places:
        return rng.choice(INVALID_VALUES)
    parent, key = rng.choice(places)
    match rng.choice(["replace", "replace", "replace", "remove", "add", "rename"]):
        case "remove":
            del parent[key]
        case "add" if isinstance(parent, dict):
            parent[rng.choice(WORDS)] = copy.deepcopy(rng.choice(INVALID_VALUES))
        case "add":
            parent.insert(key, copy.deepcopy(rng.choice(INVALID_VALUES)))
        case "rename" if isinstance(parent, dict):
            parent[rng.choice(WORDS)] = parent.pop(key)
        case _:
            parent[key] = copy.deepcopy(rng.choice(INVALID_VALUES))
    return config


def _places(data: Any) -> Any:
    """Every (container, key) of a nested container."""
    items = list(data.items()) if isinstance(data, dict) else list(enumerate(data)) if isinstance(data, list) else []
    for key, value in items:
        yield data, key
        yield from _places(value)


def depth(data: Any) -> int:
    """Levels of nesting."""
    inner = data.values() if isinstance(data, dict) else data if isinstance(data, list) else ()
    return 1 + max((depth(item) for item in inner), default=0)


@dataclass
class TreeGenerator:
    """Generates nodes that mostly fit their input sizes; every choice is drawn from `rng`."""

    rng: Random
    channels: int
    deepest: int
    operators: "Operators" = field(init=False)

    def __post_init__(self) -> None:
        self.operators = Operators(self.rng, self.channels)

    def root(self, sizes: Sizes) -> Any:
        names = self.let({})
        node, out = self.node(sizes, names, 0)
        mended = [node, *self.adapt(out, out.replace({"S": 1}), names)]
        if len(mended) == 1 and isinstance(node, dict) and not node.keys() & {"let"}:
            return {"let": dict(names), **node} if names else node
        return {"let": dict(names), "series": mended} if names or self.rng.random() < 0.3 else mended

    def let(self, outer: Names) -> dict[str, int]:
        found = {name: self.rng.randint(1, 6) for name in self.rng.sample(NAMES, self.rng.choice([0, 0, 1, 2]))}
        return {**outer, **found} if not outer else found

    def node(self, sizes: Sizes, names: Names, level: int) -> Generated:
        forms: list[Callable[[Sizes, Names, int], Generated]] = [
            self.unit,
            self.series,
            self.parallel,
            self.unit,
            self.parallel,
        ]
        if level >= self.deepest or self.rng.random() < 0.3:
            return self.leaf(sizes, names)
        local = self.let(names) if self.rng.random() < 0.2 else {}
        node, out = self.rng.choice(forms)(sizes, {**names, **local}, level + 1)
        if local and isinstance(node, dict):
            given = {k: f"{v} * 1" if self.rng.random() < 0.3 else v for k, v in local.items()}
            return {"let": given, **node}, out
        return node, out

    def leaf(self, sizes: Sizes, names: Names) -> Generated:
        if self.rng.random() < 0.15 and sizes["S"] == 1:
            name = self.rng.choice(REFERENCES)
            given = {key: self.rng.choice(values) for key, values in SMALL.get(name, {}).items()}
            return ({name: given} if given or self.rng.random() < 0.1 else name), sizes
        return self.operators.any(sizes, names)

    def steps(self, sizes: Sizes, names: Names, level: int, count: int) -> tuple[list[Any], Sizes]:
        found = []
        for _ in range(count):
            node, sizes = self.node(sizes, names, level)
            found.append(node)
        return found, sizes

    def series(self, sizes: Sizes, names: Names, level: int) -> Generated:
        found, out = self.steps(sizes, names, level, self.rng.randint(1, 3))
        match self.rng.choice(["list", "series", "named"]):
            case "list":
                return found, out
            case "series":
                return {"series": found}, out
        return {"series": {f"step{i}" if i else "type_": node for i, node in enumerate(found)}}, out

    def unit(self, sizes: Sizes, names: Names, level: int) -> Generated:
        slots: dict[str, Any] = {}
        here = sizes
        for slot in ("squeeze", "excite", "gate"):
            slots[slot], here = self.steps(here, names, level if slot == "excite" else 99, self.rng.choice([0, 1, 1, 2]))
        apply = self.rng.choice(["multiply", "multiply", "add", "scale_shift", None])
        wanted = sizes.replace({"S": 2}) if apply == "scale_shift" else sizes
        slots["gate"] += self.adapt(here, wanted, names, stretch=True)
        if apply:
            slots["apply"] = apply
        if not any(slots[slot] for slot in ("squeeze", "excite", "gate")):
            slots["gate"] = ["sigmoid"]
        return {key: value for key, value in slots.items() if value or self.rng.random() < 0.8}, sizes

    def parallel(self, sizes: Sizes, names: Names, level: int) -> Generated:
        chosen = self.rng.sample(BRANCHES, self.rng.randint(1, 3))
        made = {name: self.node(sizes, names, level) for name in chosen}
        fuse = self.rng.choice(["sum", "mean", "product", "max", "min", "difference", "stack", "concat"])
        trunk = self.rng.random() < 0.3
        wanted = self.common([out for _, out in made.values()], trunk)
        branches, outs = {}, {}
        for name, (node, out) in made.items():
            extra = self.adapt(out, wanted, names, stretch=not trunk)
            outs[name] = out.replace({"S": wanted["S"], "C": wanted["C"]})
            branches[name] = [node, *extra] if extra or self.rng.random() < 0.3 else node
        node = {"parallel": branches}
        if trunk:
            node["shared"], outs = self.shared(outs, names)
        if self.rng.random() < (0.6 if trunk else 0.1):
            node["own"], outs = self.own(outs, names, fuse)
        node["fuse"] = fuse
        along = {"stack": "S", "concat": "C"}.get(fuse, "")
        try:
            return node, broadcast(list(outs.values()), along=along)
        except ValueError:
            return node, wanted  # the package has to refuse it

    def common(self, outs: list[Sizes], trunk: bool) -> Sizes:
        """The sizes to which the branches are adapted."""
        first = self.rng.choice(outs)
        first = first.replace({"S": 1}) if self.rng.random() < 0.5 else first
        return first if trunk or self.rng.random() < 0.9 else outs[0].replace({"C": self.channels})

    def shared(self, outs: dict[str, Sizes], names: Names) -> tuple[list[Any], dict[str, Sizes]]:
        here = shared_trunk_sizes(list(outs.values()))
        found: list[Any] = []
        for _ in range(self.rng.choice([0, 1, 2, 2])):
            node, here = self.operators.shape_preserving(here, names)
            found.append(node)
        return found, {name: out.replace({"S": here["S"], "C": here["C"]}) for name, out in outs.items()}

    def own(self, outs: dict[str, Sizes], names: Names, fuse: str) -> tuple[dict[str, Any], dict[str, Sizes]]:
        chosen = [name for name in outs if self.rng.random() < 0.8] or list(outs)
        grown = {name: self.operators.shape_preserving(outs[name], names) for name in chosen}
        after = {name: grown[name][1] if name in grown else out for name, out in outs.items()}
        wanted = next(iter(after.values()))
        own = {}
        for name, (node, out) in grown.items():
            extra = [] if fuse in ("stack", "concat") else self.adapt(out, wanted, names, stretch=True)
            own[name] = [node, *extra] if extra else node
            after[name] = out.replace({"S": wanted["S"], "C": wanted["C"]}) if extra else out
        return own, after

    def adapt(self, here: Sizes, wanted: Sizes, names: Names, stretch: bool = False) -> list[Any]:
        """Steps that adapt S and C to the wanted sizes, and the grid to one that broadcasts; sometimes left out."""
        if self.rng.random() < 0.03:
            return []
        found: list[Any] = []
        if stretch and (axes := "".join(a for a in wanted.spatial_axes if here[a] not in (1, wanted[a]))):
            found.append({"pool": {"over": axes, "by": self.rng.choice(["mean", "max", "std"])}})
        c, s = wanted.number("C"), wanted.number("S")
        if here["S"] == s and here["C"] == c:
            return found
        if here["S"] not in (1, s):
            found.append(self.rng.choice([{"pool": {"over": "S", "by": "sum"}}, {"linear": {"mix": "S", "out": 1}}]))
        if here["S"] == s and self.rng.random() < 0.5:
            return [*found, {"linear": {"out": self.operators.size(c, names)}}]
        return [*found, {"linear": self.operators.size(c * s, names)}, *([{"stack": s}] if s > 1 else [])]


GRIDS = [{"D": 3, "H": 7, "W": 5}, {"D": 2, "H": 4, "W": 9}]


def grids(tree: Tree) -> list[dict[str, int]]:
    return [{axis: tree.fixed_sizes.get(axis, grid[axis]) for axis in tree.grid} for grid in GRIDS]
