"""Parses the data of a config (strings, lists, mappings) to a syntax tree. The keys of a mapping decide its node type."""

from collections.abc import Mapping
from typing import Any

from ..errors import ConfigError, InvalidValue, choice_message, did_you_mean, join_words, short_repr
from .expressions import LetNode, UnresolvedName, Value
from .names import describe_let, form_of, header_faults, key_fault, let_fault, step_name_fault, suggest
from .parse_context import ParseContext
from .registry import APPLY_MODES, FORM_KEYS, FORMS, FUSE_MODES, HEADER_KEYS, SLOTS, Operator, find_operator, operators
from .repository import ConfigRepository
from .syntax_tree import Config, ErrorNode, Node, OpNode, ParallelNode, ReferenceNode, SequenceNode, SourceLocation, UnitNode

MAX_NODES = 10_000
MAX_FAULTS = 100
MAX_DEPTH = 80
"""The largest number of names in a path, including the paths of the configs that refer to this one."""

Let = Mapping[str, Any]
NamedNodes = tuple[tuple[str, Node], ...]


class Parser:
    """Parses one config and the configs that it refers to. Errors in a config are collected in `faults`, not raised."""

    def __init__(self, repository: ConfigRepository, axes: str = "CHW") -> None:
        self.repository = repository
        self.sizes: dict[str, Value] = dict.fromkeys(axes)
        self.faults: list[tuple[str, str]] = []
        self._count = 0

    def parse(self, config: Config) -> Node:
        """Returns the root node of a config. A node with an error becomes an ErrorNode.

        Raises ConfigError for more than 10,000 nodes or more than 100 errors.
        """
        return self._node(config.data, ParseContext(SourceLocation(config.label), self.sizes, (config,), self.repository))

    def _fault(self, context: ParseContext, text: str) -> ErrorNode:
        self.faults.append((str(context.location), text))
        return ErrorNode(context.location)

    def _node(self, data: Any, context: ParseContext) -> Node:
        """Returns the node that `data` describes; raises ConfigError above MAX_NODES or MAX_FAULTS."""
        self._count += 1
        if self._count > MAX_NODES:
            self._fault(context, f"the config expands to more than {MAX_NODES:,} nodes")
        if self._count > MAX_NODES or len(self.faults) > MAX_FAULTS:
            raise ConfigError(dict.fromkeys(self.faults))
        if context.location.depth > MAX_DEPTH:
            return self._fault(
                context, f"nested deeper than {MAX_DEPTH} levels, including the levels of the configs that use this one"
            )
        match data:
            case str():
                return self._name(data, None, {}, context)
            case list() if data:
                return SequenceNode(context.location, self._steps(data, context))
            case dict() if data:
                return self._mapping(data, context)
        return self._fault(context, f"{short_repr(data)} is not a node; a node is a name, a list of nodes, or a mapping")

    def _steps(self, data: Any, context: ParseContext) -> NamedNodes:
        """Returns (name, node) for each item of a mapping, or (index, node) for each item of a list."""
        items = data.items() if isinstance(data, dict) else enumerate(data)
        return tuple((str(name), self._step(name, item, context / name)) for name, item in items)

    def _step(self, name: str | int, data: Any, context: ParseContext) -> Node:
        node = self._node(data, context)
        fault = step_name_fault(name) if isinstance(name, str) else ""
        return self._fault(context, f"the name {name!r} {fault}; choose another") if fault else node

    def _mapping(self, data: dict[str, Any], context: ParseContext) -> Node:
        """Returns the node of a mapping: a unit, a series, a parallel, or a name with arguments. Its keys decide which."""
        is_root = not context.location.path
        if is_root:
            self.faults += [(str(context.location / key), text) for key, text in header_faults(data)]
        keys = [key for key in data if key not in (HEADER_KEYS if is_root else ("let",))]
        let, nodes = self._let(data.get("let"), context / "let")
        context = context.define(let, nodes)
        form = form_of(keys)
        if form is None:
            return self._single(data, keys, let, context)
        wrong = [self._fault(context, key_fault(key, form, keys)) for key in keys if key not in FORMS[form]]
        if wrong:
            self._parse_values(data, context)
            return wrong[0]
        return {"unit": self._unit, "series": self._series, "parallel": self._parallel}[form](data, let, context)

    def _parse_values(self, data: dict[str, Any], context: ParseContext) -> None:
        """Collects the errors in the values of a mapping whose keys are invalid."""
        for key, value in data.items():
            is_steps = key in (*SLOTS, "shared") and isinstance(value, list)
            if is_steps or (key in ("series", "parallel", "own") and isinstance(value, dict)):
                self._steps(value, context / key)

    def _single(self, data: dict[str, Any], keys: list[str], let: Let, context: ParseContext) -> Node:
        """Returns the node of a mapping `{name: arguments}`."""
        if len(keys) == 1:
            return self._name(keys[0], data[keys[0]], let, context)
        if not keys:
            return self._fault(context, f"there is nothing to build, only {join_words(data)}")
        unknown = [key for key in keys if find_operator(key) is None]
        faults = [self._fault(context, f"no slot or operator {key!r}{suggest(key, context.names)}") for key in unknown]
        text = f"{join_words(keys)} are in one mapping; a node has one operator, so write each as a step of a list"
        return faults[0] if faults else self._fault(context, text)

    def _let(self, let: Any, context: ParseContext) -> tuple[dict[str, Any], dict[str, Any]]:
        """Returns the entries of `let` as two mappings: numbers and expressions, and nodes."""
        if not isinstance(let, dict | None):
            self._fault(context, f"{short_repr(let)}; let is a mapping of names to numbers or expressions")
            return {}, {}
        let = let or {}
        faults = {name: let_fault(name, value) for name, value in let.items()}
        self.faults += [(str(context.location / name), fault) for name, fault in faults.items() if fault]
        return context.split_let(let)

    def _unit(self, data: dict[str, Any], let: Let, context: ParseContext) -> Node:
        squeeze, excite, gate = (self._sequence(data.get(slot, []), context / slot) for slot in SLOTS)
        apply = self._choice(data.get("apply", "multiply"), APPLY_MODES, context / "apply")
        if not (squeeze and excite and gate and apply):
            return ErrorNode(context.location)
        if not (squeeze.steps or excite.steps or gate.steps):
            return self._fault(context, "a unit needs a step in squeeze, excite or gate, and all three are empty")
        return UnitNode(context.location, squeeze, excite, gate, apply, let=let)

    def _sequence(self, data: Any, context: ParseContext) -> SequenceNode | None:
        """Returns the node of a slot or of `shared`; None, with an error, if the data is not a list."""
        if isinstance(data, list):
            return SequenceNode(context.location, self._steps(data, context))
        hint = f"; write [{data}]" if isinstance(data, str) else "; put it in brackets" if data else ", [] for none"
        self._fault(context, f"{short_repr(data)}; {context.location.path[-1]} is a list of steps{hint}")
        return None

    def _choice(self, word: Any, allowed: tuple[str, ...], context: ParseContext) -> str | None:
        if isinstance(word, str) and word in allowed:
            return word
        self._fault(context, choice_message(word, allowed))
        return None

    def _series(self, data: dict[str, Any], let: Let, context: ParseContext) -> Node:
        steps, inside = data["series"], context / "series"
        if not isinstance(steps, list | dict) or not steps:
            return self._fault(inside, f"{short_repr(steps)}; series is a list of steps or a mapping of named steps")
        return SequenceNode(context.location, self._steps(steps, inside), is_named=True, let=let)

    def _parallel(self, data: dict[str, Any], let: Let, context: ParseContext) -> Node:
        """Returns the node of a `parallel`: its branches, the steps of `shared` and `own`, and `fuse`."""
        required = {"parallel": "a mapping of names to nodes", "fuse": f"one of {join_words(FUSE_MODES)}"}
        missing = [f"{key} is missing; allowed: {allowed}" for key, allowed in required.items() if key not in data]
        self.faults += [(str(context.location), text) for text in missing]
        branches, heads = (self._branches(data.get(key, {}), context / key) for key in ("parallel", "own"))
        fuse = self._choice(data["fuse"], FUSE_MODES, context / "fuse") if "fuse" in data else None
        shared = self._sequence(data["shared"], context / "shared") if "shared" in data else None
        if branches == () and not missing:
            self._fault(context / "parallel", "{}; parallel is a mapping of names to nodes, at least one")
        if missing or not branches or heads is None or fuse is None or ("shared" in data and shared is None):
            return ErrorNode(context.location)
        names = [name for name, _ in branches]
        for name, _ in heads:
            if name not in names:
                text = f"no branch {name!r} in parallel; there are {join_words(names)}{did_you_mean(name, names)}"
                self._fault(context / "own" / name, text)
        return ParallelNode(context.location, branches, shared, heads, fuse, let=let)

    def _branches(self, data: Any, context: ParseContext) -> NamedNodes | None:
        if isinstance(data, dict):
            return self._steps(data, context)
        self._fault(context, f"{short_repr(data)}; {context.location.path[-1]} is a mapping of names to nodes")
        return None

    def _name(self, name: str, given: Any, let: Let, context: ParseContext) -> Node:
        """Returns the node that a name refers to: an operator, a node of `let`, or another config."""
        op, folder = find_operator(name), context.folder
        if name in context.let_nodes and op is None:
            return self._let_node(name, given, let, context)
        if context.names.get(name) is LetNode.NODE and op is None:
            return self._fault(context, f"{name!r} of let refers to itself")
        try:
            config = self.repository.get(name, folder)
        except ConfigError as error:
            self.faults += [(f"{path} (used at {context.location})", text) for path, text in error.faults]
            return ErrorNode(context.location)
        if config and (op or name in context.names):
            kind = "an operator" if op else "a name of let"
            return self._fault(context, f"{name!r} is {kind} and a config ({config.label}) at once; rename one of them")
        if op:
            return self._operator(op, given, let, context)
        if config:
            return self._reference(name, config, given, let, context)
        known = [*operators(), *self.repository.list_names(beside=folder), *(FORM_KEYS if given is not None else [])]
        key = context.location.path[-1] if context.location.path else ""
        hint = suggest(name, context.names, known)
        if find_operator(key):
            hint = f"; the keys here are names of steps: write a list, or step: {{{key}: {name}}}"
        return self._fault(context, f"no operator or config named {short_repr(name)}{hint}")

    def _let_node(self, name: str, given: Any, let: Let, context: ParseContext) -> Node:
        """Returns the node that `let` defines under a name."""
        if given is not None or let:
            return self._fault(context, f"{name!r} is a node of let and takes no parameters")
        if self.repository.find(name, beside=context.folder):
            return self._fault(context, f"{name!r} is a name of let and a config at once; rename one of them")
        return self._node(context.let_nodes[name], context.hide_node(name))

    def _operator(self, op: Operator, given: Any, let: Let, context: ParseContext) -> Node:
        """Returns the node of an operator, or an ErrorNode if an argument is invalid; unknown values are checked later."""
        try:
            arguments = op.arguments(given)
        except InvalidValue as error:
            return self._fault(context, str(error))
        faults = [self._fault(context, text) for text in op.check_names(arguments)]
        for schema in op.parameters:
            try:
                if schema.name in arguments:
                    schema.read(arguments[schema.name], context.names)
            except UnresolvedName:
                continue  # it depends on sizes or on `let`; the builder checks it when they are known
            except InvalidValue as error:
                faults.append(self._fault(context, f"{op.name}: {error}"))
        return faults[0] if faults else OpNode(context.location, op, arguments, let=let)

    def _reference(self, name: str, config: Config, given: Any, let: Let, context: ParseContext) -> Node:
        """Returns the node of another config; the given parameters replace entries of its `let`."""
        files = [(file.label, file.folder) for file in (*context.files, config)]
        if files[-1] in files[:-1]:
            chain = " -> ".join(label for label, _ in files[files.index(files[-1]) :])
            return self._fault(context, f"{name!r} includes itself: {chain}")
        if not isinstance(given, dict | None):
            text = f"the config {name!r} takes a mapping of parameters, got {short_repr(given)}; {describe_let(config.let)}"
            return self._fault(context, text)
        inside = context.enter_config(config, self.sizes)
        values, nodes = dict[str, Any](), dict[str, Any]()
        for key, value in (given or {}).items():
            if fault := inside.parameter_fault(key, value, context):
                self._fault(context, f"the config {name!r}{fault}")
                values[key] = None
            elif context.is_node(value):
                nodes[key] = value
            else:
                values[key] = value
        data = {**config.data, "let": {**config.let, **nodes}} if nodes else config.data
        return ReferenceNode(context.location, self._node(data, inside), values, let=let)
