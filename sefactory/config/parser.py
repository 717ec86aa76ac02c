"""From plain containers to a tree of nodes: which form each node has is read off its keys. No sizes yet."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from ..errors import ConfigError, InvalidValue, did_you_mean, join_words, short_repr
from .expressions import UnresolvedName, Value
from .header import header_faults
from .names import FORM_KEYS, FORM_OF, FORMS, meant, misplaced, plain, taken, unfit
from .registry import APPLY_MODES, FUSE_MODES, HEADER_KEYS, RESERVED_NAMES, SLOTS, Operator, find_operator, operators
from .syntax_tree import Config, ErrorNode, Node, OpNode, ParallelNode, ReferenceNode, SequenceNode, SourceLocation, UnitNode

MAX_NODES = 10_000
MAX_FAULTS = 100
MAX_DEPTH = 80
"""Names of a path, those of the files that use it included."""
NAMED = ("series", "parallel", "own")
LET_HOLDS = "let holds numbers, true or false, expressions, and nodes"


class ConfigLookup(Protocol):
    """Where the configs behind names are."""

    def get(self, name: str, near: Config) -> Config | None:
        """The config of a name as the config `near` sees it; None where there is none."""

    def names(self, near: Config) -> list[str]:
        """All names that `near` can look up."""


class ParseContext(NamedTuple):
    """Where the reader is: the place, the names in force, the files from the root to here."""

    location: SourceLocation
    names: Mapping[str, Value]
    files: tuple[Config, ...]
    nodes: Mapping[str, Any] = MappingProxyType({})
    """What the names of `let` that stand for nodes hold."""

    def __truediv__(self, name: object) -> "ParseContext":
        return ParseContext(self.location / name, self.names, self.files, self.nodes)


class Parser:
    """Reads one config, and what it refers to, into nodes; faults are gathered in `faults`, none is raised."""

    def __init__(self, library: ConfigLookup, axes: str = "CHW") -> None:
        self.library = library
        self.sizes: dict[str, Value] = dict.fromkeys(axes)
        self.faults: list[tuple[str, str]] = []
        self._count = 0

    def read(self, config: Config) -> Node:
        """The root node of a config."""
        return self._node(config.data, ParseContext(SourceLocation(config.label), self.sizes, (config,)))

    @property
    def overflows(self) -> bool:
        """Whether reading stopped at the greatest number of nodes: what was read until then is not worth making."""
        return self._count > MAX_NODES

    def _fault(self, at: ParseContext, text: str) -> ErrorNode:
        self.faults.append((str(at.location), text))
        return ErrorNode(at.location)

    def _node(self, data: Any, at: ParseContext) -> Node:
        self._count += 1
        if self._count > MAX_NODES or len(self.faults) > MAX_FAULTS:
            crossed = self._count == MAX_NODES + 1
            return (
                self._fault(at, f"the config expands to more than {MAX_NODES:,} nodes") if crossed else ErrorNode(at.location)
            )
        if at.location.depth > MAX_DEPTH:
            return self._fault(at, f"configs nest deeper than {MAX_DEPTH} names of a path")
        match data:
            case str():
                return self._named(data, None, {}, at)
            case list() if data:
                return SequenceNode(at.location, self._steps(data, at))
            case dict() if data:
                return self._mapping(data, at)
        return self._fault(at, f"{short_repr(data)} is no node; a node is a name, a list of nodes, or a mapping")

    def _steps(self, data: Any, at: ParseContext) -> tuple[tuple[str, Node], ...]:
        items = data.items() if isinstance(data, dict) else enumerate(data)
        return tuple((str(name), self._step(name, item, at / name)) for name, item in items)

    def _step(self, name: str | int, data: Any, at: ParseContext) -> Node:
        """A node at its name, or at its number in a list."""
        node = self._node(data, at)
        why = unfit(name) if isinstance(name, str) else ""
        return self._fault(at, f"the name {name!r} {why}; choose another") if why else node

    def _mapping(self, data: dict[str, Any], at: ParseContext) -> Node:
        if not at.location.path:
            self.faults += [(str(at.location / key), text) for key, text in header_faults(data)]
        header = ("let",) if at.location.path else HEADER_KEYS
        keys = [key for key in data if key not in header]
        let, nodes = self._let(data["let"], at / "let") if data.get("let") is not None else ({}, {})
        if let or nodes:
            names: dict[str, Value] = {**at.names, **dict.fromkeys(let), **dict.fromkeys(nodes, ...)}
            at = at._replace(names=names, nodes={**{n: at.nodes[n] for n in at.nodes if n not in let}, **nodes})
        forms = {FORM_OF[key] for key in keys if key in FORM_OF}
        form = next((form for form in ("series", "parallel") if form in keys), next((f for f in FORMS if f in forms), None))
        if form is None:
            return self._single(data, keys, let, at)
        wrong = [self._fault(at, misplaced(key, form, keys)) for key in keys if key not in FORMS[form]]
        if wrong:
            self._look_below(data, at)
            return wrong[0]
        return {"unit": self._unit, "series": self._series, "parallel": self._fork}[form](data, let, at)

    def _look_below(self, data: dict[str, Any], at: ParseContext) -> None:
        """Notes the faults below a node that is at fault itself."""
        for key, value in data.items():
            if (key in (*SLOTS, "shared") and isinstance(value, list)) or (key in NAMED and isinstance(value, dict)):
                self._steps(value, at / key)

    def _single(self, data: dict[str, Any], keys: list[str], let: Mapping[str, Any], at: ParseContext) -> Node:
        if len(keys) == 1:
            return self._named(keys[0], data[keys[0]], let, at)
        if not keys:
            return self._fault(at, f"there is nothing to build beside {join_words(data)}")
        strange = [key for key in keys if find_operator(key) is None]
        faults = [self._fault(at, f"no slot or operator {key!r}{meant(key, at.names)}") for key in strange]
        text = f"{join_words(keys)} stand in one mapping; a node has one operator, so make each a step of a list"
        return faults[0] if faults else self._fault(at, text)

    def _let(self, let: Any, at: ParseContext) -> tuple[dict[str, Any], dict[str, Any]]:
        """The names that stand for numbers, and those that stand for nodes."""
        if not isinstance(let, dict | None):
            self._fault(at, f"{short_repr(let)}; let is a mapping of names to numbers or expressions")
            return {}, {}
        sound = dict[str, Any]()
        for name, value in (let or {}).items():
            if why := taken(name):
                self._fault(at / name, f"the name {name!r} {why}; choose another")
            elif value is None:
                self._fault(at / name, f"null; {LET_HOLDS}")
            if name not in RESERVED_NAMES and plain(name):
                sound[name] = value
        nodes = {name: value for name, value in sound.items() if self._is_node(value, at)}
        return {name: value for name, value in sound.items() if name not in nodes}, nodes

    def _is_node(self, value: Any, at: ParseContext) -> bool:
        """Whether a value of `let` is a node: a list, a mapping, or the name of an operator or a config."""
        if not isinstance(value, str):
            return isinstance(value, list | dict)
        try:
            return find_operator(value) is not None or self.library.get(value, at.files[-1]) is not None
        except ConfigError:
            return True  # a file at fault, which says so where it is used

    def _unit(self, data: dict[str, Any], let: Mapping[str, Any], at: ParseContext) -> Node:
        squeeze, excite, gate = (self._chain(data.get(slot, []), at / slot) for slot in SLOTS)
        apply = self._choice(data.get("apply", "multiply"), APPLY_MODES, at / "apply")
        if not (squeeze and excite and gate and apply):
            return ErrorNode(at.location)
        if not (squeeze.steps or excite.steps or gate.steps):
            return self._fault(at, "a unit needs a step in squeeze, excite or gate, and all three are empty")
        return UnitNode(at.location, squeeze, excite, gate, apply, let=let)

    def _chain(self, data: Any, at: ParseContext) -> SequenceNode | None:
        """A slot or a trunk: always a list; None where it is at fault."""
        if isinstance(data, list):
            return SequenceNode(at.location, self._steps(data, at))
        hint = f"; write [{data}]" if isinstance(data, str) else "; put it in brackets" if data else ", [] for none"
        self._fault(at, f"{short_repr(data)}; {at.location.path[-1]} is a list of steps{hint}")
        return None

    def _choice(self, word: Any, allowed: tuple[str, ...], at: ParseContext) -> str | None:
        if isinstance(word, str) and word in allowed:
            return word
        self._fault(at, f"{short_repr(word)}; allowed: one of {join_words(allowed)}{did_you_mean(str(word), allowed)}")
        return None

    def _series(self, data: dict[str, Any], let: Mapping[str, Any], at: ParseContext) -> Node:
        steps = data["series"]
        if not isinstance(steps, list | dict) or not steps:
            return self._fault(at / "series", f"{short_repr(steps)}; series is a list of steps or a mapping of named steps")
        return SequenceNode(at.location, self._steps(steps, at / "series"), is_named=True, let=let)

    def _fork(self, data: dict[str, Any], let: Mapping[str, Any], at: ParseContext) -> Node:
        missing = [key for key in ("parallel", "fuse") if key not in data]
        for key in missing:
            allowed = "a mapping of names to nodes" if key == "parallel" else f"one of {join_words(FUSE_MODES)}"
            self._fault(at, f"{key} is missing; it is {allowed}")
        branches, own = (self._branches(data.get(key, {}), at / key) for key in ("parallel", "own"))
        fuse = self._choice(data["fuse"], FUSE_MODES, at / "fuse") if "fuse" in data else None
        shared = self._chain(data["shared"], at / "shared") if "shared" in data else None
        if branches == () and not missing:
            self._fault(at / "parallel", "{}; parallel is a mapping of names to nodes, at least one")
        if missing or not branches or own is None or fuse is None or ("shared" in data and shared is None):
            return ErrorNode(at.location)
        names = [name for name, _ in branches]
        for name, _ in own:
            if name not in names:
                text = f"no branch {name!r} in parallel; there are {join_words(names)}{did_you_mean(name, names)}"
                self._fault(at / "own" / name, text)
        return ParallelNode(at.location, branches, shared, own, fuse, let=let)

    def _branches(self, data: Any, at: ParseContext) -> tuple[tuple[str, Node], ...] | None:
        """Nodes by name; None where it is at fault."""
        if isinstance(data, dict):
            return self._steps(data, at)
        self._fault(at, f"{short_repr(data)}; {at.location.path[-1]} is a mapping of names to nodes")
        return None

    def _named(self, name: str, given: Any, let: Mapping[str, Any], at: ParseContext) -> Node:
        """An operator, or another config, by name."""
        found = find_operator(name)
        if name in at.nodes and found is None:
            return self._let_node(name, given, let, at)
        if at.names.get(name) is ... and found is None:
            return self._fault(at, f"{name!r} of let rests on itself")
        try:
            config = self.library.get(name, at.files[-1])
        except ConfigError as error:
            self.faults += [(f"{path} (used at {at.location})", text) for path, text in error.faults]
            return ErrorNode(at.location)
        if config and (found or name in at.names):
            other = "an operator" if found else "a name of let"
            return self._fault(at, f"{name!r} is {other} and a config ({config.label}) at once; rename one of them")
        if found:
            return self._operation(found, given, let, at)
        if config is None:
            known = [*operators(), *self.library.names(at.files[-1]), *(FORM_KEYS if given is not None else [])]
            step = at.location.path[-1] if at.location.path else ""
            names = (
                f"; the keys here are names of steps: write a list, or step: {{{step}: {name}}}" if find_operator(step) else ""
            )
            return self._fault(at, f"no operator or config named {short_repr(name)}{names or meant(name, at.names, known)}")
        return self._reference(name, config, given, let, at)

    def _fits(self, name: str, key: str, value: Any, config: Config, at: ParseContext, inside: ParseContext) -> bool:
        """Whether a parameter of a config is of its let, and a node where that holds a node."""
        if key not in config.let:
            takes = f"its let has {join_words(config.let)}" if config.let else "it has no let"
            self._fault(at, f"the config {name!r} has no parameter {key!r}; {takes}{did_you_mean(key, config.let)}")
            return False
        node = self._is_node(config.let[key], inside)
        if value is None or self._is_node(value, at) != node:
            wanted = "a node" if node else "a number or an expression"
            self._fault(at, f"the config {name!r}: {key} is {short_repr(value)}; it stands for {wanted} there")
            return False
        return True

    def _let_node(self, name: str, given: Any, let: Mapping[str, Any], at: ParseContext) -> Node:
        """The node behind a name of `let`, read where it is used."""
        if given is not None or let:
            return self._fault(at, f"{name!r} is a node of let and takes no parameters")
        if self.library.get(name, at.files[-1]):
            return self._fault(at, f"{name!r} is a name of let and a config at once; rename one of them")
        inside = at._replace(nodes={other: node for other, node in at.nodes.items() if other != name})
        return self._node(at.nodes[name], inside)

    def _operation(self, found: Operator, given: Any, let: Mapping[str, Any], at: ParseContext) -> Node:
        try:
            arguments = found.arguments(given)
        except InvalidValue as refused:
            return self._fault(at, str(refused))
        faults = [self._fault(at, complaint) for complaint in found.check_names(arguments)]
        for schema in found.parameters:
            try:
                if schema.name in arguments:
                    schema.read(arguments[schema.name], at.names)
            except UnresolvedName:
                continue  # rests on sizes or on let: read again when they are known
            except InvalidValue as refused:
                faults.append(self._fault(at, f"{found.name}: {refused}"))
        return faults[0] if faults else OpNode(at.location, found, arguments, let=let)

    def _reference(self, name: str, config: Config, given: Any, let: Mapping[str, Any], at: ParseContext) -> Node:
        files = [(file.label, file.folder) for file in (*at.files, config)]
        if files[-1] in files[:-1]:
            chain = " -> ".join(label for label, _ in files[files.index(files[-1]) :])
            return self._fault(at, f"{name!r} includes itself: {chain}")
        takes = f"its let has {join_words(config.let)}" if config.let else "it has no let"
        if not isinstance(given, dict | None):
            return self._fault(
                at, f"the config {name!r} takes a mapping of parameters, and is given {short_repr(given)}; {takes}"
            )
        inside = ParseContext(SourceLocation(config.label, used_at=at.location), self.sizes, (*at.files, config))
        sound = {key: value for key, value in (given or {}).items() if self._fits(name, key, value, config, at, inside)}
        nodes = {key: value for key, value in sound.items() if self._is_node(value, at)}
        numbers = {key: sound.get(key) for key in given or {} if key not in nodes}
        data = {**config.data, "let": {**config.let, **nodes}} if nodes else config.data
        return ReferenceNode(at.location, self._node(data, inside), numbers, let=let)
