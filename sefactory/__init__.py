"""Squeeze/excitation blocks composed from YAML."""

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
]
