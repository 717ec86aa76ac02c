"""The operators of the package; importing it registers them. One family a file, none of them knows a config."""

from . import attention, conv, layout, linear, norm, pool, spectrum
from . import elementwise as gate
from . import unfold as neighbourhood

__all__ = ["attention", "conv", "gate", "layout", "linear", "neighbourhood", "norm", "pool", "spectrum"]
