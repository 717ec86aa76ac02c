"""Loading: names and where they are looked up, inheritance as Hydra reads it, round trips, nothing shared, nothing changed."""

import copy
import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from omegaconf.errors import ConfigTypeError

import sefactory as sf
from sefactory.config.merge import merge, without_nulls
from sefactory.config.repository import SHIPPED

NAMES = sf.configs()
TREES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(0, 9) | st.sampled_from(["relu", "C/r", "HW"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcd"), inner, max_size=3),
    max_leaves=12,
)
MAPPINGS = st.dictionaries(st.sampled_from("abcd"), TREES, max_size=4)


def ordered(data: Any) -> str:
    """Text that tells two configs apart by the order of their keys as well."""
    return json.dumps(data)


def built(config: Any, channels: int = 64, **options: Any) -> sf.Block:
    torch.manual_seed(0)
    return sf.build(config, channels, **options)


def same(one: sf.Block, other: sf.Block) -> bool:
    """The same names, weights and output."""
    ours, theirs = one.state_dict(), other.state_dict()
    x = torch.randn(2, one.sizes[0].number("C"), 9, 7)
    equal = list(ours) == list(theirs) and all(torch.equal(ours[key], theirs[key]) for key in ours)
    return equal and torch.equal(one.eval()(x), other.eval()(x))


def test_the_names_are_the_files() -> None:
    found = {str(path.relative_to(SHIPPED / "block").with_suffix("")) for path in (SHIPPED / "block").rglob("*.yaml")}
    assert NAMES == sorted(found) and len(NAMES) >= 26


@pytest.mark.parametrize("name", NAMES)
def test_a_loaded_config_builds_the_same_block(name: str) -> None:
    assert same(built(name), built(sf.load(name)))


@pytest.mark.parametrize("name", NAMES)
def test_a_round_trip_through_yaml_changes_nothing(name: str, tmp_path: Path) -> None:
    loaded = sf.load(name)
    (tmp_path / "again.yaml").write_text(yaml.safe_dump(loaded, sort_keys=False))
    assert ordered(sf.load(tmp_path / "again.yaml")) == ordered(loaded)
    assert ordered(sf.load(OmegaConf.create(loaded))) == ordered(loaded)
    assert same(built(tmp_path / "again.yaml"), built(name))


@pytest.mark.parametrize("name", NAMES)
def test_inheritance_equals_that_of_hydra(name: str) -> None:
    with initialize_config_dir(config_dir=str((SHIPPED / "block").resolve()), version_base="1.3"):
        composed = OmegaConf.to_container(compose(name), resolve=False)
    assert ordered(without_nulls(composed)) == ordered(sf.load(name))


@settings(max_examples=300, deadline=None)
@given(MAPPINGS, MAPPINGS)
def test_merging_equals_that_of_omegaconf(base: dict[str, Any], change: dict[str, Any]) -> None:
    try:
        expected = OmegaConf.to_container(OmegaConf.merge(OmegaConf.create(base), OmegaConf.create(change)))
    except ConfigTypeError:  # a mapping in the place of a list, which is a fault there and replaces it here
        reject()
    before = copy.deepcopy((base, change))
    assert ordered(merge(base, change)) == ordered(expected)
    assert (base, change) == before


def test_inheritance_in_order(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("let: {r: 1, k: 1}\nseries: {x: [relu], y: [tanh], z: [silu]}")
    (tmp_path / "b.yaml").write_text("let: {r: 2, m: 2}")
    (tmp_path / "last.yaml").write_text("defaults: [a, b, _self_]\nlet: {r: 3}\nseries: {y: null, w: [gelu]}")
    (tmp_path / "first.yaml").write_text("defaults: [_self_, a, b]\nlet: {r: 3, n: 3}\nseries: {w: [gelu]}")
    assert ordered(sf.load(tmp_path / "last.yaml")) == ordered(
        {"let": {"r": 3, "k": 1, "m": 2}, "series": {"x": ["relu"], "z": ["silu"], "w": ["gelu"]}}
    )
    assert ordered(sf.load(tmp_path / "first.yaml")) == ordered(
        {"let": {"r": 2, "n": 3, "k": 1, "m": 2}, "series": {"w": ["gelu"], "x": ["relu"], "y": ["tanh"], "z": ["silu"]}}
    )


def test_null_removes_and_a_later_file_may_bring_it_back(tmp_path: Path) -> None:
    (tmp_path / "without.yaml").write_text("defaults: [triplet, _self_]\nparallel: {hw: null, cw: null}")
    (tmp_path / "again.yaml").write_text("defaults: [without, _self_]\nparallel: {hw: [sigmoid]}")
    (tmp_path / "user.yaml").write_text("series: {a: without, b: again}")
    assert list(sf.load(tmp_path / "without.yaml")["parallel"]) == ["hc"]
    assert list(sf.load(tmp_path / "again.yaml")["parallel"]) == ["hc", "hw"]
    keys = {key.rsplit(".", 1)[0] for key in sf.build(tmp_path / "user.yaml", 8).state_dict()}
    assert keys == {f"series.{step}.parallel.hc.excite.{i}" for step in "ab" for i in (0, 1)}


@pytest.mark.parametrize(("key", "rest"), [("series", {}), ("parallel", {"fuse": "sum"}), ("own", {"parallel": {"a": "relu"}})])
def test_null_removes_under(key: str, rest: dict[str, Any]) -> None:
    assert sf.load({key: {"a": ["relu"], "b": None}, **rest}) == {key: {"a": ["relu"]}, **rest}
    assert sf.load({"let": {"a": None}})["let"] == {"a": None}


@pytest.fixture
def shelves(tmp_path: Path) -> Path:
    """The same name beside a file, in two search folders, and among the shipped."""
    for folder, step in (("beside", "relu"), ("one", "tanh"), ("two", "silu"), ("two/block", "gelu"), ("one/deep/er", "relu6")):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / folder / "senet.yaml").write_text(f"- {step}")
    (tmp_path / "beside" / "user.yaml").write_text("- senet")
    (tmp_path / "one" / "user.yaml").write_text("- senet")
    return tmp_path


def _words(block: sf.Block) -> list[str]:
    return [part.operator for part in block.parts if part.operator not in ("series", "unit, multiply")]


@pytest.mark.parametrize(
    ("config", "search", "words"),
    [
        ("senet", [], ["pool", "mlp", "sigmoid"]),
        ("senet", ["one", "two"], ["tanh"]),
        ("senet", ["two", "one"], ["gelu"]),
        ("deep/er/senet", ["one"], ["relu6"]),
        (Path("beside/user.yaml"), ["one"], ["relu"]),
        (Path("one/user.yaml"), ["two"], ["tanh"]),
        (["senet"], ["one"], ["tanh"]),
        (["senet"], [], ["pool", "mlp", "sigmoid"]),
        (["deep/er/senet"], ["one"], ["relu6"]),
        ("relu", ["one"], ["relu"]),
    ],
)
def test_where_a_name_is_looked_up(shelves: Path, config: Any, search: list[str], words: list[str]) -> None:
    config = shelves / config if isinstance(config, Path) else config
    assert _words(sf.build(config, 64, search=[shelves / folder for folder in search])) == words


def test_a_base_is_looked_up_beside_its_file(shelves: Path) -> None:
    (shelves / "beside" / "base.yaml").write_text("let: {r: 2}\nmlp: C/r")
    (shelves / "beside" / "deep").mkdir()
    (shelves / "beside" / "deep" / "mine.yaml").write_text("defaults: [base, _self_]")
    (shelves / "beside" / "mine.yaml").write_text("defaults: [base, _self_]\nlet: {r: 4}")
    assert sf.load(shelves / "beside" / "mine.yaml") == {"let": {"r": 4}, "mlp": "C/r"}
    with pytest.raises(sf.ConfigError, match=r"^mine.yaml defaults: no config named 'base'"):
        sf.load(shelves / "beside" / "deep" / "mine.yaml")
    assert sf.load(shelves / "beside" / "deep" / "mine.yaml", search=[shelves / "beside"])["let"] == {"r": 2}


def test_a_merge_key_is_yaml() -> None:
    text = "a: &a {kernel: 3, bias: true}\nb: {<<: *a, kernel: 5}\n"
    from sefactory.config.yaml_reader import parse_yaml

    assert parse_yaml(text, "") == {"a": {"kernel": 3, "bias": True}, "b": {"kernel": 5, "bias": True}}


@pytest.mark.parametrize(
    "config",
    [
        {"squeeze": [{"pool": "HW"}], "excite": [{"mlp": "C/4"}], "gate": ["sigmoid"]},
        ({"pool": {"over": ("HW")}},),
        OmegaConf.create({"squeeze": [{"pool": "HW"}], "excite": [{"mlp": "C/4"}], "gate": ["sigmoid"]}),
        OmegaConf.create([{"mlp": {"hidden": 4}}, "relu"]),
        {"series": OmegaConf.create([{"mlp": {"hidden": 4}}, "relu"])},
    ],
)
def test_containers_are_taken_as_they_are(config: Any) -> None:
    assert same(built(config), built(sf.load(config)))


@pytest.mark.parametrize("overrides", [[], ["let.r=8", "~series.spatial", "series.channel.gate=[tanh]"]])
def test_inputs_stay_as_they_were(overrides: list[str]) -> None:
    given_ = sf.load("cbam")
    before = copy.deepcopy(given_)
    block = sf.build(given_, 64, overrides=overrides)
    loaded = sf.load(given_, overrides=overrides)
    loaded["series"].clear()
    block.config["let"].clear()
    assert ordered(given_) == ordered(before) and ordered(sf.load("cbam")) == ordered(before)


def test_two_builds_share_nothing() -> None:
    one, other = built("danet", 32), built("danet", 32)
    before = {key: tensor.clone() for key, tensor in other.state_dict().items()}
    with torch.no_grad():
        for parameter in one.parameters():
            parameter.add_(1)
    one.train()(torch.randn(2, 32, 5, 5))
    one.config["let"]["D"] = "C/2"
    assert all(torch.equal(before[key], tensor) for key, tensor in other.state_dict().items())
    assert other.config["let"]["D"] == "C/4"


def test_two_uses_of_a_config_share_nothing() -> None:
    block = sf.build(["senet", "senet"], 32)
    tensors = [tensor.data_ptr() for tensor in block.state_dict().values()]
    assert len(tensors) == 8 and len(set(tensors)) == 8


def test_hydra_is_left_alone() -> None:
    assert not GlobalHydra.instance().is_initialized()
    sf.build("cbam", 64, overrides=["let.r=8"])
    assert not GlobalHydra.instance().is_initialized()
    with initialize_config_dir(config_dir=str(SHIPPED.resolve()), version_base="1.3"):
        before = GlobalHydra.instance().hydra
        sf.build("cbam", 64, overrides=["let.r=8"])
        assert GlobalHydra.instance().hydra is before


def test_an_edited_file_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    for name in ("tanh", "relu", "gelu", "relu"):  # as long as one another, and at one and the same time
        file.write_text(f"gate: [{name}]")
        os.utime(file, (1, 1))
        assert sf.load(file)["gate"] == [name]


def test_a_loaded_config_belongs_to_the_caller() -> None:
    first = sf.load("cbam")
    first["series"]["spatial"]["excite"][0]["conv"]["kernel"] = 3
    first["let"].clear()
    assert sf.load("cbam") != first and sf.load("cbam")["let"] == {"r": 16, "k": 7}
    built = sf.build("cbam", 64, overrides=["series.channel.gate=[tanh]"])
    built.config["series"]["channel"]["gate"].append("nothing")
    assert sf.load("cbam", ["series.channel.gate=[tanh]"])["series"]["channel"]["gate"] == ["tanh"]
