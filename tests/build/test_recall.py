"""From the third on a build is a copy: nothing is read or made again, nothing is shared, and what has changed since is seen."""

import copy
import os
import pickle
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import sefactory as sf
from sefactory.build import recall
from sefactory.build.builder import ModuleBuilder
from sefactory.config import registry
from sefactory.config.expressions import _parse
from sefactory.config.parser import Parser
from sefactory.config.repository import ConfigRepository, drop_removed, load_config
from sefactory.config.syntax_tree import Config
from sefactory.errors import ConfigError
from sefactory.operators.module import Module
from sefactory.shapes import Sizes
from tests.invariants.cases import EXAMPLES

NAMES = sf.configs()
GRID = {"height": 14, "width": 14}
NOTHING = 40
"""Attributes that torch sets when a block is made, whatever is in it."""


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """Every test begins without a rehearsal."""
    recall.forget()
    yield
    recall.forget()


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How often nodes were read, modules were made, and attributes of modules were set."""
    count = {"read": 0, "made": 0, "set": 0}
    originals = {"read": (Parser, "_node"), "made": (ModuleBuilder, "node"), "set": (nn.Module, "__setattr__")}
    for kind, (owner, name) in originals.items():
        original = getattr(owner, name)

        def counted(*given: Any, kind: str = kind, original: Any = original) -> Any:
            count[kind] += 1
            return original(*given)

        monkeypatch.setattr(owner, name, counted)
    return count


def once(config: Any, channels: int = 64, **options: Any) -> sf.Block:
    torch.manual_seed(0)
    return sf.build(config, channels, **options)


def built(config: Any, channels: int = 64, **options: Any) -> sf.Block:
    """As it is built when the same was built before, and is kept."""
    before = [once(config, channels, **options) for _ in range(2)]
    block = once(config, channels, **options)
    assert {str(other) for other in before} == {str(block)}
    return block


# ---- What it saves ----


@pytest.mark.parametrize("name", NAMES)
def test_a_third_build_reads_and_makes_nothing(name: str, work: dict[str, int]) -> None:
    for _ in range(2):
        work.update(read=0, made=0, set=0)
        once(name, **GRID)
        assert min(work.values()) > 0
    work.update(read=0, made=0, set=0)
    parsed = _parse.cache_info()
    once(name, **GRID)
    assert (work["read"], work["made"]) == (0, 0) and work["set"] <= NOTHING
    assert _parse.cache_info() == parsed
    once(name, 128, **GRID)
    assert work["read"] == 0 < work["made"]  # the nodes are the same at any width


@pytest.mark.parametrize("name", NAMES)
def test_torch_looks_at_what_it_registers_alone(name: str, work: dict[str, int]) -> None:
    """Of the attributes of modules those that are tensors and modules; torch's own activations set one or two."""
    block = once(name, **GRID)
    registered = sum(len(module._parameters) + len(module._modules) for module in block.node.modules())
    foreign = sum(not isinstance(module, Module) for module in block.modules())
    assert work["set"] <= registered + 2 * foreign + NOTHING


def test_as_many_are_kept_as_is_said() -> None:
    for channels in range(1, recall.MOST_KEPT + 10):
        once("ecanet", 8 * channels)
    assert recall._of_sizes.cache_info().currsize == recall.MOST_KEPT
    long = {"let": {f"name_{i}": i for i in range(1000)}, "gate": ["sigmoid"]}
    before = recall._of_sizes.cache_info()
    once(long)
    assert recall._of_sizes.cache_info() == before


def test_what_is_built_once_is_not_kept() -> None:
    with torch.device("meta"):
        for seen in (True, False):
            block = once("cbam")
            said = _config("cbam").cache_key
            reading, rehearsed = recall._of_config(said, "SCHW"), recall._of_sizes(said, block.sizes[0], torch.float32)
            assert (reading.reading is None) is (rehearsed.rehearsed is None) is seen


def _config(name: str) -> Config:
    return drop_removed(load_config(name, ConfigRepository()))


# ---- What it gives ----


@pytest.mark.parametrize("name", NAMES)
def test_a_copy_is_as_the_first(name: str) -> None:
    first, second = once(name, **GRID), built(name, **GRID)
    drawn = torch.rand(1)
    torch.manual_seed(0)
    sf.build(name, 64, **GRID)
    assert torch.equal(torch.rand(1), drawn)  # as many numbers were drawn
    ours, theirs = first.state_dict(keep_vars=True), second.state_dict(keep_vars=True)
    assert list(ours) == list(theirs) and all(torch.equal(ours[key], theirs[key]) for key in ours)
    assert all(type(ours[key]) is type(theirs[key]) and ours[key].dtype == theirs[key].dtype for key in ours)
    assert [(key, type(m)) for key, m in first.named_modules()] == [(key, type(m)) for key, m in second.named_modules()]
    assert (first.parts, first.let, first.sizes, str(first)) == (second.parts, second.let, second.sizes, str(second))
    x = torch.randn(2, 64, 14, 14)
    assert torch.equal(first.eval()(x), pickle.loads(pickle.dumps(second)).eval()(x))


def changeable(module: nn.Module) -> Iterator[object]:
    """Whatever can be changed in a tree of modules, down to the lists in its attributes."""
    waiting: list[object] = [module]
    while waiting:
        found = waiting.pop()
        if isinstance(found, nn.Module):
            yield found
            waiting += vars(found).values()
        elif isinstance(found, dict | list | set):
            yield found
            waiting += found.values() if isinstance(found, dict) else found
        elif isinstance(found, tuple):
            waiting += found
        elif isinstance(found, torch.Tensor):
            yield found


@pytest.mark.parametrize("name", NAMES)
def test_nothing_that_can_change_is_shared(name: str) -> None:
    blocks = [once(name, **GRID) for _ in range(4)]
    for blocks_or_nodes in (blocks, [block.node for block in blocks]):
        ids = [{id(found) for found in changeable(module)} for module in blocks_or_nodes]
        assert min(map(len, ids)) > 10 and len(set.union(*ids)) == sum(map(len, ids))


PLAIN = (int, float, bool, str, type(None), Sizes, tuple)


@pytest.mark.parametrize(("name", "sizes", "given"), EXAMPLES)
def test_a_module_of_the_package_holds_what_may_be_shared(name: str, sizes: Sizes, given: dict[str, Any]) -> None:
    """Numbers, texts, sizes, tuples of them; and lists of them, which are copied."""
    own = set(vars(nn.Module()))
    operator = registry.find_operator(name)
    assert operator is not None
    for module in operator.make(sizes, **given).modules():
        for attribute, value in vars(module).items():
            inner = value if isinstance(value, list | tuple) else [value]
            assert attribute in own or all(isinstance(item, PLAIN) for item in inner), f"{attribute} of {type(module)}"


def test_changes_of_a_block_stay_with_it() -> None:
    config = {"let": {"r": 4}, "squeeze": [{"pool": {"by": ["mean", "max"]}}], "gate": ["sigmoid"]}
    config["excite"] = [{"linear": {"mix": "S", "out": 1}}]
    wanted = copy.deepcopy(once(config).config)
    for _ in range(5):
        block = once(config)
        assert block.config == wanted and block.let == {"": {"r": 4}}
        assert not block.get_submodule("gate.0")._forward_hooks and block.training
        block.config["squeeze"][0]["pool"]["by"].append("min")
        block.let[""]["r"] = 5  # type: ignore[index]
        block.get_submodule("gate.0").register_forward_hook(lambda *_: None)
        block.get_submodule("squeeze").add_module("1", nn.Identity())
        block.eval().requires_grad_(False).to(torch.float16)


def test_blocks_of_one_config_hold_data_of_their_own() -> None:
    """As `show` and `bench` build several of what they have read once."""
    read = load_config("senet", ConfigRepository())
    before = copy.deepcopy(read.data)
    first, second = sf.build(read, 64), sf.build(read, 64)
    first.config["gate"].append("relu")
    assert read.data == second.config == before != first.config


def test_threads_may_build_at_once() -> None:
    with ThreadPoolExecutor(8) as pool:
        blocks = list(pool.map(lambda _: sf.build("cbam", 32), range(64)))
    tensors = [tensor for block in blocks for tensor in block.state_dict().values()]
    assert len({tensor.data_ptr() for tensor in tensors}) == len(tensors)
    assert all(block(torch.randn(2, 32, 5, 5)).isfinite().all() for block in blocks)


# ---- What is seen ----


def rewritten(path: Path, text: str) -> None:
    """Another text of the same length at the same time."""
    before = path.stat()
    assert len(text) == before.st_size
    path.write_text(text)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_an_edit_is_seen_wherever_it_is(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("gate: [tanh]\n")
    (tmp_path / "base.yaml").write_text("let: {r: 4}\n")
    (tmp_path / "top.yaml").write_text("defaults: [base, _self_]\nseries: [own, {affine: r}]\n")
    assert str(built(tmp_path / "top.yaml")).count("Tanh") == 1
    rewritten(tmp_path / "own.yaml", "gate: [relu]\n")
    assert str(built(tmp_path / "top.yaml")).count("ReLU") == 1
    rewritten(tmp_path / "base.yaml", "let: {r: 7}\n")
    assert "scale=7" in str(built(tmp_path / "top.yaml"))
    rewritten(tmp_path / "top.yaml", "defaults: [base, _self_]\nseries: [own, {affine: 9}]\n")
    assert "scale=9" in str(built(tmp_path / "top.yaml"))


def test_a_name_that_means_something_else_is_seen(tmp_path: Path) -> None:
    config, near, far = ["inner", "relu"], tmp_path / "near", tmp_path / "far"
    near.mkdir()
    far.mkdir()
    (far / "inner.yaml").write_text("[tanh]\n")
    search = [near, far]
    assert "Tanh" in str(built(config, search=search))
    (near / "inner.yaml").write_text("[silu]\n")
    assert "SiLU" in str(built(config, search=search))
    assert "Tanh" in str(built(config, search=[far]))
    (near / "relu.yaml").write_text("[tanh]\n")
    with pytest.raises(ConfigError, match="'relu' is an operator and a config"):
        built(config, search=search)
    (near / "relu.yaml").unlink()
    (near / "inner.yaml").write_text("[\n")
    with pytest.raises(ConfigError, match="malformed YAML"):
        built(config, search=search)
    (near / "inner.yaml").unlink()
    (far / "inner.yaml").unlink()
    with pytest.raises(ConfigError, match="no operator or config named 'inner'"):
        built(config, search=search)


def test_a_file_at_fault_that_nobody_uses_is_read_again_when_it_is_mended(tmp_path: Path) -> None:
    (tmp_path / "inner.yaml").write_text("[\n")
    config = {"let": {"spare": "inner"}, "series": ["relu"]}
    assert "ReLU" in str(built(config, search=[tmp_path]))
    (tmp_path / "inner.yaml").unlink()
    with pytest.raises(ConfigError, match="let.spare"):
        built(config, search=[tmp_path])


def test_an_operator_that_comes_or_goes_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="no operator or config named 'doubled'"):
        built(["doubled"])
    with monkeypatch.context() as patched:
        patched.setattr(registry, "_OPERATORS", dict(registry._OPERATORS))

        def doubled(sizes: Sizes) -> nn.Module:
            return nn.Identity()

        sf.operator("doubled")(doubled)
        made = [once(["doubled", "relu"]).get_submodule("0") for _ in range(4)]
        assert len(set(made)) == len(made)
        patched.setattr(doubled, "__code__", (lambda sizes: nn.Tanh()).__code__)  # one of a user is called at every build
        assert isinstance(built(["doubled", "relu"]).get_submodule("0"), nn.Tanh)
    with pytest.raises(ConfigError, match="no operator or config named 'doubled'"):
        built(["doubled", "relu"])


def outcome(config: Any) -> str:
    try:
        return str(built(config))
    except ConfigError as error:
        return str(error)


@pytest.mark.parametrize(
    ("parameter", "one", "other"), [("bias", True, 1), ("bias", 1, True), ("kernel", 1, 1.0), ("kernel", 1, True)]
)
def test_numbers_that_are_equal_are_not_the_same(parameter: str, one: Any, other: Any) -> None:
    first, second = (outcome([{"conv": {parameter: value}}]) for value in (one, other))
    recall.forget()
    assert first != second == outcome([{"conv": {parameter: other}}])


def test_the_sizes_and_the_grid_are_seen() -> None:
    blocks = [built("cbam", c, **g) for c in (32, 64) for g in ({}, GRID, {"grid": "W"}, {"grid": "DHW"})]
    again = [built("cbam", c, **g) for c in (32, 64) for g in ({}, GRID, {"grid": "W"}, {"grid": "DHW"})]
    assert len({str(block) for block in blocks}) == len(blocks)
    assert [str(block) for block in blocks] == [str(block) for block in again]


def test_the_dtype_and_the_device_are_seen() -> None:
    config = [{"gain": {"start": 1e39}}]
    before = torch.get_default_dtype()
    try:
        torch.set_default_dtype(torch.float64)
        assert all(next(built(config).parameters()).item() == 1e39 for _ in range(2))
    finally:
        torch.set_default_dtype(before)
    with pytest.raises(ConfigError, match="start 1e\\+39 is beyond float32"):
        built(config)
    for _ in range(4):
        with torch.device("meta"):
            assert all(tensor.is_meta for tensor in sf.build("cbam", 32).state_dict().values())
        assert not any(tensor.is_meta for tensor in sf.build("cbam", 32).state_dict().values())
