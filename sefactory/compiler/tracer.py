"""From the plain tree to the graph: what each module computes, said in the operations that the rules know."""

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor, nn

from ..operators.attention import Attention
from ..operators.containers import (
    APPLIES,
    FUSE_AXIS,
    FUSES,
    Parallel,
    Sequential,
    Series,
    Unit,
    fused_sizes,
    shared_trunk_sizes,
)
from ..operators.conv import Conv, MultiScale
from ..operators.elementwise import Affine, Elementwise, Gain
from ..operators.elementwise import Softmax as SoftmaxModule
from ..operators.layout import Slice, Stack
from ..operators.linear import Linear
from ..operators.norm import BatchNorm
from ..operators.pool import Cluster, LocalPool, Pool
from ..shapes import Sizes
from . import ir as ops
from .graph import Node

NAMES: dict[type[nn.Module], str] = {
    nn.Sigmoid: "sigmoid",
    nn.Hardsigmoid: "hardsigmoid",
    nn.Tanh: "tanh",
    nn.ReLU: "relu",
    nn.ReLU6: "relu6",
    nn.SiLU: "silu",
    nn.GELU: "gelu",
    nn.Hardswish: "hardswish",
    nn.Softplus: "softplus",
}
FUSED: dict[str, ops.Combination] = {
    "sum": "sum",
    "mean": "sum",
    "product": "product",
    "max": "max",
    "min": "min",
    "difference": "difference",
}
APPLIED: dict[str, ops.Combination] = {"add": "sum", "subtract": "difference", "divide": "quotient"}


def trace(node: nn.Module, sizes: Sizes) -> Node:
    """The graph of a plain tree for the sizes of its map."""
    return _node(node, Node(ops.Source(), (), sizes), "")


def _node(module: nn.Module, x: Node, place: str) -> Node:
    make = CAPTURES.get(type(module), _plain)
    return make(module, x, place)


def _at(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _steps(module: nn.Module, x: Node, place: str) -> Node:
    for name, step in module.named_children():
        x = _node(step, x, _at(place, name))
    return x


def _series(module: Series, x: Node, place: str) -> Node:
    return _steps(module.series, x, _at(place, "series"))


def _plain(module: nn.Module, x: Node, place: str) -> Node:
    return Node(ops.OpaqueCall(module), (x,), getattr(module, "sizes", x.sizes), place)


def _unit(module: Unit, x: Node, place: str) -> Node:
    gate = x
    for slot in ("squeeze", "excite", "gate"):
        gate = _steps(getattr(module, slot), gate, _at(place, slot))
    if module.upsample_axes:
        sizes = gate.sizes.replace({axis: x.sizes[axis] for axis in module.upsample_axes})
        gate = Node(ops.NearestUpsample(module.upsample_axes), (gate, x), sizes, place)
    if module.apply_mode == "multiply":
        return Node(ops.Gate(), (x, gate), x.sizes, place)
    if module.apply_mode in APPLIED:
        return Node(ops.Elementwise(APPLIED[module.apply_mode]), (x, gate), x.sizes, place)
    return Node(ops.OpaqueCall(APPLIES[module.apply_mode]), (x, gate), x.sizes, place)


def _parallel(module: Parallel, x: Node, place: str) -> Node:
    ends = {name: _node(branch, x, f"{_at(place, 'parallel')}.{name}") for name, branch in module.parallel.named_children()}
    if module.shared is not None:
        ends = _through_trunk(module.shared, ends, place)
    if module.own is not None:
        for name, step in module.own.named_children():
            ends[name] = _node(step, ends[name], f"{_at(place, 'own')}.{name}")
    return _fused(module.fuse, tuple(ends.values()), place)


def _fused(fuse: str, ends: tuple[Node, ...], place: str) -> Node:
    sizes = fused_sizes(fuse, [end.sizes for end in ends])
    if len(ends) == 1:
        return ends[0]
    if fuse in FUSED:
        y = Node(ops.Elementwise(FUSED[fuse]), ends, sizes, place)
        return Node(ops.ScalarAffine(1 / len(ends)), (y,), sizes, place) if fuse == "mean" else y
    along = FUSE_AXIS.get(fuse, "")
    if along and all(end.sizes.replace({along: 1}) == ends[0].sizes.replace({along: 1}) for end in ends):
        return Node(ops.Stack() if along == "S" else ops.Concat(), ends, sizes, place)
    return Node(ops.OpaqueCall(_listed(FUSES[fuse])), ends, sizes, place)


def _listed(fuse: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda *maps: fuse(maps)


def _through_trunk(shared: Sequential, ends: dict[str, Node], place: str) -> dict[str, Node]:
    branches = tuple(ends.values())
    seen = shared_trunk_sizes([end.sizes for end in branches])
    trunk = _steps(shared, Node(ops.ConcatPositions(), branches, seen, place), _at(place, "shared"))
    left = [end.sizes.replace({axis: trunk.sizes[axis] for axis in "SC"}) for end in branches]
    return {
        name: Node(ops.SplitPositions(i), (trunk, *branches), sizes, place)
        for i, (name, sizes) in enumerate(zip(ends, left, strict=True))
    }


# ---- Operators ------------------------------------------------------------------------------------------------------


def _pool(module: Pool, x: Node, place: str) -> Node:
    over = x.sizes.axes_of(module.dims)
    one = x.sizes.replace(dict.fromkeys(over, 1))
    found = tuple(Node(_statistic(module, name, over), (x,), one, place) for name in module.by)
    return found[0] if len(found) == 1 else Node(ops.Stack(module), found, module.sizes, place)


def _statistic(module: Pool, name: str, over: str) -> ops.Op:
    if name in ("mean", "max", "min", "sum"):
        return ops.Reduce(over, name)  # type: ignore[arg-type]
    if name in ("std", "var"):
        return ops.Variance(over, name == "std", module.eps, module.unbiased)
    return ops.OpaqueCall(partial(module.statistic, name))


def _cluster(module: Cluster, x: Node, place: str) -> Node:
    if module.hard or module.rounds:
        return _plain(module, x, place)
    return Node(ops.WeightedPool(module), (x,), module.sizes, place)


def _pooling(module: LocalPool, x: Node, place: str) -> Node:
    overlapping = module.by == "mean" and all(kernel != stride for kernel, stride in module.windows if stride > 1)
    return Node(ops.AvgPool(module), (x,), module.sizes, place) if overlapping else _plain(module, x, place)


def _linear(module: Linear, x: Node, place: str) -> Node:
    over_channels = module.mix == "C" and not module.each
    return Node(ops.LinearOp(module), (x,), module.sizes, place) if over_channels else _plain(module, x, place)


def _conv(module: Conv, x: Node, place: str) -> Node:
    return Node(ops.ConvOp(module), (x,), module.sizes, place) if module.mode == "zeros" else _plain(module, x, place)


def _scales(module: MultiScale, x: Node, place: str) -> Node:
    if module.fuse == "concat":
        return _plain(module, x, place)
    ends = tuple(_node(conv, x, _at(place, name)) for name, conv in module.named_children())
    return _fused(module.fuse, ends, place)


def _attention(module: Attention, x: Node, place: str) -> Node:
    return Node(ops.Attend(module), (x,), module.sizes, place)


def _norm(module: BatchNorm, x: Node, place: str) -> Node:
    return Node(ops.Norm(module), (x,), x.sizes, place)


def _pointwise(module: nn.Module, x: Node, place: str) -> Node:
    return Node(ops.Pointwise(NAMES[type(module)]), (x,), x.sizes, place)


def _elementwise(module: Elementwise, x: Node, place: str) -> Node:
    return Node(ops.Pointwise(module.name), (x,), x.sizes, place)


def _identity(module: nn.Identity, x: Node, place: str) -> Node:
    return x


def _softmax(module: SoftmaxModule, x: Node, place: str) -> Node:
    if len(module.dims) > 1:
        return _plain(module, x, place)
    return Node(ops.Softmax(x.sizes.axes_of(module.dims)), (x,), x.sizes, place)


def _gain(module: Gain, x: Node, place: str) -> Node:
    plain = module.each or module.bias is not None
    return _plain(module, x, place) if plain else Node(ops.LearnedScale(module), (x,), x.sizes, place)


def _affine(module: Affine, x: Node, place: str) -> Node:
    return Node(ops.ScalarAffine(module.scale, module.shift), (x,), x.sizes, place)


def _slice(module: Slice, x: Node, place: str) -> Node:
    axis = x.sizes.axes[module.dim - 1]
    return Node(ops.Slice(axis, module.start, module.length), (x,), module.sizes, place)


def _cut(module: Stack, x: Node, place: str) -> Node:
    return Node(ops.ChannelSplit(module.parts), (x,), module.sizes, place) if module.groups == 1 else _plain(module, x, place)


CAPTURES: dict[type[nn.Module], Callable[[Any, Node, str], Node]] = {
    Sequential: _steps,
    nn.Sequential: _steps,
    Series: _series,
    Unit: _unit,
    Parallel: _parallel,
    Pool: _pool,
    Cluster: _cluster,
    LocalPool: _pooling,
    Linear: _linear,
    Conv: _conv,
    MultiScale: _scales,
    Attention: _attention,
    BatchNorm: _norm,
    Elementwise: _elementwise,
    nn.Identity: _identity,
    SoftmaxModule: _softmax,
    Gain: _gain,
    Affine: _affine,
    Slice: _slice,
    Stack: _cut,
    **dict.fromkeys(NAMES, _pointwise),
}
