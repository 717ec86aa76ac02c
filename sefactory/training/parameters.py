"""Parameters of a config, checked against the annotations of the function that takes them."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, get_type_hints

from ..config.schema import Schema
from ..errors import ConfigError, InvalidValue, did_you_mean, join_words, short_repr


def read_parameters(function: Callable[..., Any], name: str, given: Mapping[str, Any], label: str) -> dict[str, Any]:
    """The arguments for a function from a config: its keys are the parameters.

    `name` is what the function makes and `label` the place of the config, both for messages. Raises ConfigError with a fault
    for each unknown or missing key and each value that is not allowed.
    """
    schemas = _schemas(function)
    faults = [(f"{label}.{key}", text) for key, text in _key_faults(name, given, schemas)]
    arguments = {}
    for key, value in given.items():
        if key in schemas:
            try:
                arguments[key] = _read(schemas[key], value)
            except InvalidValue as error:
                faults.append((f"{label}.{key}", str(error)))
    if faults:
        raise ConfigError(faults)
    return arguments


def _schemas(function: Callable[..., Any]) -> dict[str, Schema]:
    """The parameters of a function by name."""
    hints = get_type_hints(function, include_extras=True)
    return {
        name: Schema(name, hints[name], parameter.default, parameter.default is parameter.empty)
        for name, parameter in inspect.signature(function).parameters.items()
    }


def _key_faults(name: str, given: Mapping[str, Any], schemas: Mapping[str, Schema]) -> list[tuple[str, str]]:
    """Unknown keys and missing ones, each with its message."""
    allowed = f"{name} takes {join_words(schemas)}"
    faults = [(key, f"is no parameter; {allowed}{did_you_mean(key, schemas)}") for key in given if key not in schemas]
    return faults + [(s.name, f"is missing; {name} needs it") for s in schemas.values() if s.required and s.name not in given]


def _read(schema: Schema, value: Any) -> Any:
    """A value checked against its annotation. Raises InvalidValue. A text is taken as it is: a path is no expression."""
    if isinstance(value, str) and schema.number_type:
        raise InvalidValue(f"{schema.name} is {short_repr(value)}; allowed: {schema.allowed_values}")
    if schema.annotation is not str:
        return schema.read(value, {})
    if not isinstance(value, str) or not value:
        raise InvalidValue(f"{schema.name} is {short_repr(value)}; allowed: a path")
    return value
