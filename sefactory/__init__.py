"""Squeeze/excitation blocks composed from YAML."""

from .block import Block
from .config import configs
from .errors import ConfigError
from .factory import build, load
from .insertion import fold, insert
from .official import load_official
from .registry import operator, operators

__all__ = [
    "Block",
    "ConfigError",
    "build",
    "configs",
    "fold",
    "insert",
    "load",
    "load_official",
    "operator",
    "operators",
]
