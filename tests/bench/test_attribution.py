"""The forward time of a block by its nodes: which node a step belongs to, and how the time is divided."""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import sefactory as sf
from sefactory.bench import attribution
from sefactory.bench.attribution import node_shares, sum_by_operator
from sefactory.bench.summary import enclosing_node, node_names
from sefactory.compiler.codegen.emitter import Emitter, Lap
from tests.bench.modules import case, measured
from tests.sampling import SEVEN_PAPERS, sampled

SHAPES = [(2, 256, 56, 56), (2, 512, 28, 28), (2, 1024, 14, 14), (2, 2048, 7, 7)]
"""The shapes of `sefactory bench` by default."""
QUICK = {("senet", 3), ("cbam", 2), ("coordatt", 0), ("triplet", 0), ("sknet", 2), ("seaformer", 1)}


@pytest.fixture
def ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock on which every reading is one second after the one before."""
    readings = iter(range(10**6))
    monkeypatch.setattr(attribution, "now", lambda: float(next(readings)))


@pytest.fixture(autouse=True)
def _inference() -> Iterator[None]:
    with torch.no_grad():
        yield


def random(*shape: int, **kind: Any) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(**kind)


def timed_run(block: sf.Block, x: Tensor) -> tuple[Tensor, list[Lap]]:
    block(x)
    assert block.lowered is not None
    with block.lowered.timed(lambda: 0.0) as laps:
        return block(x), laps


def unattributed(block: sf.Block, laps: list[Lap]) -> list[str]:
    """The steps that do not belong to an operator, a unit or a parallel of the config."""
    names, modules = node_names(block), dict(block.node.named_modules())
    steps = [(path, names[enclosing_node(path, names)]) for paths, _ in laps for path in paths or ("nowhere",)]
    return [f"{path}: {name}" for path, name in steps if path not in modules or name == "series"]


# ---- The nodes of the steps ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("device", ["cpu", "meta"])  # meta runs the programs of accelerators
@pytest.mark.parametrize("name", sf.configs())
def test_every_step_belongs_to_a_node(name: str, device: str) -> None:
    block = sf.build(name, 64, height=7, width=9).to(device).eval()
    x = random(2, 64, 7, 9, device=device)
    y, (start, *laps) = timed_run(block, x)
    assert start[0] == () and laps and unattributed(block, laps) == []
    assert y.shape == block(x).shape and (device == "meta" or torch.equal(y, block(x)))


@pytest.mark.parametrize("path", ["nowhere", "series", None])
def test_a_step_without_a_node_is_found(monkeypatch: pytest.MonkeyPatch, path: str | None) -> None:
    emit = Emitter.emit

    def emitted(self: Emitter, *arguments: Any, **settings: Any) -> None:
        emit(self, *arguments, **settings)
        if len(self.steps) == 3:
            self.steps[-1] = self.steps[-1]._replace(paths=() if path is None else (path,))

    monkeypatch.setattr(Emitter, "emit", emitted)
    block = sf.build({"series": {"a": "relu", "b": ["tanh", "sigmoid"]}}, 8).eval()
    _, (_, *laps) = timed_run(block, random(2, 8, 5, 5))
    assert len(unattributed(block, laps)) == 1


def test_steps_of_all_programs_have_nodes() -> None:
    block = sf.build("sknet", 64)
    for mode, count in ((True, 3), (False, 0)):  # the first step counts the batches of the norms
        _, (_, *laps) = timed_run(block.train(mode), random(2, 64, 7, 9))
        assert unattributed(block, laps) == [] and len(laps[0][0]) == max(count, 1)


@pytest.mark.parametrize(
    "config, paths",
    [
        ({"parallel": {"a": [{"conv": 3}], "b": [{"conv": 5}]}, "fuse": "sum"}, ["parallel.b.0"]),  # merged convolutions
        ([{"conv": 3}, {"pool": {"over": "grid", "by": "mean"}}], ["0"]),  # the mean of a convolution
        ([{"linear": 4}, "batch_norm"], ["0"]),  # a folded norm
        ("pam", ["excite.1"]),  # attention with its projection, gain and residual
        ({"parallel": {"a": "relu", "b": "tanh"}, "fuse": "max"}, ["parallel.a", "parallel.b", ""]),
    ],
)
def test_a_step_belongs_to_the_node_with_its_work(config: Any, paths: list[str]) -> None:
    _, (_, *laps) = timed_run(sf.build(config, 16).eval(), random(2, 16, 6, 6))
    assert list(dict.fromkeys(path for lap, _ in laps for path in lap)) == paths


# ---- The time of the nodes -------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("ticks")
def test_the_time_of_steps() -> None:
    block = sf.build("senet", 64)
    shares = node_shares(block.eval(), random(2, 64, 7, 9), node_names(block))
    # ten readings: the first and the last, and those before the first step and after each of seven
    assert shares == pytest.approx({"squeeze.0": 1 / 9, "excite.0": 3 / 9, "gate.0": 1 / 9, "": 2 / 9})


@pytest.mark.usefixtures("ticks")
def test_a_step_for_several_nodes_is_divided() -> None:
    block = sf.build("coordatt", 64)
    shares = node_shares(block.eval(), random(2, 64, 7, 9), node_names(block))
    assert shares["excite.0.parallel.h.0"] == shares["excite.0.parallel.w.0"] == shares["excite.0.own.w.1"] / 2


@pytest.mark.usefixtures("ticks")
@pytest.mark.parametrize("change", ["not lowered", "hook"])
def test_the_time_of_a_module_tree(change: str) -> None:
    block, calls = sf.build("senet", 64, lower=change != "not lowered").eval(), list[nn.Module]()
    if change == "hook":
        block.get_submodule("gate.0").register_forward_hook(lambda module, args, y: calls.append(module))
    shares = node_shares(block, random(2, 64, 7, 9), node_names(block))
    # ten readings: the first and the last, and those before and after each of four nodes
    assert shares == pytest.approx({"": 4 / 9, "squeeze.0": 1 / 9, "excite.0": 1 / 9, "gate.0": 1 / 9})
    assert len(calls) == (8 if change == "hook" else 0)
    assert sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in block.modules()) == (change == "hook")


@pytest.mark.usefixtures("ticks")
def test_nodes_do_not_have_the_time_of_nodes_below() -> None:
    relu = nn.ReLU()
    module = nn.Sequential(relu, nn.Sequential(nn.Sigmoid(), relu), nn.Tanh())
    operators = {"": "root", "0": "relu", "1": "series", "1.0": "sigmoid", "1.1": "relu", "2": "tanh"}
    shares = node_shares(module, random(3), operators)
    assert shares == pytest.approx({"": 4 / 13, "0": 2 / 13, "1": 3 / 13, "1.0": 1 / 13, "2": 1 / 13})
    assert sum_by_operator({"0": 1.0, "1.1": 2.0, "2": 4.0}, operators) == {"relu": 3.0, "tanh": 4.0}


def test_an_edited_block_is_timed_as_it_is() -> None:
    block = sf.build("senet", 64).eval()
    names = node_names(block)
    node_shares(block, random(2, 64, 7, 9), names)
    block.excite.add_module("0", nn.Identity())
    assert node_shares(block, random(2, 64, 7, 9), names).keys() == {"", "squeeze.0", "excite.0", "gate.0"}
    block.lower()
    assert node_shares(block, random(2, 64, 7, 9), names).keys() == {"", "squeeze.0", "gate.0"}


def test_a_timed_program_is_not_kept() -> None:
    block, x = sf.build("cbam", 64).eval(), random(2, 64, 7, 9)
    _, laps = timed_run(block, x)
    count = len(laps)
    block(x)
    assert len(laps) == count > 0
    assert block.lowered is not None
    with pytest.raises(sf.ConfigError), block.lowered.timed(lambda: 0.0) as laps:
        block(x[:, :3])
    block(x)
    assert laps == []


@pytest.mark.usefixtures("ticks")
def test_blocks_in_a_network_run_their_program(monkeypatch: pytest.MonkeyPatch) -> None:
    block = sf.build("simam", 8)
    network = nn.Sequential(nn.Conv2d(3, 8, 1), block, nn.Sequential(nn.ReLU(), deepcopy(block))).eval()
    monkeypatch.setattr(sf.Block, "_run_tree", lambda self, x: pytest.fail("the module tree ran"))
    shares = node_shares(network, random(2, 3, 7, 9), {"0": "Conv2d", "1": "Block", "2": "Sequential"})
    assert shares == pytest.approx({"0": 1 / 7, "1": 1 / 7, "2": 1 / 7})


@pytest.mark.parametrize(
    "grid, shape, kind",
    [
        ("W", (2, 32, 50), {}),
        ("DHW", (2, 32, 4, 5, 6), {}),
        ("HW", (2, 32, 7, 9), {"dtype": torch.bfloat16}),
        ("HW", (2, 32, 7, 9), {"memory_format": torch.channels_last}),
    ],
)
@pytest.mark.parametrize("name", ["cbam", "seaformer"])
def test_other_inputs(name: str, grid: str, shape: tuple[int, ...], kind: dict[str, Any]) -> None:
    block, x = sf.build(name, 32, grid=grid).eval().to(kind.get("dtype")), random(*shape, **kind)
    y, (_, *laps) = timed_run(block, x)
    assert torch.equal(y, block(x)) and y.stride() == block(x).stride() and unattributed(block, laps) == []
    assert 0.1 < sum(node_shares(block, x, node_names(block)).values()) <= 1


def test_a_frozen_block() -> None:
    block, x = sf.freeze(sf.build("cbam", 32)), random(2, 32, 7, 9)
    y, (_, *laps) = timed_run(block, x)
    assert torch.equal(y, block(x)) and unattributed(block, laps) == []


SEVEN_AT_ALL_SHAPES = [(name, index) for name in SEVEN_PAPERS for index in range(len(SHAPES))]


@pytest.mark.parametrize("name, index", sampled(SEVEN_AT_ALL_SHAPES, lambda *at: at in QUICK))
def test_most_of_the_time_belongs_to_nodes(name: str, index: int) -> None:
    shape = SHAPES[index]
    block = sf.build(name, shape[1]).eval()
    shares = node_shares(block, random(*shape), node_names(block))
    assert 0.85 <= sum(shares.values()) <= 1 + 1e-9 and min(shares.values()) >= 0


def test_the_row_of_a_block() -> None:
    block = sf.build("senet", 64)
    (row,) = measured(case("senet", block, node_names(block)), shape=(2, 64, 7, 9))
    assert row.forward_s is not None and row.nodes.keys() == {"", "squeeze.0", "excite.0", "gate.0"}
    assert row.split == pytest.approx(sum_by_operator(row.nodes, node_names(block)))
    assert row.split.keys() == {"apply multiply", "pool", "mlp", "sigmoid"}
    assert 0 < sum(row.nodes.values()) <= row.forward_s
