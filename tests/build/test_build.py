"""sf.build as a whole: blocks of one config share nothing, an edit is always seen, and faults come before weights."""

import copy
import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import sefactory as sf
from sefactory.config import registry
from sefactory.config.repository import ConfigRepository, load_config
from sefactory.config.schema import Axes
from sefactory.errors import ConfigError
from sefactory.shapes import Sizes

GRID = {"height": 14, "width": 14}


# ---- Two builds ----


@pytest.mark.parametrize("name", sf.configs())
def test_a_seed_gives_the_same_block(name: str) -> None:
    blocks = []
    for _ in range(2):
        torch.manual_seed(0)
        blocks.append(sf.build(name, 64, **GRID))
    first, second = blocks
    assert (first.parts, first.let, first.sizes, str(first)) == (second.parts, second.let, second.sizes, str(second))
    ours, theirs = first.state_dict(), pickle.loads(pickle.dumps(second)).state_dict()
    assert list(ours) == list(theirs) and all(torch.equal(ours[key], theirs[key]) for key in ours)
    assert not {tensor.data_ptr() for tensor in ours.values()} & {tensor.data_ptr() for tensor in second.state_dict().values()}


def test_changes_of_a_block_stay_with_it() -> None:
    config = {"let": {"r": 4}, "squeeze": [{"pool": {"by": ["mean", "max"]}}], "gate": ["sigmoid"]}
    config["excite"] = [{"linear": {"mix": "S", "out": 1}}]
    wanted = copy.deepcopy(sf.build(config, 64).config)
    for _ in range(3):
        block = sf.build(config, 64)
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


def test_threads_build_at_once() -> None:
    with ThreadPoolExecutor(8) as pool:
        blocks = list(pool.map(lambda _: sf.build("cbam", 32), range(32)))
    tensors = [tensor for block in blocks for tensor in block.state_dict().values()]
    assert len({tensor.data_ptr() for tensor in tensors}) == len(tensors)
    assert all(block(torch.randn(2, 32, 5, 5)).isfinite().all() for block in blocks)


def test_faults_are_found_before_a_weight_is_allocated() -> None:
    """Every tensor of a build that fails lies on the meta device, and no random number is drawn."""

    class Devices(TorchDispatchMode):
        found = set[str]()

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            out = func(*args, **(kwargs or {}))
            self.found.add(out.device.type)
            return out

    rng_state = torch.get_rng_state()
    with Devices() as devices, pytest.raises(ConfigError, match="1: conv: kernel 2 is even"):
        sf.build([{"mlp": "C/4"}, {"conv": 2}], 64)
    assert devices.found == {"meta"} and torch.equal(torch.get_rng_state(), rng_state)


# ---- What has changed since the last build ----


def build_text(config: Any, **options: Any) -> str:
    return str(sf.build(config, 64, **options))


def rewritten(path: Path, text: str) -> None:
    """Another text of the same length at the same time."""
    before = path.stat()
    assert len(text) == before.st_size
    path.write_text(text)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_edits_are_noticed(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("gate: [tanh]\n")
    (tmp_path / "base.yaml").write_text("let: {r: 4}\n")
    (tmp_path / "top.yaml").write_text("defaults: [base, _self_]\nseries: [own, {affine: r}]\n")
    assert build_text(tmp_path / "top.yaml").count("Tanh") == 1
    rewritten(tmp_path / "own.yaml", "gate: [relu]\n")
    assert build_text(tmp_path / "top.yaml").count("ReLU") == 1
    rewritten(tmp_path / "base.yaml", "let: {r: 7}\n")
    assert "scale=7" in build_text(tmp_path / "top.yaml")
    rewritten(tmp_path / "top.yaml", "defaults: [base, _self_]\nseries: [own, {affine: 9}]\n")
    assert "scale=9" in build_text(tmp_path / "top.yaml")


def test_a_shadowed_name_is_noticed(tmp_path: Path) -> None:
    config, near, far = ["inner", "relu"], tmp_path / "near", tmp_path / "far"
    near.mkdir()
    far.mkdir()
    (far / "inner.yaml").write_text("[tanh]\n")
    search = [near, far]
    assert "Tanh" in build_text(config, search=search)
    (near / "inner.yaml").write_text("[silu]\n")
    assert "SiLU" in build_text(config, search=search)
    assert "Tanh" in build_text(config, search=[far])
    (near / "relu.yaml").write_text("[tanh]\n")
    with pytest.raises(ConfigError, match="'relu' is an operator and a config"):
        build_text(config, search=search)
    (near / "relu.yaml").unlink()
    (near / "inner.yaml").write_text("[\n")
    with pytest.raises(ConfigError, match="malformed YAML"):
        build_text(config, search=search)
    (near / "inner.yaml").unlink()
    (far / "inner.yaml").unlink()
    with pytest.raises(ConfigError, match="no operator or config named 'inner'"):
        build_text(config, search=search)


def test_a_malformed_file_that_is_not_used_is_no_fault(tmp_path: Path) -> None:
    (tmp_path / "inner.yaml").write_text("[\n")
    config = {"let": {"spare": "inner"}, "series": ["relu"]}
    assert "ReLU" in build_text(config, search=[tmp_path])
    (tmp_path / "inner.yaml").unlink()
    with pytest.raises(ConfigError, match="let.spare"):
        build_text(config, search=[tmp_path])


def test_registered_operators_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="no operator or config named 'doubled'"):
        build_text(["doubled"])
    with monkeypatch.context() as patched:
        patched.setattr(registry, "_OPERATORS", dict(registry._OPERATORS))

        def doubled(sizes: Sizes) -> nn.Module:
            return nn.Identity()

        sf.operator("doubled")(doubled)
        assert "Identity" in build_text(["doubled", "relu"])
        patched.setattr(doubled, "__code__", (lambda sizes: nn.Tanh()).__code__)
        assert "Tanh" in build_text(["doubled", "relu"])
    with pytest.raises(ConfigError, match="no operator or config named 'doubled'"):
        build_text(["doubled", "relu"])


def test_a_factory_function_with_positional_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_OPERATORS", dict(registry._OPERATORS))

    @sf.operator("recorded")
    def recorded(sizes: Sizes, /, over: Axes = "grid", count: int = 2) -> nn.Module:
        return nn.Sequential(*(nn.Identity() for _ in range(count * len(over))))

    assert len(sf.build(["recorded"], 8).get_submodule("0")) == 4
    sizes = Sizes.of_map(8, {}, "HW")
    assert [len(module) for module in (recorded(sizes), recorded(sizes, "W"), recorded(sizes, "grid", 3))] == [4, 2, 6]
    with pytest.raises(TypeError, match="too many positional arguments"):
        recorded(sizes, "W", 1, 2)


def test_parameters_of_operators_are_positional_and_annotated() -> None:
    def keyword_only(sizes: Sizes, *, width: int = 1) -> nn.Module:
        return nn.Identity()

    def untyped(sizes: Sizes, width=1) -> nn.Module:  # type: ignore[no-untyped-def]
        return nn.Identity()

    for make in (keyword_only, untyped):
        with pytest.raises(ValueError, match=r"'doubled': parameter 'width' must be positional and annotated"):
            sf.operator("doubled")(make)


def outcome(config: Any) -> str:
    try:
        return build_text(config)
    except ConfigError as error:
        return str(error)


@pytest.mark.parametrize(
    ("parameter", "one", "other"), [("bias", True, 1), ("bias", 1, True), ("kernel", 1, 1.0), ("kernel", 1, True)]
)
def test_numbers_that_are_equal_are_not_the_same(parameter: str, one: Any, other: Any) -> None:
    first, second = (outcome([{"conv": {parameter: value}}]) for value in (one, other))
    assert first != second == outcome([{"conv": {parameter: other}}])


def test_dtype_and_device_are_noticed() -> None:
    config = [{"gain": {"start": 1e39}}]
    before = torch.get_default_dtype()
    try:
        torch.set_default_dtype(torch.float64)
        assert all(next(sf.build(config, 64).parameters()).item() == 1e39 for _ in range(2))
    finally:
        torch.set_default_dtype(before)
    with pytest.raises(ConfigError, match="start 1e\\+39 is beyond float32"):
        sf.build(config, 64)
    for _ in range(2):
        with torch.device("meta"):
            assert all(tensor.is_meta for tensor in sf.build("cbam", 32).state_dict().values())
        assert not any(tensor.is_meta for tensor in sf.build("cbam", 32).state_dict().values())
