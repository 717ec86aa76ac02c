"""The module that all modules of the package are."""

from typing import Any

from torch import Tensor, nn

from ..shapes import Sizes

PLAIN = frozenset((type(None), bool, int, float, str, tuple, list, Sizes))
FRESH = vars(nn.Module())
REGISTRIES = tuple((name, type(value)) for name, value in FRESH.items() if hasattr(value, "copy"))
"""What torch gives a module when it begins, and what of it each has for itself."""


class Module(nn.Module):
    """torch's, begun and filled with less ado: a block has fifty of them and a hundred attributes.

    torch sets each of its own attributes by a call, looks for parameters, buffers and modules in each that is set, and looks
    a parameter up in the module before it registers it, which fails by way of an exception.
    """

    def __init__(self) -> None:
        state = self.__dict__
        state.update(FRESH)
        for name, registry in REGISTRIES:
            state[name] = registry()

    def __setattr__(self, name: str, value: Any) -> None:
        own = self.__dict__
        if type(value) in PLAIN and not (name in own["_parameters"] or name in own["_buffers"] or name in own["_modules"]):
            own[name] = value
        elif isinstance(value, Module) and self._free(name):
            self._modules[name] = value
        elif type(value) is nn.Parameter and self._free(name):
            self._parameters[name] = value
        else:
            super().__setattr__(name, value)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        if type(tensor) is Tensor and persistent and name.isidentifier() and self._free(name):
            self._buffers[name] = tensor
        else:
            super().register_buffer(name, tensor, persistent)

    def _free(self, name: str) -> bool:
        if name in self._parameters or name in self._buffers or name in self._modules:
            return False
        return name not in self.__dict__ and not hasattr(type(self), name)
