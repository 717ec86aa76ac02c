"""The three ways to compose, the unit y = apply(x, gate(excite(squeeze(x))))."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from math import prod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..config.registry import reserve_attributes
from ..errors import InvalidValue, join_words
from ..shapes import Dim, Sizes, SymbolicDim, broadcast, is_at_most

FUSES: dict[str, Callable[[Sequence[Tensor]], Tensor]] = {
    "sum": lambda maps: reduce(torch.add, maps),
    "mean": lambda maps: reduce(torch.add, maps) / len(maps),
    "product": lambda maps: reduce(torch.mul, maps),
    "max": lambda maps: reduce(torch.maximum, maps),
    "min": lambda maps: reduce(torch.minimum, maps),
    "difference": lambda maps: reduce(torch.sub, maps),
    "stack": lambda maps: _end_to_end(maps, 1),
    "concat": lambda maps: _end_to_end(maps, 2),
}
FUSE_AXIS = {"stack": "S", "concat": "C"}

APPLIES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "multiply": torch.mul,
    "add": torch.add,
    "subtract": torch.sub,
    "divide": torch.div,
    "scale_shift": lambda x, g: x * g[:, :1] + g[:, 1:],
}


def _end_to_end(maps: Sequence[Tensor], dim: int) -> Tensor:
    """Concatenation of maps whose other axes broadcast."""
    shapes = [list(t.shape) for t in maps]
    common = list(torch.broadcast_shapes(*[s[:dim] + [1] + s[dim + 1 :] for s in shapes]))
    return torch.cat([t.expand(common[:dim] + [s[dim]] + common[dim + 1 :]) for t, s in zip(maps, shapes, strict=True)], dim)


def fused_sizes(fuse: str, branches: Sequence[Sizes]) -> Sizes:
    """The sizes of the fused branches; stack adds up S, concat adds up C, axes of size 1 are stretched."""
    return broadcast(branches, along=FUSE_AXIS.get(fuse, ""))


def find_upsample_axes(apply: str, x: Sizes, gate: Sizes) -> str:
    """The grid axes along which a gate is coarser than its map and has to be brought to it.

    Raises Refused for a gate that does not fit.
    """
    maps = 2 if apply == "scale_shift" else 1
    if apply == "scale_shift" and gate["S"] != 2:
        raise InvalidValue(f"scale_shift takes two maps side by side on S, a scale and a shift, and the gate has {gate['S']}")
    coarse = ""
    for axis in x.axes:
        have, want = gate[axis], x[axis]
        if have in (1, want) or (axis == "S" and have == maps):
            continue
        if axis not in x.spatial_axes or not is_at_most(have, want):
            raise InvalidValue(f"the gate does not fit its map: {axis} is {have} against {want} (gate {gate}, map {x})")
        coarse += axis
    return coarse


def shared_trunk_sizes(branches: Sequence[Sizes]) -> Sizes:
    """What a shared trunk sees: the positions of all branches, one after the other, on H.

    Raises Refused where S or C differ.
    """
    for axis in "SC":
        if len(found := {branch[axis] for branch in branches}) > 1:
            raise InvalidValue(f"a shared trunk needs branches of one {axis}; they have {join_words(map(str, found))}")
    first = branches[0]
    spaces = tuple(tuple(branch[axis] for axis in first.spatial_axes) for branch in branches)
    areas = [prod(known) for space in spaces if len(known := [n for n in space if isinstance(n, int)]) == len(space)]
    positions: Dim = sum(areas) if len(areas) == len(spaces) else SymbolicDim(spaces)
    seen = first.replace({**dict.fromkeys(first.spatial_axes, 1), "H": positions})
    return replace(seen, grid="H") if first.grid == "W" else seen


reserve_attributes({*dir(nn.Module()), "training"})


class Sequential(nn.Module):
    """Children by name, one after the other; without children the identity."""

    def __init__(self, steps: Iterable[tuple[str, nn.Module]]) -> None:
        super().__init__()
        self._modules.update(steps)

    def forward(self, x_BSCHW: Tensor) -> Tensor:
        for step in self._modules.values():
            assert step is not None
            x_BSCHW = step(x_BSCHW)
        return x_BSCHW


class ModuleDict(nn.Module):
    """Children by name, side by side; the owner says what becomes of them."""

    def __init__(self, branches: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self._modules.update(branches)


class Series(nn.Module):
    """Steps under the name `series`."""

    def __init__(self, series: Sequential) -> None:
        super().__init__()
        self.series = series

    def forward(self, x_BSCHW: Tensor) -> Tensor:
        y: Tensor = self.series(x_BSCHW)
        return y


class Unit(nn.Module):
    """y = apply(x, gate(excite(squeeze(x)))); a gate coarser than x is first brought to its grid (nearest)."""

    def __init__(self, squeeze: Sequential, excite: Sequential, gate: Sequential, apply_mode: str, upsample_axes: str) -> None:
        super().__init__()
        self.squeeze, self.excite, self.gate = squeeze, excite, gate
        self.apply_mode, self.upsample_axes = apply_mode, upsample_axes

    def forward(self, x_BSCHW: Tensor) -> Tensor:
        gate = self.gate(self.excite(self.squeeze(x_BSCHW)))
        if self.upsample_axes:
            gate = upsample_to(gate, x_BSCHW, self.upsample_axes)
        return APPLIES[self.apply_mode](x_BSCHW, gate)

    def elements(self, x: Tensor, y: Tensor) -> int:
        """Values that the application reads."""
        return 2 * x.numel()

    def extra_repr(self) -> str:
        return f"apply={self.apply_mode}"


def upsample_to(gate: Tensor, x: Tensor, axes: str) -> Tensor:
    """The gate upsampled to the size of x along `axes` (nearest neighbour)."""
    space = "HW" if x.dim() == 5 else "DHW"
    size = [x.shape[i] if axis in axes else gate.shape[i] for i, axis in enumerate(space, 3)]
    y = F.interpolate(gate.flatten(0, 1), size=size, mode="nearest")
    return torch.unflatten(y, 0, gate.shape[:2])


class Parallel(nn.Module):
    """fuse_i own_i(shared(branch_i(x))): branches side by side, a trunk that sees all their positions, steps of their own."""

    def __init__(self, parallel: ModuleDict, shared: Sequential | None, own: ModuleDict | None, fuse: str) -> None:
        super().__init__()
        self.parallel = parallel
        self.shared, self.own, self.fuse = shared, own, fuse

    def forward(self, x_BSCHW: Tensor) -> Tensor:
        maps = [branch(x_BSCHW) for branch in self.parallel.children()]
        if self.shared is not None:
            maps = _apply_shared(self.shared, maps)
        if self.own is not None:
            own = dict(self.own.named_children())
            names = [name for name, _ in self.parallel.named_children()]
            maps = [own[name](y) if name in own else y for name, y in zip(names, maps, strict=True)]
        return FUSES[self.fuse](maps)

    def elements(self, x: Tensor, y: Tensor) -> int:
        """Values that the fuse reads, its branches stretched to one another."""
        along = {"stack": 1, "concat": 1}.get(self.fuse, len(self.parallel._modules))
        return along * y.numel()

    def extra_repr(self) -> str:
        return f"fuse={self.fuse}"


def _apply_shared(trunk: Sequential, maps: Sequence[Tensor]) -> list[Tensor]:
    """The maps behind a shared trunk, which sees the positions of all of them end to end on H."""
    flat_maps = [y.flatten(3) for y in maps]
    joined = torch.cat(flat_maps, dim=3).unsqueeze(-1)
    if maps[0].dim() > joined.dim():  # x_BSCDHW: a depth of 1 stands before H
        joined = joined.unsqueeze(3)
    outputs = trunk(joined).flatten(3).split([y.shape[3] for y in flat_maps], dim=3)
    return [torch.unflatten(out, 3, y.shape[3:]) for out, y in zip(outputs, maps, strict=True)]
