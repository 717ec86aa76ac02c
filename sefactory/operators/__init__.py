"""The operators of the package; importing it registers them. One family a file, none of them knows a config."""

from . import attention, conv, gate, layout, linear, neighbourhood, norm, pool, spectrum

__all__ = ["attention", "conv", "gate", "layout", "linear", "neighbourhood", "norm", "pool", "spectrum"]
