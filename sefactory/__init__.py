"""Squeeze/excitation blocks composed from YAML.

The public names are imported when one of them is used first: the command line answers questions without torch.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .bench.macs import macs
    from .block import Block
    from .build.api import build, load
    from .build.freeze import freeze
    from .config.registry import operator, operators
    from .config.repository import configs
    from .errors import ConfigError
    from .networks.attachment import fold
    from .networks.check import check
    from .networks.host import host, place
    from .networks.insertion import insert
    from .networks.layer import layer
    from .networks.official_weights import load_official
    from .networks.recipe import recipe
    from .networks.removal import remove
    from .networks.saving import restore, save
    from .shapes import Sizes
    from .training.api import train

_MODULES = {
    "Block": "block",
    "ConfigError": "errors",
    "Sizes": "shapes",
    "build": "build.api",
    "check": "networks.check",
    "configs": "config.repository",
    "fold": "networks.attachment",
    "freeze": "build.freeze",
    "host": "networks.host",
    "insert": "networks.insertion",
    "layer": "networks.layer",
    "load": "build.api",
    "load_official": "networks.official_weights",
    "macs": "bench.macs",
    "operator": "config.registry",
    "operators": "config.registry",
    "place": "networks.host",
    "recipe": "networks.recipe",
    "remove": "networks.removal",
    "restore": "networks.saving",
    "save": "networks.saving",
    "train": "training.api",
}
"""The module of each public name."""

__all__ = [
    "Block",
    "ConfigError",
    "Sizes",
    "build",
    "check",
    "configs",
    "fold",
    "freeze",
    "host",
    "insert",
    "layer",
    "load",
    "load_official",
    "macs",
    "operator",
    "operators",
    "place",
    "recipe",
    "remove",
    "restore",
    "save",
    "train",
]


class _Package(ModuleType):
    """Imports all public names when one of them is used first.

    `build` and `operators` are also folders of the package: as attributes they are the functions.
    """

    def __getattr__(self, name: str) -> Any:
        if name not in _MODULES:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        modules = {module: import_module(f".{module}", self.__name__) for module in dict.fromkeys(_MODULES.values())}
        vars(self).update({public: getattr(modules[module], public) for public, module in _MODULES.items()})
        return vars(self)[name]

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _MODULES and isinstance(value, ModuleType)):  # importing a folder sets it as an attribute
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted({*vars(self), *__all__})


sys.modules[__name__].__class__ = _Package
