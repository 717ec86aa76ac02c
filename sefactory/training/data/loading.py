"""Data sets by name: reads the config of one, checks its parameters, and loads it."""

from collections.abc import Callable, Mapping
from typing import Any

from ...errors import ConfigError, InvalidValue, choice_message
from ..parameters import read_parameters
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
    name = config.get("dataset")
    if name not in SOURCES:
        raise ConfigError([(f"{label}.dataset", choice_message(name, SOURCES))])
    given = {key: value for key, value in config.items() if key != "dataset"}
    arguments = read_parameters(SOURCES[name], name, given, label)
    try:
        return SOURCES[name](**arguments)
    except InvalidValue as error:
        raise ConfigError([(label, str(error))]) from None
