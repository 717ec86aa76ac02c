"""The module that all modules of the package are."""

from typing import Any

from torch import nn

from .axes import Sizes

PLAIN = frozenset((type(None), bool, int, float, str, tuple, list, Sizes))
FRESH = tuple(vars(nn.Module()).items())
"""What torch gives a module when it begins."""


class Module(nn.Module):
    """torch's, begun and filled with less ado: a block has fifty of them and a hundred attributes.

    torch sets each of its own attributes by a call, looks for parameters, buffers and modules in each that is set, and looks
    a parameter up in the module before it registers it, which fails by way of an exception.
    """

    def __init__(self) -> None:
        self.__dict__.update([(name, value.copy() if hasattr(value, "copy") else value) for name, value in FRESH])

    def __setattr__(self, name: str, value: Any) -> None:
        if type(value) in PLAIN and not self._registers(name):
            object.__setattr__(self, name, value)
        elif type(value) is nn.Parameter and not (self._registers(name) or name in self.__dict__ or hasattr(type(self), name)):
            self._parameters[name] = value
        else:
            super().__setattr__(name, value)

    def _registers(self, name: str) -> bool:
        return name in self._parameters or name in self._buffers or name in self._modules
