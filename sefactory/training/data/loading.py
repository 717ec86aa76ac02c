"""Data sets by name: reads the config of one, checks its parameters, and loads it."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, get_type_hints

from ...config.schema import Schema
from ...errors import ConfigError, InvalidValue, choice_message, did_you_mean, join_words, short_repr
from .cifar import cifar10
from .dataset import Dataset
from .digits import digits
from .fashion import fashion_mnist, fashion_scenes
from .image_folder import image_folder

SOURCES: dict[str, Callable[..., Dataset]] = {
    source.__name__: source for source in (digits, fashion_mnist, fashion_scenes, cifar10, image_folder)
}


def load_data(config: Mapping[str, Any], label: str = "data") -> Dataset:
    """The data set of a config: `dataset` is its name, the other keys are its parameters.

    `label` is the place of the config in messages. Raises ConfigError for an unknown name or key, for a value that is not
    allowed, and for data that is absent or broken.
    """
    name, given = config.get("dataset"), {key: value for key, value in config.items() if key != "dataset"}
    if name not in SOURCES:
        raise ConfigError([(f"{label}.dataset", choice_message(name, SOURCES))])
    schemas = _schemas(SOURCES[name])
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
    try:
        return SOURCES[name](**arguments)
    except InvalidValue as error:
        raise ConfigError([(label, str(error))]) from None


def _schemas(source: Callable[..., Dataset]) -> dict[str, Schema]:
    """The parameters of a data set by name."""
    hints = get_type_hints(source, include_extras=True)
    return {
        name: Schema(name, hints[name], parameter.default, parameter.default is parameter.empty)
        for name, parameter in inspect.signature(source).parameters.items()
    }


def _key_faults(name: str, given: Mapping[str, Any], schemas: Mapping[str, Schema]) -> list[tuple[str, str]]:
    allowed = f"{name} takes {join_words(schemas)}"
    faults = [(key, f"is no parameter; {allowed}{did_you_mean(key, schemas)}") for key in given if key not in schemas]
    return faults + [(s.name, f"is missing; {name} needs it") for s in schemas.values() if s.required and s.name not in given]


def _read(schema: Schema, value: Any) -> Any:
    """A value checked against its annotation. Raises InvalidValue. A text is taken as it is: a path is no expression."""
    if schema.annotation is not str:
        return schema.read(value, {})
    if not isinstance(value, str) or not value:
        raise InvalidValue(f"{schema.name} is {short_repr(value)}; allowed: a path")
    return value
