"""`Block`: the nn.Module that users hold. Feature maps (B, C, H, W) go in and come out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import torch
from torch import Tensor, nn
from torch.compiler import is_dynamo_compiling
from torch.fx import Proxy, Tracer

from .compiler.edits import mark_edits
from .compiler.runtime import CompiledBlock
from .config.expressions import Value
from .errors import ConfigError
from .kernels.dispatch import is_jit_tracing, jit_tracing_paused, prefers_module_tree
from .operators.norm import SingleValue
from .operators.precision import is_autocast_enabled
from .shapes import Shape, Sizes


@dataclass(frozen=True)
class NodeInfo:
    """One node of the config as it was built: its module path, what it is, what comes in and what goes out."""

    path: str
    operator: str
    sizes: tuple[Sizes, Sizes]


class Block(nn.Module):
    """(B, C, H, W) -> (B, C', H', W'), or with the axes of its grid.

    It runs a compiled form of its module tree (`lowered`). The tree itself runs if `lower` is False, if a module inside has
    hooks, was exchanged, or was edited in a way that is not compiled, under torch.jit.trace, and under torch.compile in
    training and for small maps. A channels_last input gives a channels_last output.

    The block registers the children and parameters of its root node under their own names, so that no state-dict key has
    a prefix. `frozen` is True for the results of `freeze`.

    `config` is the resolved config, `sizes` are the input and output sizes, `label` is the block's name in messages,
    `parts` are its nodes from the root down, and `let` holds the values of the names at each path that has a `let`.
    Raises ConfigError for an input of the wrong rank, channels, grid or dtype. torch.fx records a block as one
    `call_module`, as it does with the layers of torch.nn.
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
        self._first_parameter = _first_parameter(node)
        self._rank, self._is_1d, self._channels = 2 + len(sizes[0].grid), sizes[0].grid == "W", sizes[0].number("C")
        self._fixed_sizes = {
            2 + i: sizes[0].number(axis) for i, axis in enumerate(sizes[0].grid) if isinstance(sizes[0][axis], int)
        }
        self.frozen = False
        self.lowered: CompiledBlock | None = None
        if lower:
            self.lower()

    def forward(self, x_BCHW: Tensor) -> Tensor:
        if not isinstance(x_BCHW, Tensor):
            return self._record_call(x_BCHW)
        try:
            if is_jit_tracing():
                with jit_tracing_paused():  # sizes are tensors of the graph there
                    self._check_input(x_BCHW)
                return self._run(x_BCHW, None)
            self._check_input(x_BCHW)
            if self.frozen:  # the program overwrites maps
                with torch.no_grad():
                    return self._run(x_BCHW, self.lowered)
            return self._run(x_BCHW, self.lowered)
        except SingleValue as error:
            raise self._single_value_error(error) from error

    def output_shape(self, shape: Shape) -> Shape:
        """The shape of the result for an input of this shape."""
        sizes, result = self.sizes
        batch, _, channels, *spatial = result.shape(shape[0], dict(zip(sizes.grid, shape[2:], strict=True)))
        return batch, channels, *spatial[-len(sizes.grid) :]

    def dry_forward(self, x_BCHW: Tensor) -> Tensor:
        """x, or zeros, of the shape of the result: no module runs. Raises ConfigError as `forward` does."""
        self._check_input(x_BCHW)
        shape = self.output_shape(tuple(x_BCHW.shape))
        return x_BCHW if x_BCHW.shape == shape else x_BCHW.new_zeros(shape)

    def _run(self, x_BCHW: Tensor, lowered: CompiledBlock | None) -> Tensor:
        """The output of `lowered` where its guards hold, else of the module tree; it has the memory format of the input."""
        if lowered is None or prefers_module_tree(x_BCHW) or not lowered.guards_hold():
            y_BCHW = self._run_tree(x_BCHW)
        elif is_dynamo_compiling() and not lowered.watch():
            y_BCHW = self._run_tree(x_BCHW)
        else:
            y_BCHW = lowered(x_BCHW)
        return y_BCHW if x_BCHW.is_contiguous() else _match_layout(y_BCHW, x_BCHW)

    def _run_tree(self, x_BCHW: Tensor) -> Tensor:
        """The output of the module tree."""
        if self._is_1d:  # one dimension is a map of height 1
            y_B1C1W: Tensor = self._node[0](x_BCHW[:, None, :, None])
            return y_B1C1W.squeeze(3).squeeze(1)
        y_BSCHW: Tensor = self._node[0](x_BCHW.unsqueeze(1))
        return y_BSCHW.squeeze(1)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Block":
        """As in torch. Then finds the first parameter again, because its module may have been replaced.

        Inputs must have its dtype.
        """
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self._first_parameter = _first_parameter(self.node)
        return self

    def lower(self) -> None:
        """Compiles the module tree as it is now. Call it after a module inside was exchanged: until then the tree runs."""
        self.lowered = CompiledBlock(self.node, self.sizes[0], self.frozen)
        if not self.training:
            self.lowered.prepare_eval()

    @property
    def node(self) -> nn.Module:
        """The root node, x_BSCHW -> y_BSCHW."""
        return self._node[0]

    def add_module(self, name: str, module: nn.Module | None) -> None:
        """As in torch, in the root node: it holds the children."""
        self.node.add_module(name, module)

    def train(self, mode: bool = True) -> "Block":
        """As in torch, for the root node as well. A frozen block stays in eval mode."""
        mode = mode and not self.frozen
        self._node[0].train(mode)
        super().train(mode)
        if self.lowered is not None and not mode:
            self.lowered.prepare_eval()
        return self

    def __getstate__(self) -> dict[str, Any]:
        """Without the compiled form, which is compiled again from the tree."""
        return {**self.__dict__, "lowered": self.lowered is not None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self.lowered = None
        if state["lowered"]:
            self.lower()

    def _check_input(self, x: Tensor) -> None:
        if x.dim() != self._rank or x.shape[1] != self._channels:
            self._raise_input_error(f"{tuple(x.shape)}")
        if self._fixed_sizes and any(x.shape[dim] != size for dim, size in self._fixed_sizes.items()):
            self._raise_input_error(f"{tuple(x.shape)}")
        dtype = self._dtype()
        if x.dtype != dtype and not (x.is_floating_point() and (dtype is None or is_autocast_enabled(x))):
            self._raise_input_error(str(x.dtype).removeprefix("torch."))

    def _record_call(self, x: object) -> Any:
        """The block as one node of the graph, if torch.fx traces; raises ConfigError for any other input."""
        if not isinstance(x, Proxy) or not isinstance(x.tracer, Tracer):
            self._raise_input_error(type(x).__name__)
        path = x.tracer.path_of_module(self)
        if path == "":
            cure = "trace a network that holds it, such as nn.Sequential(block)"
            raise ConfigError([(self.label, f"torch.fx records a block as one module, so it cannot be the root; {cure}")])
        if self._forward_hooks or self._forward_pre_hooks:
            cure = "remove them, or use a Tracer whose is_leaf_module is True for sefactory.Block"
            raise ConfigError([(f"{self.label} at {path}", f"has hooks, which torch.fx would record and run again; {cure}")])
        return x.tracer.create_proxy("call_module", path, (x,), {})

    def __prepare_scriptable__(self) -> NoReturn:
        """Called by torch.jit.script, which cannot compile the module tree: raises ConfigError."""
        cure = "use torch.export.export, or torch.jit.trace with an example input"
        raise ConfigError([(self.label, f"torch.jit.script cannot compile a block; {cure}")])

    def _dtype(self) -> torch.dtype | None:
        if self._first_parameter is None:
            return None
        parameter = self._first_parameter[0]._parameters.get(self._first_parameter[1])
        return None if parameter is None else parameter.dtype

    def _raise_input_error(self, given: str) -> NoReturn:
        sizes = self.sizes[0]
        shape = ", ".join(["B", *(str(sizes[axis]) for axis in f"C{sizes.grid}")])
        dtype = str(self._dtype() or "floating point").removeprefix("torch.")
        raise ConfigError([(self.label, f"expected an input ({shape}) of {dtype}, got {given}")])

    def _single_value_error(self, error: SingleValue) -> ConfigError:
        """The error for a batch norm in training that has one value for each statistic, with its path."""
        path = next((path for path, module in self.named_modules() if module is error.norm), "")
        cure = "use a batch of at least 2, block.eval(), or a config without batch_norm"
        fault = f"batch_norm needs more than 1 value for each of its statistics in training; {cure}"
        return ConfigError([(f"{self.label} {path}" if path else self.label, fault)])

    def extra_repr(self) -> str:
        return f"{self.label}: {self.sizes[0]} -> {self.sizes[1]}"

    def _replicate_for_data_parallel(self) -> "Block":
        """A replica with a root node of its own, which shares the replica's names and not those of the original."""
        replica: Block = super()._replicate_for_data_parallel()  # type: ignore[no-untyped-call]
        node: nn.Module = self.node._replicate_for_data_parallel()
        node._modules, node._parameters, node._buffers = replica._modules, replica._parameters, replica._buffers
        replica._node, replica.lowered, replica.__class__ = (node,), None, _Replica
        return replica


mark_edits(Block)  # it shares the names of its root node


class _Replica(Block):
    """A replica for DataParallel, which sets tensors as plain attributes: the root node needs them as well."""

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if isinstance(value, Tensor):
            setattr(self.node, name, value)


def _first_parameter(node: nn.Module) -> tuple[nn.Module, str] | None:
    """The first module with a parameter, and the name of that parameter."""
    with_parameters = (module for module in node.modules() if module._parameters)
    return next(((module, next(iter(module._parameters))) for module in with_parameters), None)


def _match_layout(y: Tensor, x: Tensor) -> Tensor:
    """y with channels last in memory if x has them so: an operator may have changed the layout."""
    # by movedim, since vmap does not implement memory formats
    return y.movedim(1, -1).contiguous().movedim(-1, 1) if x.movedim(1, -1).is_contiguous() else y
