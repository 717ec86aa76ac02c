"""Where things lie: how branches are fused and gates applied, which path and which layout every weight has."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

import sefactory as sf
from tests.operators.formulas import assert_same, nearest


def grid(c: int = 6, h: int = 7, w: int = 9) -> Tensor:
    return torch.randn(2, c, h, w, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def run(config: Any, x: Tensor, **options: int) -> Tensor:
    y: Tensor = sf.build(config, x.shape[1], **options).double().eval()(x)
    return y


# ---- Fuse -----------------------------------------------------------------------------------------------------------

BRANCHES = {"a": ["tanh"], "b": ["sigmoid"], "c": [{"affine": {"shift": 1}}]}
FUSES: dict[str, Any] = {
    "sum": lambda a, b, c: a + b + c,
    "mean": lambda a, b, c: (a + b + c) / 3,
    "product": lambda a, b, c: a * b * c,
    "max": lambda a, b, c: torch.stack([a, b, c]).amax(0),
    "concat": lambda a, b, c: torch.cat([a, b, c], 1),
}


@pytest.mark.parametrize("fuse", FUSES)
def test_fuse(fuse: str) -> None:
    x = grid()
    assert_same(run({"parallel": BRANCHES, "fuse": fuse}, x), FUSES[fuse](x.tanh(), x.sigmoid(), x + 1))


def test_stack_puts_the_branches_on_s_in_their_order() -> None:
    x = grid()
    maps = [{"parallel": BRANCHES, "fuse": "stack"}, "unstack"]
    assert_same(run(maps, x), torch.cat([x.tanh(), x.sigmoid(), x + 1], 1))
    assert_same(run([maps[0], {"slice": {"over": "S", "start": 1, "stop": 2}}], x), x.sigmoid())


@pytest.mark.parametrize("fuse", FUSES)
def test_branches_of_size_one_are_stretched(fuse: str) -> None:
    x = grid()
    pooled = {"a": [{"pool": "H"}], "b": [{"pool": "W"}], "c": ["identity"]}
    parts = [x.mean(2, keepdim=True), x.mean(3, keepdim=True), x]
    assert_same(run({"parallel": pooled, "fuse": fuse}, x), FUSES[fuse](*(part.expand_as(x) for part in parts)))


def test_the_order_of_a_mapping_is_the_order_of_the_branches() -> None:
    x = grid()
    swapped = {"parallel": dict(reversed(BRANCHES.items())), "fuse": "concat"}
    assert_same(run(swapped, x), torch.cat([x + 1, x.sigmoid(), x.tanh()], 1))


def test_a_trunk_sees_the_positions_of_all_branches() -> None:
    x = grid()
    config = {
        "parallel": {"h": [{"pool": "W"}], "w": [{"pool": "H"}], "hw": ["identity"]},
        "shared": [{"attention": {"tokens": "H"}}],
        "own": {"w": ["tanh"]},
        "fuse": "sum",
    }
    strips = torch.cat([x.mean(3), x.mean(2), x.flatten(2)], 2)
    mixed = strips @ torch.einsum("bcq,bck->bqk", strips, strips).softmax(-1).mT
    h, w, hw = mixed.split([7, 9, 63], 2)
    assert_same(run(config, x), h[..., None] + w[:, :, None].tanh() + hw.reshape(x.shape))


# ---- Apply ----------------------------------------------------------------------------------------------------------


def test_multiply_and_add() -> None:
    x = grid()
    assert_same(run({"gate": ["sigmoid"]}, x), x * x.sigmoid())
    assert_same(run({"gate": ["sigmoid"], "apply": "add"}, x), x + x.sigmoid())
    descriptor = x.mean((2, 3), keepdim=True)
    assert_same(run({"squeeze": ["pool"], "excite": ["tanh"], "gate": ["sigmoid"]}, x), x * descriptor.tanh().sigmoid())


def test_scale_shift_multiplies_by_the_first_map_and_adds_the_second() -> None:
    x = grid()
    config = {"excite": [{"parallel": {"scale": ["tanh"], "shift": ["sigmoid"]}, "fuse": "stack"}], "apply": "scale_shift"}
    assert_same(run(config, x), x * x.tanh() + x.sigmoid())
    of_statistics = {"squeeze": [{"pool": {"by": ["max", "mean"]}}], "apply": "scale_shift"}
    assert_same(run(of_statistics, x), x * x.amax((2, 3), keepdim=True) + x.mean((2, 3), keepdim=True))


@pytest.mark.parametrize("apply", ["multiply", "add"])
@pytest.mark.parametrize(("stride", "size"), [(2, (7, 9)), (3, (7, 9)), (4, (5, 3)), (8, (7, 9)), (2, (1, 1)), (16, (4, 33))])
def test_a_coarse_gate_is_upsampled_nearest(apply: str, stride: int, size: tuple[int, int]) -> None:
    x = grid(h=size[0], w=size[1])
    config = {"squeeze": [{"conv": {"kernel": 1, "mix": "", "stride": stride, "start": 1}}], "apply": apply}
    coarse = x[:, :, ::stride, ::stride]
    gate = nearest(nearest(coarse, 2, size[0]), 3, size[1])
    assert_same(run(config, x), x * gate if apply == "multiply" else x + gate)


def test_a_coarse_gate_along_one_axis_with_the_other_squeezed() -> None:
    x = grid()
    config = {"squeeze": [{"pool": "W"}, {"conv": {"along": "H", "kernel": 1, "mix": "", "stride": 2, "start": 1}}]}
    assert_same(run(config, x), x * nearest(x.mean(3, keepdim=True)[:, :, ::2], 2, 7))


def test_scale_shift_of_a_coarse_gate() -> None:
    x = grid()
    config = {"squeeze": [{"window": 2}, {"linear": {"out": "2*C"}}, {"stack": 2}], "apply": "scale_shift"}
    block = sf.build(config, 6).double().eval()
    window, linear = block.get_submodule("squeeze.0"), block.get_submodule("squeeze.1")
    gate = linear(window(x[:, None]))[:, 0]
    scale, shift = (nearest(nearest(part, 2, 7), 3, 9) for part in gate.chunk(2, 1))
    assert_same(block(x), x * scale + shift)


# ---- Paths: the module tree is the config tree ----------------------------------------------------------------------

PATHS: list[tuple[Any, list[str]]] = [
    ({"linear": {"out": 2, "bias": True}}, ["weight", "bias"]),
    ("batch_norm", ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]),
    (["tanh", {"linear": 2}], ["1.weight"]),
    ([[{"linear": 2}], {"mlp": 2}], ["0.0.weight", "1.0.weight", "1.2.weight"]),
    ({"mlp": {"hidden": 2, "bias": True}}, ["0.weight", "0.bias", "2.weight", "2.bias"]),
    ({"series": [{"linear": 2}, "relu"]}, ["series.0.weight"]),
    ({"series": {"first": {"linear": 2}, "then": [{"linear": 2}]}}, ["series.first.weight", "series.then.0.weight"]),
    ({"gate": ["gain"]}, ["gate.0.weight"]),
    ({"squeeze": ["pool"], "excite": [{"mlp": 2}], "gate": ["sigmoid"]}, ["excite.0.0.weight", "excite.0.2.weight"]),
    (
        {"parallel": {"values": {"linear": 2}, "keys": [{"linear": 2}]}, "fuse": "sum"},
        ["parallel.values.weight", "parallel.keys.0.weight"],
    ),
    (
        {"parallel": {"h": ["tanh"]}, "shared": [{"linear": 2}], "own": {"h": [{"linear": 3}]}, "fuse": "sum"},
        ["shared.0.weight", "own.h.0.weight"],
    ),
    ({"series": {"attend": "pam"}}, [f"series.attend.{key}" for key in ("excite.0.weight", "excite.0.bias", "gate.0.weight")]),
    ({"series": ["cam", "ecanet"]}, ["series.0.gate.0.weight", "series.1.excite.0.weight"]),
    (["cam", "ecanet"], ["0.gate.0.weight", "1.excite.0.weight"]),
    ("cam", ["gate.0.weight"]),
    ({"multiscale": {"kernels": [1, 3], "bias": True}}, ["0.weight", "0.bias", "1.weight", "1.bias"]),
    ({"attention": {"tokens": "H", "key": 1, "position": 4}}, ["position"]),
    ({"cluster": {"count": 1}}, ["weight", "bias"]),
    (["tanh", {"gain": {"bias": True}}], ["1.weight", "1.bias"]),
    ({"let": {"d": 2}, "linear": "d"}, ["weight"]),
]


@pytest.mark.parametrize(("config", "keys"), PATHS)
def test_state_dict_keys_are_the_paths_of_the_config(config: Any, keys: list[str]) -> None:
    block = sf.build(config, 8)
    assert list(block.state_dict()) == keys
    assert all(part.path == "" or block.get_submodule(part.path) is not None for part in block.parts)


def test_every_node_of_the_shipped_configs_is_found_at_its_path() -> None:
    block = sf.build("seaformer", 64)
    row = block.get_submodule("series.attend.parallel.axial.0.parallel.row")
    assert [type(step).__name__ for step in row.children()] == ["Pool", "Attention", "ReLU6", "Linear", "BatchNorm"]
    paths = [part.path for part in block.parts]
    assert len(paths) == len(set(paths)) and "series.attend.parallel.axial.0.parallel.row.1" in paths


LINEAR = [{"linear": {"out": "C"}}]
SHARED: list[tuple[Any, str, str]] = [
    ([*LINEAR, "tanh", *LINEAR], "0", "2"),
    ({"parallel": {"a": LINEAR, "b": LINEAR}, "fuse": "concat"}, "parallel.a", "parallel.b"),
    ({"parallel": {"a": ["tanh"], "b": ["relu"]}, "own": {"a": LINEAR, "b": LINEAR}, "fuse": "sum"}, "own.a", "own.b"),
    ({"multiscale": {"kernels": [3, 3], "along": "HW"}}, "0", "1"),
]


@pytest.mark.parametrize("lower", [True, False])
@pytest.mark.parametrize(("config", "first", "second"), SHARED)
def test_a_module_with_two_names_runs_twice(config: Any, first: str, second: str, lower: bool) -> None:
    shared = sf.build(config, 8).double()
    copied = copy.deepcopy(shared)
    parent, _, name = second.rpartition(".")
    for block in (shared, copied):
        module = block.get_submodule(first)
        setattr(block.get_submodule(parent), name, module if block is shared else copy.deepcopy(module))
        block.lower()
        block.lowered = block.lowered if lower else None
    x = grid(8)
    assert_same(shared(x), copied(x))


# ---- Layouts: weights are loaded by them ----------------------------------------------------------------------------

LAYOUTS: list[tuple[Any, dict[str, tuple[int, ...]]]] = [
    ({"linear": {"out": 4, "bias": True}}, {"weight": (4, 8), "bias": (4,)}),
    ({"linear": {"out": 4, "groups": 2}}, {"weight": (4, 4)}),
    ({"linear": {"each": "C", "bias": True}}, {"weight": (8, 1), "bias": (8, 1)}),
    ({"linear": {"mix": "HW", "out": 3}}, {"weight": (3, 5, 6)}),
    ({"linear": {"mix": "WH", "out": 3, "groups": 3}}, {"weight": (3, 2, 5)}),
    ({"linear": {"mix": "C", "each": "WH", "out": 3, "bias": True}}, {"weight": (6, 5, 3, 8), "bias": (6, 5, 3)}),
    ({"conv": {"out": 4, "kernel": 3, "groups": 2, "bias": True}}, {"weight": (4, 4, 3, 3), "bias": (4,)}),
    ({"conv": {"each": "C", "kernel": 5, "bias": True}}, {"weight": (8, 1, 5, 5), "bias": (8, 1)}),
    ({"conv": {"along": "C", "kernel": 3}}, {"weight": (1, 3)}),
    ({"conv": {"along": "CW", "mix": "S", "out": 1, "kernel": 7}}, {"weight": (1, 1, 7, 7)}),
    ({"conv": {"along": "W", "mix": "CH", "out": 4, "kernel": 3}}, {"weight": (4, 8, 5, 3)}),
    ({"batch_norm": {"each": "CH"}}, {key: (8, 5) for key in ("weight", "bias", "running_mean", "running_var")}),
    ({"gain": {"each": "WC", "bias": True}}, {"weight": (6, 8), "bias": (6, 8)}),
    ("gain", {"weight": ()}),
    ("layer_norm", {"weight": (8,), "bias": (8,)}),
    ({"group_norm": 2}, {"weight": (8,), "bias": (8,)}),
    ({"attention": {"tokens": "H", "key": 1, "heads": 2, "position": 4}}, {"position": (2, 2, 4)}),
    ({"multiscale": {"kernels": [5, 1], "along": "HW"}}, {"0.weight": (8, 8, 5, 5), "1.weight": (8, 8, 1, 1)}),
    ([{"cluster": {"count": 3}}, {"pool": "S"}], {"0.weight": (3, 8), "0.bias": (3,)}),
]


@pytest.mark.parametrize(("config", "shapes"), LAYOUTS)
def test_layout(config: Any, shapes: dict[str, tuple[int, ...]]) -> None:
    state = sf.build(config, 8, height=5, width=6).state_dict()
    assert {key: tuple(t.shape) for key, t in state.items() if not key.endswith("num_batches_tracked")} == shapes
