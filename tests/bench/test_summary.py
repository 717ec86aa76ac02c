"""Costs against formulas derived by hand, the tree of a block, and that describing leaves a block as it was."""

import json
from collections.abc import Callable
from dataclasses import asdict

import pytest
import torch
from torch import nn

import sefactory as sf
from sefactory.bench.summary import node_names, summarize

C, H, W = 256, 40, 56
N = H * W


def _senet() -> int:
    return 2 * C * (C // 16)


def _sknet() -> int:
    width = max(C // 16, 32)
    return 2 * 9 * C * (C // 32) * N + C * width + width * 2 * C


def _cbam() -> int:
    return 2 * _senet() + 2 * 7 * 7 * N


def _coordatt() -> int:
    width = max(C // 32, 8)
    return C * width * (H + W) + width * C * H + width * C * W


def _triplet() -> int:
    return 2 * 7 * 7 * (C * W + H * C + H * W)


def _danet() -> int:
    width = C // 4
    key = width // 8
    convolutions = 2 * (9 * C * width * N + 9 * width * width * N)
    position = width * (2 * key + width) * N + N * N * (key + width)
    return convolutions + position + 2 * width * width * N


def _seaformer() -> int:
    heads, key = 4, 16
    q, v = heads * key, 2 * heads * key
    total = 2 * q + v
    rows = H * H * (q + v) + v * v * H
    columns = W * W * (q + v) + v * v * W
    return C * total * N + rows + columns + v * C * N + 9 * total * N + total * C * N


SEVEN: dict[str, Callable[[], int]] = {
    "senet": _senet,
    "sknet": _sknet,
    "cbam": _cbam,
    "coordatt": _coordatt,
    "triplet": _triplet,
    "danet": _danet,
    "seaformer": _seaformer,
}


@pytest.mark.parametrize("name", SEVEN)
def test_macs_equal_the_formula(name: str) -> None:
    found = summarize(sf.build(name, C), H, W)
    assert found.macs == pytest.approx(SEVEN[name](), rel=0.01)
    assert summarize(sf.build(name, C), H, W, batch=3).macs == pytest.approx(3 * SEVEN[name](), rel=0.01)


@pytest.mark.parametrize("name", sf.configs())
def test_totals_are_the_sums_of_the_lines(name: str) -> None:
    block = sf.build(name, 64)
    found = summarize(block, 8, 12)
    for column in ("parameters", "macs", "elements"):
        assert sum(getattr(line, column) for line in found.lines) == getattr(found, column)
    assert found.parameters == sum(p.numel() for p in block.parameters())
    assert tuple(block.eval()(torch.zeros(found.input)).shape) == found.output


def test_lines_stand_at_their_paths() -> None:
    block = sf.build("danet", 64)
    paths = [line.path for line in summarize(block, 8, 8).lines]
    assert paths[:4] == ["", "parallel.position", "parallel.position.series.enter", "parallel.position.series.enter.0"]
    assert "parallel.position.series.attend.excite.1" in paths and len(set(paths)) == len(paths)
    for path in paths:
        block.get_submodule(path)


def test_let_is_resolved_where_it_stands() -> None:
    assert dict(sf.build("danet", 64).let) == {"": {"D": 16}, "parallel.position.series.attend": {"key": 2}}
    assert sf.build("seaformer", 64, overrides=["let.heads=2"]).let[""]["values"] == 64


def test_elements_count_what_macs_do_not() -> None:
    found = summarize(sf.build("senet", 64), 7, 7)
    by_path = {line.path: line.elements for line in found.lines}
    assert by_path["squeeze.0"] == 64 * 49 and by_path["gate.0"] == 64 and by_path[""] == 2 * 64 * 49
    assert {line.path: line.macs for line in found.lines}["excite.0"] == 2 * 64 * 4


def test_a_root_operator_is_its_own_line() -> None:
    block = sf.build({"linear": {"out": 3}}, 4)
    found = summarize(block, 5, 5)
    assert [(line.path, line.operator, line.parameters, line.macs) for line in found.lines] == [("", "linear", 12, 300)]
    assert node_names(block) == {"": "linear"}


def test_nodes_are_named_by_their_work() -> None:
    names = {"": "apply multiply", "squeeze.0": "pool", "excite.0": "mlp", "gate.0": "sigmoid"}
    assert node_names(sf.build("senet", 64)) == names
    config = {"series": {"a": {"parallel": {"b": "relu", "c": ["tanh"]}, "fuse": "sum"}}}
    branches = {"series.a.parallel.b": "relu", "series.a.parallel.c": "series", "series.a.parallel.c.0": "tanh"}
    assert node_names(sf.build(config, 4)) == {"": "series", "series.a": "fuse sum", **branches}


def test_describing_changes_nothing() -> None:
    block = sf.build("cbam", 64).train()
    block.series.spatial.eval()
    before = {key: t.clone() for key, t in block.state_dict().items()}
    modes = [module.training for module in block.modules()]
    summarize(block, 56, 56)
    assert [module.training for module in block.modules()] == modes
    assert all(torch.equal(before[key], t) for key, t in block.state_dict().items())
    assert not any(module._forward_hooks for module in block.modules())


def test_half_and_meta_blocks_can_be_described() -> None:
    assert summarize(sf.build("danet", 64).half(), 8, 8).macs == summarize(sf.build("danet", 64), 8, 8).macs
    with torch.device("meta"):
        block = sf.build("senet", 2**16)
    assert summarize(block, 7, 7).parameters == 2 * 2**16 * 2**12 + 2**12 + 2**16


def test_a_summary_is_json() -> None:
    found = json.loads(json.dumps(asdict(summarize(sf.build("pam", 64), 7, 9))))
    assert set(found) == {"block", "input", "output", "lines", "parameters", "macs", "elements", "let", "rewrites"}
    assert set(found["lines"][0]) == {"path", "operator", "sizes", "parameters", "macs", "elements"}
    assert found["input"] == [1, 64, 7, 9] and found["let"] == {"": {"key": 8}}


@pytest.mark.parametrize("grid", ["W", "HW", "DHW"])
@pytest.mark.parametrize("name", sf.configs())
def test_the_output_has_the_declared_sizes(name: str, grid: str) -> None:
    try:
        with torch.device("meta"):
            block = sf.build(name, 64, grid=grid)
    except sf.ConfigError:  # its frequencies have one number for each axis of a map
        assert name == "fcanet" and grid != "HW"
        return
    sides = dict(zip(grid, (9, 5, 3), strict=False))
    _, channels, *spatial = block.sizes[1].shape(3, sides)[1:]
    assert summarize(block, *sides.values(), batch=3).output == (3, channels, *spatial[-len(grid) :])


def test_replaced_modules_are_counted() -> None:
    block = sf.build("senet", 64)
    block.gate.add_module("0", nn.Linear(1, 1))
    assert summarize(block, 7, 7).parameters == 64 * 4 * 2 + 64 + 4 + 2
