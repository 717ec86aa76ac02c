"""Builds the graph of a block from its module tree: each module becomes operations of the IR."""

from collections.abc import Callable
from functools import partial
from typing import Any, get_args

from torch import nn

from ..errors import InvalidValue
from ..operators.attention import Attention
from ..operators.containers import (
    APPLIES,
    FUSE_AXIS,
    FUSES,
    Parallel,
    Sequential,
    Unit,
    children_by_name,
    find_upsample_axes,
    fused_sizes,
    shared_trunk_sizes,
)
from ..operators.conv import Conv, MultiScale
from ..operators.elementwise import Affine, Clamp, Dropout, Elementwise, Gain
from ..operators.elementwise import Softmax as SoftmaxModule
from ..operators.layout import Resize, Slice, Stack, Unfold, Unstack
from ..operators.linear import Linear
from ..operators.norm import BatchNorm, GroupNorm, LayerNorm, Standardize
from ..operators.pool import Cluster, LocalPool, Pool
from ..operators.spectrum import Spectrum
from ..shapes import Sizes
from . import ir as ops
from .edits import is_as_built, register_class
from .graph import Node

POINTWISE = (nn.Sigmoid, nn.Hardsigmoid, nn.Tanh, nn.ReLU, nn.ReLU6, nn.SiLU, nn.GELU, nn.Hardswish, nn.Softplus)
FUSE_OPS: dict[str, ops.Combination] = {**{kind: kind for kind in get_args(ops.Combination)}, "mean": "sum"}
APPLY_OPS: dict[str, ops.Combination] = {"add": "sum", "subtract": "difference", "divide": "quotient"}


class CannotCompile(Exception):
    """A module was edited or exchanged so that its function or its output sizes are unknown. The tree runs instead."""


def trace(node: nn.Module, sizes: Sizes) -> Node:
    """Returns the output node of the graph of a module tree, for an input of these sizes. May raise CannotCompile."""
    try:
        result = _trace_module(node, Node(ops.Source(), (), sizes), "")
    except InvalidValue as error:  # exchanged modules whose sizes do not fit
        raise CannotCompile(str(error)) from None
    if result.sizes["S"] != 1:
        raise CannotCompile(f"leaves {result.sizes}")
    return result


def _trace_module(module: nn.Module, x: Node, path: str) -> Node:
    """Returns the output node of a module: from TRACERS, or one operation from OPERATORS, or else an opaque call."""
    kind = type(module)
    if not is_as_built(module, x.sizes):
        raise CannotCompile(path)
    if kind in TRACERS:
        return TRACERS[kind](module, x, path)
    op = OPERATORS[kind](module, x.sizes) if kind in OPERATORS else None
    return Node(op or ops.OpaqueCall(module), (x,), getattr(module, "sizes", x.sizes), path)


def _join_path(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _trace_sequence(module: nn.Module, x: Node, path: str) -> Node:
    for name, step in children_by_name(module).items():
        x = _trace_module(step, x, _join_path(path, name))
    return x


def _trace_unit(module: Unit, x: Node, path: str) -> Node:
    """Returns apply(x, gate(excite(squeeze(x)))). A gate of lower resolution than x is upsampled."""
    gate = x
    for slot in ("squeeze", "excite", "gate"):
        gate = _trace_module(getattr(module, slot), gate, _join_path(path, slot))
    if find_upsample_axes(module.apply_mode, x.sizes, gate.sizes) != module.upsample_axes:
        raise CannotCompile(path)
    if module.upsample_axes:
        sizes = gate.sizes.replace({axis: x.sizes[axis] for axis in module.upsample_axes})
        gate = Node(ops.NearestUpsample(module.upsample_axes), (gate, x), sizes, path)
    if module.apply_mode == "multiply":
        return Node(ops.Gate(), (x, gate), x.sizes, path)
    if module.apply_mode in APPLY_OPS:
        return Node(ops.Elementwise(APPLY_OPS[module.apply_mode]), (x, gate), x.sizes, path)
    return Node(ops.OpaqueCall(APPLIES[module.apply_mode]), (x, gate), x.sizes, path)


def _trace_parallel(module: Parallel, x: Node, path: str) -> Node:
    """Returns the fused output of the branches, after their `shared` steps and their `own` steps."""
    branches = {
        name: _trace_module(branch, x, f"{_join_path(path, 'parallel')}.{name}")
        for name, branch in children_by_name(module.parallel).items()
    }
    if module.shared is not None:
        branches = _trace_shared_trunk(module.shared, branches, path)
    if module.own is not None:
        for name, step in children_by_name(module.own).items():
            if name in branches:
                branches[name] = _trace_module(step, branches[name], f"{_join_path(path, 'own')}.{name}")
    return _fuse_branches(module.fuse, tuple(branches.values()), path)


def _fuse_branches(fuse: str, branches: tuple[Node, ...], path: str) -> Node:
    """Returns the node that joins the branches by `fuse`."""
    sizes = fused_sizes(fuse, [branch.sizes for branch in branches])
    if len(branches) == 1:
        return branches[0]
    if fuse in FUSE_OPS:
        y = Node(ops.Elementwise(FUSE_OPS[fuse]), branches, sizes, path)
        return Node(ops.ScalarAffine(1 / len(branches)), (y,), sizes, path) if fuse == "mean" else y
    along = FUSE_AXIS.get(fuse, "")
    if along and all(branch.sizes.replace({along: 1}) == branches[0].sizes.replace({along: 1}) for branch in branches):
        return Node(ops.Stack() if along == "S" else ops.Concat(), branches, sizes, path)
    return Node(ops.OpaqueCall(lambda *maps: FUSES[fuse](maps)), branches, sizes, path)


def _trace_shared_trunk(shared: Sequential, branches: dict[str, Node], path: str) -> dict[str, Node]:
    """Returns the branches after `shared`, which runs once on the concatenated positions of all branches."""
    inputs = tuple(branches.values())
    joined = shared_trunk_sizes([branch.sizes for branch in inputs])
    trunk = _trace_module(shared, Node(ops.ConcatPositions(), inputs, joined, path), _join_path(path, "shared"))
    outputs = [branch.sizes.replace({axis: trunk.sizes[axis] for axis in "SC"}) for branch in inputs]
    return {
        name: Node(ops.SplitPositions(i), (trunk, *inputs), sizes, path)
        for i, (name, sizes) in enumerate(zip(branches, outputs, strict=True))
    }


# ---- Operators ------------------------------------------------------------------------------------------------------


def _trace_pool(module: Pool, x: Node, path: str) -> Node:
    over = x.sizes.axes_of(module.dims)
    one = x.sizes.replace(dict.fromkeys(over, 1))
    found = tuple(Node(_statistic_op(module, name, over), (x,), one, path) for name in module.by)
    return found[0] if len(found) == 1 else Node(ops.Stack(), found, module.sizes, path)


def _statistic_op(module: Pool, name: str, over: str) -> ops.Op:
    if name in ("mean", "max", "min", "sum"):
        return ops.Reduce(over, name)  # type: ignore[arg-type]
    if name in ("std", "var"):
        return ops.Variance(over, name == "std", module.eps, module.unbiased)
    return ops.OpaqueCall(partial(module.statistic, name))


def _trace_multi_scale(module: MultiScale, x: Node, path: str) -> Node:
    if module.fuse == "concat":
        return Node(ops.OpaqueCall(module), (x,), module.sizes, path)
    branches = tuple(_trace_module(conv, x, _join_path(path, name)) for name, conv in children_by_name(module).items())
    return _fuse_branches(module.fuse, branches, path)


def _trace_identity(module: nn.Identity, x: Node, path: str) -> Node:
    return x


def _has_overlapping_means(pool: LocalPool) -> bool:
    return pool.by == "mean" and all(kernel != stride for kernel, stride in pool.windows if stride > 1)


OPERATORS: dict[type[nn.Module], Callable[[Any, Sizes], ops.Op | None]] = {
    Cluster: lambda pool, sizes: None if pool.hard or pool.rounds else ops.WeightedPool(pool),
    LocalPool: lambda pool, sizes: ops.AvgPool(pool) if _has_overlapping_means(pool) else None,
    Linear: lambda linear, sizes: ops.LinearOp(linear) if linear.mix == "C" and not linear.each else None,
    Conv: lambda conv, sizes: ops.ConvOp(conv) if conv.mode == "zeros" else None,
    Attention: lambda attention, sizes: ops.AttentionOp(attention),
    BatchNorm: lambda norm, sizes: ops.Norm(norm),
    Elementwise: lambda function, sizes: ops.Pointwise(function.name),
    SoftmaxModule: lambda softmax, sizes: ops.Softmax(sizes.axes_of(softmax.dims)) if len(softmax.dims) == 1 else None,
    Gain: lambda gain, sizes: None if gain.each or gain.bias is not None else ops.LearnedScale(gain),
    Affine: lambda affine, sizes: ops.ScalarAffine(affine.scale, affine.shift),
    Slice: lambda part, sizes: ops.Slice(sizes.axes[part.dim - 1], part.start, part.length),
    Stack: lambda stack, sizes: ops.ChannelSplit(stack.parts) if stack.groups == 1 else None,
    **dict.fromkeys(POINTWISE, lambda function, sizes: ops.Pointwise(type(function).__name__.lower())),
}
"""By module type: a function of the module and its input sizes. It returns the operation, or None for an opaque call."""

TRACERS: dict[type[nn.Module], Callable[[Any, Node, str], Node]] = {
    Sequential: _trace_sequence,
    nn.Sequential: _trace_sequence,
    Unit: _trace_unit,
    Parallel: _trace_parallel,
    Pool: _trace_pool,
    MultiScale: _trace_multi_scale,
    nn.Identity: _trace_identity,
}
"""The tracing functions of modules that become several operations, or none, by module type."""

OPAQUE = (Clamp, Dropout, GroupNorm, LayerNorm, Resize, Spectrum, Standardize, Unfold, Unstack)
"""Modules of the package that are called as they are."""

for _kind in (*OPERATORS, *TRACERS, *OPAQUE):
    register_class(_kind)
