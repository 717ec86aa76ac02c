"""Squeeze/excitation blocks composed from YAML."""

from .block import Block
from .config import configs
from .errors import ConfigError
from .factory import build, load
from .freezing import freeze
from .network.hooks import fold
from .network.host import host, place
from .network.insertion import insert
from .network.layer import layer
from .official import load_official
from .registry import operator, operators

__all__ = [
    "Block",
    "ConfigError",
    "build",
    "configs",
    "fold",
    "freeze",
    "host",
    "insert",
    "layer",
    "load",
    "load_official",
    "operator",
    "operators",
    "place",
]
