"""From the plain tree to the graph: what each module computes, said in the operations that the rules know."""

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor, nn

from ..axes import Sizes
from ..operators.attention import Attention
from ..operators.conv import Conv, MultiScale
from ..operators.gate import Affine, Elementwise, Gain
from ..operators.gate import Softmax as SoftmaxModule
from ..operators.layout import Slice, Stack
from ..operators.linear import Linear
from ..operators.norm import BatchNorm
from ..operators.pool import Cluster, Pool
from ..operators.pool import Window as Pooling
from ..structure import ALONG, APPLIES, FUSES, Parallel, Series, Steps, Unit, fused, trunk_sizes
from . import operations as ops
from .graph import Value

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


def captured(node: nn.Module, sizes: Sizes) -> Value:
    """The graph of a plain tree for the sizes of its map."""
    return _node(node, Value(ops.Source(), (), sizes), "")


def _node(module: nn.Module, x: Value, place: str) -> Value:
    make = CAPTURES.get(type(module), _plain)
    return make(module, x, place)


def _at(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _steps(module: nn.Module, x: Value, place: str) -> Value:
    for name, step in module.named_children():
        x = _node(step, x, _at(place, name))
    return x


def _series(module: Series, x: Value, place: str) -> Value:
    return _steps(module.series, x, _at(place, "series"))


def _plain(module: nn.Module, x: Value, place: str) -> Value:
    return Value(ops.Plain(module), (x,), getattr(module, "sizes", x.sizes), place)


def _unit(module: Unit, x: Value, place: str) -> Value:
    gate = x
    for slot in ("squeeze", "excite", "gate"):
        gate = _steps(getattr(module, slot), gate, _at(place, slot))
    if module.coarse:
        sizes = gate.sizes.replace({axis: x.sizes[axis] for axis in module.coarse})
        gate = Value(ops.Enlarged(module.coarse), (gate, x), sizes, place)
    if module.apply_by == "multiply":
        return Value(ops.Gate(), (x, gate), x.sizes, place)
    if module.apply_by in APPLIED:
        return Value(ops.Combined(APPLIED[module.apply_by]), (x, gate), x.sizes, place)
    return Value(ops.Plain(APPLIES[module.apply_by]), (x, gate), x.sizes, place)


def _parallel(module: Parallel, x: Value, place: str) -> Value:
    ends = {name: _node(branch, x, f"{_at(place, 'parallel')}.{name}") for name, branch in module.parallel.named_children()}
    if module.trunk:
        ends = _through_trunk(module, ends, place)
    if module.finish:
        for name, step in module.own.named_children():
            ends[name] = _node(step, ends[name], f"{_at(place, 'own')}.{name}")
    return _fused(module.fuse, tuple(ends.values()), place)


def _fused(fuse: str, ends: tuple[Value, ...], place: str) -> Value:
    sizes = fused(fuse, [end.sizes for end in ends])
    if len(ends) == 1:
        return ends[0]
    if fuse in FUSED:
        y = Value(ops.Combined(FUSED[fuse]), ends, sizes, place)
        return Value(ops.Scaled(1 / len(ends)), (y,), sizes, place) if fuse == "mean" else y
    along = ALONG.get(fuse, "")
    if along and all(end.sizes.replace({along: 1}) == ends[0].sizes.replace({along: 1}) for end in ends):
        return Value(ops.Stacked() if along == "S" else ops.Concat(), ends, sizes, place)
    return Value(ops.Plain(_listed(FUSES[fuse])), ends, sizes, place)


def _listed(fuse: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda *maps: fuse(maps)


def _through_trunk(module: Parallel, ends: dict[str, Value], place: str) -> dict[str, Value]:
    branches = tuple(ends.values())
    seen = trunk_sizes([end.sizes for end in branches])
    trunk = _steps(module.shared, Value(ops.Join(), branches, seen, place), _at(place, "shared"))
    left = [end.sizes.replace({axis: trunk.sizes[axis] for axis in "SC"}) for end in branches]
    return {
        name: Value(ops.Split(i), (trunk, *branches), sizes, place)
        for i, (name, sizes) in enumerate(zip(ends, left, strict=True))
    }


# ---- Operators ------------------------------------------------------------------------------------------------------


def _pool(module: Pool, x: Value, place: str) -> Value:
    over = x.sizes.named(module.dims)
    one = x.sizes.replace(dict.fromkeys(over, 1))
    found = tuple(Value(_statistic(module, name, over), (x,), one, place) for name in module.by)
    return found[0] if len(found) == 1 else Value(ops.Stacked(module), found, module.sizes, place)


def _statistic(module: Pool, name: str, over: str) -> ops.Op:
    if name in ("mean", "max", "min", "sum"):
        return ops.Reduce(over, name)  # type: ignore[arg-type]
    if name in ("std", "var"):
        return ops.Spread(over, name == "std", module.eps, module.unbiased)
    return ops.Plain(partial(module.statistic, name))


def _cluster(module: Cluster, x: Value, place: str) -> Value:
    if module.hard or module.rounds:
        return _plain(module, x, place)
    return Value(ops.Gather(module), (x,), module.sizes, place)


def _pooling(module: Pooling, x: Value, place: str) -> Value:
    overlapping = module.by == "mean" and all(kernel != stride for kernel, stride in module.windows if stride > 1)
    return Value(ops.Coarsened(module), (x,), module.sizes, place) if overlapping else _plain(module, x, place)


def _linear(module: Linear, x: Value, place: str) -> Value:
    over_channels = module.mix == "C" and not module.each
    return Value(ops.Dense(module), (x,), module.sizes, place) if over_channels else _plain(module, x, place)


def _conv(module: Conv, x: Value, place: str) -> Value:
    return Value(ops.Window(module), (x,), module.sizes, place) if module.mode == "zeros" else _plain(module, x, place)


def _scales(module: MultiScale, x: Value, place: str) -> Value:
    if module.fuse == "concat":
        return _plain(module, x, place)
    ends = tuple(_node(conv, x, _at(place, name)) for name, conv in module.named_children())
    return _fused(module.fuse, ends, place)


def _attention(module: Attention, x: Value, place: str) -> Value:
    return Value(ops.Attend(module), (x,), module.sizes, place)


def _norm(module: BatchNorm, x: Value, place: str) -> Value:
    return Value(ops.Norm(module), (x,), x.sizes, place)


def _pointwise(module: nn.Module, x: Value, place: str) -> Value:
    return Value(ops.Pointwise(NAMES[type(module)]), (x,), x.sizes, place)


def _elementwise(module: Elementwise, x: Value, place: str) -> Value:
    return Value(ops.Pointwise(module.name), (x,), x.sizes, place)


def _identity(module: nn.Identity, x: Value, place: str) -> Value:
    return x


def _softmax(module: SoftmaxModule, x: Value, place: str) -> Value:
    if len(module.dims) > 1:
        return _plain(module, x, place)
    return Value(ops.Softmax(x.sizes.named(module.dims)), (x,), x.sizes, place)


def _gain(module: Gain, x: Value, place: str) -> Value:
    plain = module.each or module.bias is not None
    return _plain(module, x, place) if plain else Value(ops.Gained(module), (x,), x.sizes, place)


def _affine(module: Affine, x: Value, place: str) -> Value:
    return Value(ops.Scaled(module.scale, module.shift), (x,), x.sizes, place)


def _slice(module: Slice, x: Value, place: str) -> Value:
    axis = x.sizes.axes[module.dim - 1]
    return Value(ops.Part(axis, module.start, module.length), (x,), module.sizes, place)


def _cut(module: Stack, x: Value, place: str) -> Value:
    return Value(ops.Cut(module.parts), (x,), module.sizes, place) if module.groups == 1 else _plain(module, x, place)


CAPTURES: dict[type[nn.Module], Callable[[Any, Value, str], Value]] = {
    Steps: _steps,
    nn.Sequential: _steps,
    Series: _series,
    Unit: _unit,
    Parallel: _parallel,
    Pool: _pool,
    Cluster: _cluster,
    Pooling: _pooling,
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
