"""The operators of the package, one family per file; importing this room registers them.

Sizes and parameters come in, an nn.Module goes out. May import errors, shapes, config (registry and schema) and kernels.
"""

from . import attention, conv, elementwise, layout, linear, norm, pool, spectrum

__all__ = ["attention", "conv", "elementwise", "layout", "linear", "norm", "pool", "spectrum"]
