"""The tensors that a module holds, read anew at every run: what was loaded, moved or exchanged since is seen."""

from torch import Tensor, nn


class Held:
    """The parameters and buffers of a module by their names: 0.1 us in place of the 0.4 us of a module's own look-up."""

    def __init__(self, module: nn.Module) -> None:
        self._module, self._parameters, self._buffers = module, module._parameters, module._buffers

    def parameter(self, name: str) -> Tensor | None:
        """As the module itself would give it, a parametrized one included."""
        try:
            return self._parameters[name]
        except KeyError:
            found: Tensor | None = getattr(self._module, name)
            return found

    def buffer(self, name: str) -> Tensor:
        """The same of a buffer."""
        try:
            found = self._buffers[name]
        except KeyError:
            found = None
        if found is None:
            found = getattr(self._module, name)
        return found
