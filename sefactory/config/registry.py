"""Operators by name. An operator is `make(sizes, **parameters) -> nn.Module`; its annotations are what a config may write."""

import inspect
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, get_type_hints

from ..errors import InvalidValue, closest_match, did_you_mean, join_words, short_repr
from ..shapes import Sizes
from .schema import Schema

SLOTS = ("squeeze", "excite", "gate")
HEADER_KEYS = ("paper", "let", "official", "defaults")
KEYWORDS = (*SLOTS, "apply", "series", "parallel", "shared", "own", "fuse", *HEADER_KEYS)
RESERVED_NAMES = ("C", "H", "W")
APPLY_MODES = ("multiply", "add", "subtract", "divide", "scale_shift")
FUSE_MODES = ("sum", "mean", "product", "max", "min", "difference", "stack", "concat")

if TYPE_CHECKING:
    from torch import nn

Given = ParamSpec("Given")
Module = TypeVar("Module", bound="nn.Module")


@dataclass(frozen=True)
class Operator:
    """A registered operator: its name, how it is made, and its parameters, the principal one first."""

    name: str
    make: "Callable[..., nn.Module]"
    parameters: tuple[Schema, ...]

    @cached_property
    def is_builtin(self) -> bool:
        """True for an operator of the package, False for one that a user registered."""
        return str(self.make.__module__).startswith("sefactory.operators.")

    @cached_property
    def schemas(self) -> dict[str, Schema]:
        """The parameters by their names."""
        return {parameter.name: parameter for parameter in self.parameters}

    @cached_property
    def required(self) -> list[str]:
        """The names of those that have to be given."""
        return [parameter.name for parameter in self.parameters if parameter.required]

    def arguments(self, given: Any) -> dict[str, Any]:
        """What a config wrote behind the name, as a mapping: one bare value is for the principal parameter.

        Raises InvalidValue where there is none.
        """
        if isinstance(given, Mapping):
            return dict(given)
        if given is not None and not self.parameters:
            raise InvalidValue(f"{self.name} takes no parameters, and is given {short_repr(given)}")
        return {} if given is None else {self.parameters[0].name: given}

    def check_names(self, given: Collection[str]) -> list[str]:
        """What is wrong with the names of given parameters: those that do not exist, and those that are missing."""
        names = self.schemas
        if names.keys() >= set(given) and all(name in given for name in self.required):
            return []
        takes = f"it takes {join_words(names)}" if names else "it takes none"
        wrong = [name for name in given if name not in names]
        meant = {closest_match(name, names) for name in wrong}
        return [
            *(f"{self.name} has no parameter {name!r}; {takes}{_cut_off(name) or did_you_mean(name, names)}" for name in wrong),
            *(
                f"{self.name} needs {name}, {parameter.allowed_values}"
                for name, parameter in names.items()
                if parameter.required and name not in given and name not in meant
            ),
        ]


def _cut_off(name: str) -> str:
    """The hint for what is the rest of an expression: in braces YAML cuts at a comma."""
    return "; quote an expression that has a comma" if name.count(")") > name.count("(") else ""


_OPERATORS: dict[str, Operator] = {}
_ATTRIBUTES: set[str] = set()


def operators() -> list[str]:
    """The names of all registered operators, sorted."""
    return sorted(_OPERATORS)


def find_operator(name: str) -> Operator | None:
    """The operator of that name, if there is one."""
    return _OPERATORS.get(name)


def reserve_attributes(names: Iterable[str]) -> None:
    """Adds names that no branch or step may have, because the modules that are built have attributes of these names."""
    _ATTRIBUTES.update(names)


def is_module_attribute(name: str) -> bool:
    """True if the modules that are built have an attribute of this name."""
    return name in _ATTRIBUTES


def operator(name: str) -> Callable[[Callable[Given, Module]], Callable[Given, Module]]:
    """Registers `make(sizes, parameter: type = default, ...) -> nn.Module` under a short name.

    The module maps x_BSCHW to y_BSCHW; where it changes a size it says so in `module.sizes`. Parameters annotated as Axes
    arrive as letters, also where `grid` was written or is the default. `make` raises ValueError to refuse sizes or
    parameters. Raises ValueError for a name that is a keyword of the grammar, taken, or not a plain word.
    """

    def register(make: Callable[Given, Module]) -> Callable[Given, Module]:
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or name in KEYWORDS:
            raise ValueError(f"an operator cannot be named {name!r}: it must match [a-z][a-z0-9_]* and be no keyword")
        taken = _OPERATORS.get(name)
        if taken and (taken.make.__module__, taken.make.__qualname__) != (make.__module__, make.__qualname__):
            raise ValueError(f"operator {name!r} is already registered by {taken.make.__module__}")
        parameters = _parameters(name, make)
        made = _lettered(make, [schema.name for schema in parameters if schema.is_axes])
        _OPERATORS[name] = Operator(name, made, parameters)
        return made

    return register


def _lettered(make: Callable[Given, Module], names: list[str]) -> Callable[Given, Module]:
    """`make` with the axes of these parameters as letters."""
    if not names:
        return make
    signature = inspect.signature(make)
    written = {name: p.default for name in names if (p := signature.parameters[name]).default is not p.empty}

    @wraps(make)
    def made(*args: Given.args, **given: Given.kwargs) -> Module:
        arguments: dict[str, Any] = given
        sizes: Any = args[0] if args else None
        if len(args) != 1:
            (_, sizes), *rest = signature.bind(*args, **given).arguments.items()
            arguments = dict(rest)
        found = {name: arguments.get(name, written.get(name)) for name in names}
        letters = {name: _letters(name, text, sizes) for name, text in found.items() if text is not None}
        return make(sizes, **{**arguments, **letters})

    return made


def _letters(name: str, text: str, sizes: Sizes) -> str:
    try:
        return sizes.expand_axes(text)
    except InvalidValue as refused:
        raise InvalidValue(f"{name} is {refused}") from None


def _parameters(name: str, make: "Callable[..., nn.Module]") -> tuple[Schema, ...]:
    """The parameters of `make` behind `sizes`, as schemas."""
    signature = list(inspect.signature(make).parameters.values())
    hints = get_type_hints(make, include_extras=True)
    if not signature or hints.get(signature[0].name) is not Sizes:
        raise ValueError(f"operator {name!r}: the first parameter must be `sizes: Sizes`")
    schemas = []
    for parameter in signature[1:]:
        if parameter.kind is not parameter.POSITIONAL_OR_KEYWORD or parameter.name not in hints:
            raise ValueError(f"operator {name!r}: parameter {parameter.name!r} needs a name of its own and an annotation")
        required = parameter.default is parameter.empty
        default = None if required else parameter.default
        schemas.append(Schema(parameter.name, hints[parameter.name], default, required))
    return tuple(schemas)
