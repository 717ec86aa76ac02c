"""The registry of operators. An operator is a factory function `make(sizes, **parameters) -> nn.Module`.

The annotations of its parameters say what a config may write.
"""

import inspect
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property, wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, get_type_hints

from ..errors import InvalidValue, closest_match, did_you_mean, join_words, short_repr
from ..shapes import Sizes

SLOTS = ("squeeze", "excite", "gate")
HEADER_KEYS = ("paper", "let", "official", "defaults")
FORMS = {"unit": (*SLOTS, "apply"), "series": ("series",), "parallel": ("parallel", "shared", "own", "fuse")}
"""The three forms of a mapping, and their keys."""
FORM_KEYS = [key for keys in FORMS.values() for key in keys]
KEYWORDS = (*FORM_KEYS, *HEADER_KEYS)
RESERVED_NAMES = ("C", "H", "W")
APPLY_MODES = ("multiply", "add", "subtract", "divide", "scale_shift")
FUSE_MODES = ("sum", "mean", "product", "max", "min", "difference", "stack", "concat")

if TYPE_CHECKING:
    from torch import nn

    from .schema import Schema

P = ParamSpec("P")
Module = TypeVar("Module", bound="nn.Module")


@dataclass(frozen=True)
class Operator:
    """A registered operator: its name, its factory function, and its parameters, the principal one first."""

    name: str
    make: "Callable[..., nn.Module]"
    parameters: "tuple[Schema, ...]"

    @cached_property
    def schemas(self) -> "dict[str, Schema]":
        """The parameters by name."""
        return {schema.name: schema for schema in self.parameters}

    def arguments(self, given: Any) -> dict[str, Any]:
        """Returns what a config writes after the name as a mapping. A bare value is the principal parameter.

        Raises InvalidValue for a bare value if the operator has no parameters.
        """
        if isinstance(given, Mapping):
            return dict(given)
        if given is None:
            return {}
        if not self.parameters:
            raise InvalidValue(f"{self.name} takes no parameters, got {short_repr(given)}")
        return {self.parameters[0].name: given}

    def check_names(self, given: Collection[str]) -> list[str]:
        """Returns a message for each argument that does not exist, and for each required one that is missing."""
        takes = f"it takes {join_words(self.schemas)}" if self.schemas else "it takes none"
        unknown = [name for name in given if name not in self.schemas]
        intended = {closest_match(name, self.schemas) for name in unknown}
        missing = [s for s in self.parameters if s.required and s.name not in given and s.name not in intended]
        hints = [_hint_quote(name) or did_you_mean(name, self.schemas) for name in unknown]
        return [
            *(f"{self.name} has no parameter {name!r}; {takes}{hint}" for name, hint in zip(unknown, hints, strict=True)),
            *(f"{self.name} needs {schema.name}, {schema.allowed_values}" for schema in missing),
        ]


def _hint_quote(name: str) -> str:
    """Returns a hint if a name is the rest of an expression: inside braces YAML splits a text at a comma."""
    return "; quote an expression that has a comma" if name.count(")") > name.count("(") else ""


_OPERATORS: dict[str, Operator] = {}
MODULE_ATTRIBUTES: set[str] = set()
"""The attributes of the built modules: no branch or step may have such a name. `operators/containers.py` adds them."""


def operators() -> list[str]:
    """Returns the names of all registered operators, sorted."""
    return sorted(_OPERATORS)


def find_operator(name: str) -> Operator | None:
    """Returns the operator of a name, or None."""
    return _OPERATORS.get(name)


def operator(name: str) -> Callable[[Callable[P, Module]], Callable[P, Module]]:
    """Registers a factory function `make(sizes, parameter: type = default, ...) -> nn.Module` under a name.

    The module maps x_BSCHW to y_BSCHW. If it changes a size, it sets `module.sizes`. Parameters annotated as Axes arrive
    as letters: `grid` is replaced. Raise ValueError in the factory function to reject sizes or parameters.
    Raises ValueError for a name that is a keyword of the config language, is taken, or is not [a-z][a-z0-9_]*.
    """

    def register(make: Callable[P, Module]) -> Callable[P, Module]:
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or name in KEYWORDS:
            raise ValueError(f"an operator cannot be named {name!r}: it must match [a-z][a-z0-9_]* and be no keyword")
        previous = _OPERATORS.get(name)
        if previous and (previous.make.__module__, previous.make.__qualname__) != (make.__module__, make.__qualname__):
            raise ValueError(f"operator {name!r} is already registered by {previous.make.__module__}")
        parameters = _parameters(name, make)
        wrapped = _expand_axes(make, [schema.name for schema in parameters if schema.is_axes])
        _OPERATORS[name] = Operator(name, wrapped, parameters)
        return wrapped

    return register


def _expand_axes(make: Callable[P, Module], names: list[str]) -> Callable[P, Module]:
    """Returns `make` with `grid` replaced by letters in the parameters of these names, and in their defaults."""
    if not names:
        return make
    signature = inspect.signature(make)
    first, *others = signature.parameters.values()
    defaults = {p.name: p.default for p in others if p.default is not p.empty}

    @wraps(make)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Module:
        # the builder passes parameters by name; binding a signature takes longer than building a small layer
        given = {first.name: args[0], **kwargs} if len(args) == 1 else signature.bind(*args, **kwargs).arguments
        arguments: dict[str, Any] = {**defaults, **given}
        sizes: Sizes = arguments.pop(first.name)
        for name in names:
            if arguments.get(name) is not None:
                try:
                    arguments[name] = sizes.expand_axes(arguments[name])
                except InvalidValue as error:
                    raise InvalidValue(f"{name} is {error}") from None
        return make(sizes, **arguments)  # type: ignore[arg-type]

    return wrapper


def _parameters(name: str, make: "Callable[..., nn.Module]") -> "tuple[Schema, ...]":
    """Returns the schemas of the parameters after `sizes`; raises ValueError for a signature that is not allowed."""
    from .schema import Schema  # imports pydantic, which the command line does not need to find configs

    signature = list(inspect.signature(make).parameters.values())
    hints = get_type_hints(make, include_extras=True)
    if not signature or hints.get(signature[0].name) is not Sizes:
        raise ValueError(f"operator {name!r}: the first parameter must be `sizes: Sizes`")
    schemas = []
    for parameter in signature[1:]:
        if parameter.kind is not parameter.POSITIONAL_OR_KEYWORD or parameter.name not in hints:
            raise ValueError(f"operator {name!r}: parameter {parameter.name!r} must be positional and annotated")
        required = parameter.default is parameter.empty
        schemas.append(Schema(parameter.name, hints[parameter.name], None if required else parameter.default, required))
    return tuple(schemas)
