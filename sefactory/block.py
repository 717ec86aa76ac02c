"""The boundary between plain maps and the tensors inside."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.compiler import is_dynamo_compiling

from .compiler.runtime import CompiledBlock
from .config.expressions import Value
from .errors import ConfigError
from .operators.precision import is_autocast_enabled
from .shapes import Sizes


@dataclass(frozen=True)
class NodeInfo:
    """One node of the config as it was built: its module path, what it is, what comes in and what goes out."""

    path: str
    operator: str
    sizes: tuple[Sizes, Sizes]


class Block(nn.Module):
    """(B, C, H, W) -> (B, C', H', W'), or with the axes of its grid.

    It shares the names of its root node, so that no path of the config has a prefix. channels_last
    in is channels_last out.
    What runs is the lowered form of the tree (`lowered`, with its rewrites), or the tree itself where `lower` is false,
    and wherever a module inside has hooks. `frozen` are those of `freeze`.
    `config` is the resolved config, `sizes` what comes in and what goes out, `label` its name in messages, `parts` are
    its nodes from the root down, `let` the values of the names at each path that has a `let`.
    Raises ConfigError for an input of the wrong rank, width, grid or dtype.
    """

    def __init__(
        self,
        node: nn.Module,
        *,
        config: Any,
        label: str,
        sizes: tuple[Sizes, Sizes],
        parts: Sequence[NodeInfo],
        let: Mapping[str, Mapping[str, Value]],
        lower: bool = True,
    ) -> None:
        super().__init__()
        self.config, self.label, self.sizes, self.parts, self.let = config, label, sizes, tuple(parts), let
        self._modules, self._parameters, self._buffers = node._modules, node._parameters, node._buffers
        self._non_persistent_buffers_set = node._non_persistent_buffers_set
        self._node = (node,)  # in a tuple: its children are registered here, under their own names
        owners = (module for module in node.modules() if module._parameters)
        self._owner = next(((module, next(iter(module._parameters))) for module in owners), None)
        self._rank, self._flat = 2 + len(sizes[0].grid), sizes[0].grid == "W"
        self._channels = sizes[0].number("C")
        self._fixed = {2 + i: sizes[0].number(axis) for i, axis in enumerate(sizes[0].grid) if isinstance(sizes[0][axis], int)}
        self.frozen = False
        self.lowered: CompiledBlock | None = None
        if lower:
            self.lower()

    def forward(self, x_BCHW: Tensor) -> Tensor:
        self._check(x_BCHW)
        if self.frozen:  # maps inside are overwritten
            with torch.no_grad():
                return self._run(x_BCHW)
        return self._run(x_BCHW)

    def _run(self, x_BCHW: Tensor) -> Tensor:
        lowered = self.lowered
        if lowered is not None and not (is_dynamo_compiling() and lowered.left(x_BCHW)) and lowered.faithful():
            y_BCHW = lowered(x_BCHW)
        elif self._flat:  # one dimension is a map of height 1
            y_B1C1W: Tensor = self._node[0](x_BCHW[:, None, :, None])
            return y_B1C1W.squeeze(3).squeeze(1)
        else:
            y_BSCHW: Tensor = self._node[0](x_BCHW.unsqueeze(1))
            y_BCHW = y_BSCHW.squeeze(1)
        return y_BCHW if x_BCHW.is_contiguous() else _laid_out(y_BCHW, x_BCHW)

    def lower(self) -> None:
        """Writes the steps anew from the tree as it is: after modules inside were exchanged, of which the tree itself runs."""
        self.lowered = CompiledBlock(self.node, self.sizes[0], self.frozen)
        if not self.training:
            self.lowered.evaluate()

    @property
    def node(self) -> nn.Module:
        """The root node, x_BSCHW -> y_BSCHW."""
        return self._node[0]

    def train(self, mode: bool = True) -> "Block":
        """As in torch; the root node is told as well. A frozen block stays in eval mode."""
        mode = mode and not self.frozen
        self._node[0].train(mode)
        super().train(mode)
        if self.lowered is not None and not mode:
            self.lowered.evaluate()
        return self

    def __getstate__(self) -> dict[str, Any]:
        """The steps stay behind: they are written anew from the tree."""
        return {**self.__dict__, "lowered": self.lowered is not None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self.lowered = None
        if state["lowered"]:
            self.lower()

    def _check(self, x: Tensor) -> None:
        if not isinstance(x, Tensor) or x.dim() != self._rank or x.shape[1] != self._channels:
            self._refuse(x, f"{tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__}")
        if self._fixed and any(x.shape[dim] != size for dim, size in self._fixed.items()):
            self._refuse(x, f"{tuple(x.shape)}")
        dtype = self._dtype()
        if x.dtype != dtype and not (x.is_floating_point() and (dtype is None or is_autocast_enabled(x))):
            self._refuse(x, str(x.dtype).removeprefix("torch."))

    def _dtype(self) -> torch.dtype | None:
        if self._owner is None:
            return None
        parameter = self._owner[0]._parameters.get(self._owner[1])
        return None if parameter is None else parameter.dtype

    def _refuse(self, x: object, given: str) -> None:
        sizes = self.sizes[0]
        shape = ", ".join(["B", *(str(sizes[axis]) for axis in f"C{sizes.grid}")])
        dtype = str(self._dtype() or "floating point").removeprefix("torch.")
        raise ConfigError([(self.label, f"expected an input ({shape}) of {dtype}, got {given}")])

    def extra_repr(self) -> str:
        return f"{self.label}: {self.sizes[0]} -> {self.sizes[1]}"

    def _replicate_for_data_parallel(self) -> "Block":
        """A replica with a root node of its own, which shares the replica's names and not those of the original."""
        replica: Block = super()._replicate_for_data_parallel()  # type: ignore[no-untyped-call]
        node: nn.Module = self.node._replicate_for_data_parallel()
        node._modules, node._parameters, node._buffers = replica._modules, replica._parameters, replica._buffers
        replica._node, replica.lowered, replica.__class__ = (node,), None, _Replica
        return replica


class _Replica(Block):
    """What DataParallel runs: it sets a replica's tensors as plain attributes, which a root that holds some needs too."""

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if isinstance(value, Tensor):
            setattr(self.node, name, value)


def _laid_out(y: Tensor, x: Tensor) -> Tensor:
    """y with the channels last in memory where those of x are: an operator may have laid it out anew on the way."""
    # moved and not asked for its memory format, which is not implemented inside of vmap
    return y.movedim(1, -1).contiguous().movedim(-1, 1) if x.movedim(1, -1).is_contiguous() else y
