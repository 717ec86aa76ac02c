"""The operators of the package; importing it registers them. One family a file, none of them knows a config."""

from . import attention, conv, gate, layout, linear, norm, pool

__all__ = ["attention", "conv", "gate", "layout", "linear", "norm", "pool"]
