"""From plain containers to a tree of nodes: which form each node has is read off its keys. No sizes yet."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from .errors import Refused, nearest, shown, words
from .expression import Unknown, Value
from .nodes import Broken, Chain, Config, Fork, Gated, Node, Operation, Place, Reference
from .registry import HEADER, RESERVED, SLOTS, Operator, find, operators
from .structure import APPLIES, FUSES, OWN_NAMES

MOST_NODES = 10_000
DEEPEST_REFERENCE = 20
FORMS = {"unit": (*SLOTS, "apply"), "series": ("series",), "parallel": ("parallel", "shared", "own", "fuse")}
FORM_KEYS = [key for form in FORMS.values() for key in form]
_UNKNOWN: dict[str, Value] = dict.fromkeys(RESERVED)


class Library(Protocol):
    """Where the configs behind names are."""

    def get(self, name: str, near: Config) -> Config | None:
        """The config of a name as the config `near` sees it; None where there is none."""

    def names(self, near: Config) -> list[str]:
        """All names that `near` can look up."""


@dataclass(frozen=True)
class At:
    """Where the reader is: the place, the names in force, the files from the root to here."""

    place: Place
    names: Mapping[str, Value]
    files: tuple[Config, ...]

    def __truediv__(self, name: object) -> "At":
        return replace(self, place=self.place / name)


class Grammar:
    """Reads one config, and what it refers to, into nodes; faults are gathered in `faults`, none is raised."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self.faults: list[tuple[str, str]] = []
        self._count = 0

    def read(self, config: Config) -> Node:
        """The root node of a config."""
        return self._node(config.data, At(Place(config.label), _UNKNOWN, (config,)))

    def _fault(self, at: At, text: str) -> Broken:
        self.faults.append((str(at.place), text))
        return Broken(at.place)

    def _node(self, data: Any, at: At) -> Node:
        self._count += 1
        if self._count > MOST_NODES:
            crossed = self._count == MOST_NODES + 1
            return self._fault(at, f"the config expands to more than {MOST_NODES:,} nodes") if crossed else Broken(at.place)
        match data:
            case str():
                return self._named(data, None, {}, at)
            case list() if data:
                return Chain(at.place, self._steps(data, at))
            case dict() if data:
                return self._mapping(data, at)
        return self._fault(at, f"{shown(data)} is no node; a node is a name, a list of nodes, or a mapping")

    def _steps(self, data: Any, at: At) -> tuple[tuple[str, Node], ...]:
        items = data.items() if isinstance(data, dict) else enumerate(data)
        return tuple((str(name), self._node(item, at / name)) for name, item in items)

    def _mapping(self, data: dict[str, Any], at: At) -> Node:
        header = ("let",) if at.place.path else HEADER
        keys = [key for key in data if key not in header]
        let = self._let(data.get("let"), at / "let")
        at = replace(at, names={**at.names, **dict.fromkeys(let)})
        form = next((form for form, own in FORMS.items() if any(key in own for key in keys)), None)
        if form is None:
            return self._single(data, keys, let, at)
        wrong = [self._fault(at, _misplaced(key, form, keys)) for key in keys if key not in FORMS[form]]
        if wrong:
            return wrong[0]
        return {"unit": self._unit, "series": self._series, "parallel": self._fork}[form](data, let, at)

    def _single(self, data: dict[str, Any], keys: list[str], let: Mapping[str, Any], at: At) -> Node:
        if len(keys) != 1:
            known = [*operators(), *FORM_KEYS]
            hints = "".join(nearest(key, known) for key in keys[:3] if key not in known)
            return self._fault(at, f"a node has one operator or form, and here stand {words(keys)}{hints}")
        return self._named(keys[0], data[keys[0]], let, at)

    def _let(self, let: Any, at: At) -> Mapping[str, Any]:
        if let is None:
            return {}
        if not isinstance(let, dict):
            self._fault(at, f"{shown(let)}; let is a mapping of names to numbers or expressions")
            return {}
        for name, value in let.items():
            taken = "stands for a size of the map" if name in RESERVED else "is an operator" if find(name) else ""
            if taken or not _plain(name):
                self._fault(at / name, f"{name!r} {taken or 'is no plain name'}; choose another name")
            elif not isinstance(value, str | int | float):
                self._fault(at / name, f"{shown(value)}; let holds numbers, true or false, and expressions")
        return let

    def _unit(self, data: dict[str, Any], let: Mapping[str, Any], at: At) -> Node:
        squeeze, excite, gate = (self._chain(data.get(slot, []), at / slot) for slot in SLOTS)
        apply = self._choice(data.get("apply", "multiply"), APPLIES, at / "apply")
        if not (squeeze and excite and gate and apply):
            return Broken(at.place)
        if not (squeeze.steps or excite.steps or gate.steps):
            return self._fault(at, "a unit needs a step in squeeze, excite or gate, and all three are empty")
        return Gated(at.place, squeeze, excite, gate, apply, let=let)

    def _chain(self, data: Any, at: At) -> Chain | None:
        """A slot or a trunk: always a list; None where it is at fault."""
        if isinstance(data, list):
            return Chain(at.place, self._steps(data, at))
        hint = f"; write [{data}]" if isinstance(data, str) else ""
        self._fault(at, f"{shown(data)}; {at.place.path[-1]} is a list of steps, [] for none{hint}")
        return None

    def _choice(self, word: Any, allowed: Mapping[str, Any], at: At) -> str | None:
        if isinstance(word, str) and word in allowed:
            return word
        self._fault(at, f"{shown(word)}; allowed: one of {words(allowed)}{nearest(str(word), allowed)}")
        return None

    def _series(self, data: dict[str, Any], let: Mapping[str, Any], at: At) -> Node:
        steps = data["series"]
        if not isinstance(steps, list | dict) or not steps:
            return self._fault(at / "series", f"{shown(steps)}; series is a list of steps or a mapping of named steps")
        if isinstance(steps, dict):
            self._check_names(steps, at / "series")
        return Chain(at.place, self._steps(steps, at / "series"), named=True, let=let)

    def _fork(self, data: dict[str, Any], let: Mapping[str, Any], at: At) -> Node:
        branches, own = data.get("parallel"), data.get("own", {})
        for key, value in (("parallel", branches), ("own", own)):
            if not isinstance(value, dict) or (key == "parallel" and not value):
                return self._fault(at / key, f"{shown(value)}; {key} is a mapping of names to nodes")
            self._check_names(value, at / key)
        assert branches is not None
        for name in own:
            if name not in branches:
                hint = nearest(name, branches)
                self._fault(at / "own" / name, f"no branch {name!r} in parallel; there are {words(branches)}{hint}")
        fuse = self._choice(data.get("fuse"), FUSES, at / "fuse")
        shared = self._chain(data["shared"], at / "shared") if "shared" in data else None
        nodes, finish = self._steps(branches, at / "parallel"), self._steps(own, at / "own")
        if fuse is None or ("shared" in data and shared is None):
            return Broken(at.place)
        return Fork(at.place, nodes, shared, finish, fuse, let=let)

    def _check_names(self, data: Mapping[str, Any], at: At) -> None:
        for name in data:
            if name in OWN_NAMES or not _plain(name):
                why = "belongs to torch.nn.Module" if name in OWN_NAMES else "is no plain name"
                self._fault(at / name, f"the name {name!r} {why}; choose another")

    def _named(self, name: str, given: Any, let: Mapping[str, Any], at: At) -> Node:
        """An operator, or another config, by name."""
        found, config = find(name), self.library.get(name, at.files[-1])
        if (found is not None) + (config is not None) + (name in at.names) > 1:
            return self._fault(at, f"{name!r} is an operator, a config or a name of let at once; rename one of them")
        if found:
            return self._operation(found, given, let, at)
        if config is None:
            known = [*operators(), *self.library.names(at.files[-1]), *(FORM_KEYS if given is not None else [])]
            return self._fault(at, f"no operator or config named {shown(name)}{nearest(name, known)}")
        return self._reference(name, config, given, let, at)

    def _operation(self, found: Operator, given: Any, let: Mapping[str, Any], at: At) -> Node:
        try:
            arguments = found.arguments(given)
        except Refused as refused:
            return self._fault(at, str(refused))
        faults = []
        for schema in found.parameters:
            try:
                if schema.name in arguments:
                    schema.read(arguments[schema.name], at.names)
            except Unknown:
                continue  # rests on sizes or on let: read again when they are known
            except Refused as refused:
                faults.append(self._fault(at, f"{found.name}: {refused}"))
        return faults[0] if faults else Operation(at.place, found, arguments, let=let)

    def _reference(self, name: str, config: Config, given: Any, let: Mapping[str, Any], at: At) -> Node:
        same = [file for file in at.files if (file.label, file.folder) == (config.label, config.folder)]
        if same or len(at.files) > DEEPEST_REFERENCE:
            chain = " -> ".join(file.label for file in (*at.files, config))
            return self._fault(at, f"{name!r} includes itself: {chain}")
        if not isinstance(given, dict | None):
            return self._fault(at, f"{name}: {shown(given)}; a config takes names of its let: {words(config.let)}")
        for key in given or {}:
            if key not in config.let:
                hint = nearest(key, config.let)
                self._fault(at, f"{name} has no {key!r} in its let; there are {words(config.let)}{hint}")
        inside = At(Place(config.label, used_at=at.place), _UNKNOWN, (*at.files, config))
        return Reference(at.place, self._node(config.data, inside), given or {}, let=let)


def _plain(name: str) -> bool:
    return re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) is not None


def _misplaced(key: str, form: str, keys: list[str]) -> str:
    here = next(other for other in keys if other in FORMS[form])
    if key in SLOTS:
        return f"the slot {key!r} cannot stand beside {here!r}; say which step has it: {key}@{here}.NAME=..."
    allowed = [other for other in FORMS[form] if other not in keys]
    return f"{key!r} cannot stand beside {here!r}; allowed there: {words(allowed)}{nearest(key, allowed)}"
