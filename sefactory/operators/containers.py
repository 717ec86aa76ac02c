"""The modules that compose others: sequences, parallel branches, and the unit y = apply(x, gate(excite(squeeze(x))))."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import reduce

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..config.registry import MODULE_ATTRIBUTES
from ..errors import InvalidValue, join_words
from ..shapes import Dim, Sizes, SymbolicDim, broadcast, is_at_most
from .norm_replacement import fit_to_place
from .traced_shapes import unflatten

FUSES: dict[str, Callable[[Sequence[Tensor]], Tensor]] = {
    "sum": lambda maps: reduce(torch.add, maps),
    "mean": lambda maps: reduce(torch.add, maps) / len(maps),
    "product": lambda maps: reduce(torch.mul, maps),
    "max": lambda maps: reduce(torch.maximum, maps),
    "min": lambda maps: reduce(torch.minimum, maps),
    "difference": lambda maps: reduce(torch.sub, maps),
    "stack": lambda maps: _broadcast_concat(maps, 1),
    "concat": lambda maps: _broadcast_concat(maps, 2),
}
FUSE_AXIS = {"stack": "S", "concat": "C"}

APPLIES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "multiply": torch.mul,
    "add": torch.add,
    "subtract": torch.sub,
    "divide": torch.div,
    "scale_shift": lambda x, g: x * g[:, :1] + g[:, 1:],
}


def _broadcast_concat(maps: Sequence[Tensor], dim: int) -> Tensor:
    """Concatenates maps along one dimension; the other dimensions are broadcast."""
    shapes = [list(t.shape) for t in maps]
    common = list(torch.broadcast_shapes(*[shape[:dim] + [1] + shape[dim + 1 :] for shape in shapes]))
    return torch.cat([t.expand(common[:dim] + [t.shape[dim]] + common[dim + 1 :]) for t in maps], dim)


def fused_sizes(fuse: str, branches: Sequence[Sizes]) -> Sizes:
    """Returns the sizes of the fused branches: stack adds up S, concat adds up C, and axes of size 1 are broadcast.

    Raises InvalidValue for branches that do not broadcast.
    """
    return broadcast(branches, along=FUSE_AXIS.get(fuse, ""))


def find_upsample_axes(apply: str, x: Sizes, gate: Sizes) -> str:
    """Returns the axes along which a gate has a lower resolution than its map x and is upsampled to it.

    Raises InvalidValue for a gate that does not broadcast against x.
    """
    maps = 2 if apply == "scale_shift" else 1
    if apply == "scale_shift" and gate["S"] != 2:
        raise InvalidValue(f"scale_shift needs two maps on S, a scale and a shift, and the gate has {gate['S']}")
    axes = ""
    for axis in x.axes:
        size, target = gate[axis], x[axis]
        if size in (1, target) or (axis == "S" and size == maps):
            continue
        if axis not in x.spatial_axes or not is_at_most(size, target):
            allowed = "1" if target == 1 else f"1 or at most {target}" if axis in x.spatial_axes else f"1 or {target}"
            raise InvalidValue(f"the gate does not fit its map: {axis} is {size} and must be {allowed} (gate {gate}, map {x})")
        axes += axis
    return axes


def shared_trunk_sizes(branches: Sequence[Sizes]) -> Sizes:
    """Returns the sizes of the input of a shared trunk: the positions of all branches, concatenated on H.

    Raises InvalidValue for branches that differ in S or C.
    """
    for axis in "SC":
        if len(sizes := {branch[axis] for branch in branches}) > 1:
            raise InvalidValue(f"a shared trunk needs branches of one {axis}; they have {join_words(map(str, sizes))}")
    first = branches[0]
    grids = tuple(tuple(branch[axis] for axis in first.spatial_axes) for branch in branches)
    positions = SymbolicDim(grids)
    is_known = all(isinstance(dim, int) for grid in grids for dim in grid)
    height: Dim = positions.evaluate({}) if is_known else positions
    joined = first.replace({**dict.fromkeys(first.spatial_axes, 1), "H": height})
    return replace(joined, grid="H") if first.grid == "W" else joined


MODULE_ATTRIBUTES.update({*dir(nn.Module()), "training"})


def children_by_name(module: nn.Module) -> dict[str, nn.Module]:
    """Returns the children. Unlike torch's `named_children`, it lists a module for each of its names."""
    return {name: child for name, child in module._modules.items() if child is not None}


class Sequential(nn.Module):
    """y = f_n(... f_2(f_1(x))) for its children in order; the identity without children. Names may be those of dict methods."""

    def __init__(self, steps: Iterable[tuple[str, nn.Module]]) -> None:
        super().__init__()
        self._modules.update(steps)

    def forward(self, x_BSCHW: Tensor) -> Tensor:
        for step in children_by_name(self).values():
            x_BSCHW = step(x_BSCHW)
        return x_BSCHW

    def add_module(self, name: str, module: nn.Module | None) -> None:
        """As in torch. A norm that a tool puts in the place of a batch norm gets the layout that it expects."""
        super().add_module(name, fit_to_place(self._modules.get(name), module))


class ModuleDict(nn.Module):
    """Holds the branches by name; unlike in torch's ModuleDict, a name may be that of a dict method, such as `values`."""

    def __init__(self, branches: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self._modules.update(branches)

    def add_module(self, name: str, module: nn.Module | None) -> None:
        """As in `Sequential`."""
        super().add_module(name, fit_to_place(self._modules.get(name), module))


class Unit(nn.Module):
    """y = apply(x, gate(excite(squeeze(x)))); along `upsample_axes` the gate is first upsampled to x (nearest neighbour)."""

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
        """Values that are read to apply the gate."""
        return 2 * x.numel()

    def extra_repr(self) -> str:
        return f"apply={self.apply_mode}"


def upsample_to(gate: Tensor, x: Tensor, axes: str) -> Tensor:
    """Returns the gate upsampled to the size of x along `axes` (nearest neighbour)."""
    space = "HW" if x.dim() == 5 else "DHW"
    size = [x.shape[i] if axis in axes else gate.shape[i] for i, axis in enumerate(space, 3)]
    y = F.interpolate(gate.flatten(0, 1), size=size, mode="nearest")
    return unflatten(y, 0, gate.shape[:2])


class Parallel(nn.Module):
    """y = fuse_i own_i(shared(branch_i(x))): parallel branches, an optional shared trunk, optional heads of single branches.

    The shared trunk sees the positions of all branches at once, so that a batch norm in it has common statistics.
    """

    def __init__(self, parallel: ModuleDict, shared: Sequential | None, own: ModuleDict | None, fuse: str) -> None:
        super().__init__()
        self.parallel = parallel
        self.shared, self.own, self.fuse = shared, own, fuse

    def forward(self, x_BSCHW: Tensor) -> Tensor:
        branches = children_by_name(self.parallel)
        maps = [branch(x_BSCHW) for branch in branches.values()]
        if self.shared is not None:
            maps = _apply_shared(self.shared, maps)
        if self.own is not None:
            own = children_by_name(self.own)
            maps = [own[name](y) if name in own else y for name, y in zip(branches, maps, strict=True)]
        return FUSES[self.fuse](maps)

    def elements(self, x: Tensor, y: Tensor) -> int:
        """Values that are read to fuse the branches, after broadcasting."""
        return y.numel() * (1 if self.fuse in FUSE_AXIS else len(self.parallel._modules))

    def extra_repr(self) -> str:
        return f"fuse={self.fuse}"


def _apply_shared(trunk: Sequential, maps: Sequence[Tensor]) -> list[Tensor]:
    """Returns the outputs of a shared trunk, which is applied to the positions of all maps, concatenated on H."""
    flat_maps = [y.flatten(3) for y in maps]
    joined = torch.cat(flat_maps, dim=3).unsqueeze(-1)
    if maps[0].dim() > joined.dim():  # x_BSCDHW: a depth of 1 stands before H
        joined = joined.unsqueeze(3)
    outputs = trunk(joined).flatten(3).split([y.shape[3] for y in flat_maps], dim=3)
    return [unflatten(out, 3, y.shape[3:]) for out, y in zip(outputs, maps, strict=True)]
