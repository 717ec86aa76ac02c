"""The module that all modules of the package are."""

from typing import Any

from torch import nn

from .axes import Sizes

PLAIN = frozenset((type(None), bool, int, float, str, tuple, list, Sizes))


class Module(nn.Module):
    """torch's, whose plain attributes are set as those of any object.

    torch looks for parameters, buffers and modules in each, which takes five times as long; a block has a hundred.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if type(value) in PLAIN and not (name in self._parameters or name in self._buffers or name in self._modules):
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)
