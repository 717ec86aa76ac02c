"""Overrides: change, add, merge, remove, list index, slot words; what they must not touch."""

from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

import sefactory as sf

BASE = {
    "let": {"r": 16, "k": 7},
    "series": {
        "a": {
            "squeeze": [{"pool": {"over": "grid", "by": "mean"}}],
            "excite": [{"mlp": {"hidden": "C/r"}}],
            "gate": ["sigmoid"],
        },
        "b": [{"conv": {"kernel": "k", "dilation": 2, "bias": False}}, "batch_norm", "relu"],
    },
}
MLP = "series.a.excite.0.mlp"


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("let.r=8", "let.r", 8),
        ("let.r=C/16", "let.r", "C/16"),
        ("let.r=2*k", "let.r", "2*k"),
        ('let.r="max(C/4, 8)"', "let.r", "max(C/4, 8)"),
        ("let.r='max(C/4, 8)'", "let.r", "max(C/4, 8)"),
        ("let.r=0.5", "let.r", 0.5),
        ("let.r=1e-3", "let.r", 0.001),
        ("let.r=-3", "let.r", -3),
        ("let.r=true", "let.r", True),
        ("let={r: 2}", "let", {"r": 2, "k": 7}),
        ("+let.m=3", "let.m", 3),
        ("++let.m=3", "let.m", 3),
        ("++let.r=3", "let.r", 3),
        ("+official.mine={a: b}", "official", {"mine": {"a": "b"}}),
        ("++let={r: 2, m: 3}", "let", {"r": 2, "k": 7, "m": 3}),
        (f"{MLP}.hidden=4", MLP, {"hidden": 4}),
        (f"+{MLP}.bias=true", MLP, {"hidden": "C/r", "bias": True}),
        (f"++{MLP}={{bias: true}}", MLP, {"hidden": "C/r", "bias": True}),
        ("series.b.0.conv.kernel=5", "series.b.0.conv", {"kernel": 5, "dilation": 2, "bias": False}),
        ("++series.b.0.conv={kernel: 5}", "series.b.0.conv", {"kernel": 5, "dilation": 2, "bias": False}),
        ("series.b.0={linear: {out: 3}}", "series.b.0.linear", {"out": 3}),
        ("series.b.1=tanh", "series.b.1", "tanh"),
        ("series.b.1={batch_norm: {momentum: 0.5}}", "series.b.1", {"batch_norm": {"momentum": 0.5}}),
        ("series.b=[relu, {stack: 2}]", "series.b", ["relu", {"stack": 2}]),
        ("series.b=[]", "series.b", []),
        ("+series.b.3=tanh", "series.b.3", "tanh"),
        ("~series.b.1", "series.b", [{"conv": {"kernel": "k", "dilation": 2, "bias": False}}, "relu"]),
        ("~series.a", "series", {"b": [{"conv": {"kernel": "k", "dilation": 2, "bias": False}}, "batch_norm", "relu"]}),
        ("~let", "let", None),
        ("series.a=null", "series", {"b": [{"conv": {"kernel": "k", "dilation": 2, "bias": False}}, "batch_norm", "relu"]}),
        ("series.a.gate=[]", "series.a.gate", []),
        ("+series.a.apply=add", "series.a.apply", "add"),
        ("squeeze@series.a=max", "series.a.squeeze", [{"pool": {"over": "grid", "by": "max"}}]),
        ("+squeeze@series.a=none", "series.a.squeeze", []),
        ("gate@series.a=tanh", "series.a.gate", ["tanh"]),
        ("series.a.squeeze=[{pool: W}]", "series.a.squeeze", [{"pool": "W"}]),
    ],
)
def test_an_override_changes_its_path_alone(override: str, path: str, value: Any) -> None:
    before, changed = OmegaConf.create(BASE), OmegaConf.create(sf.load(BASE, overrides=[override]))
    found = OmegaConf.select(changed, path)
    assert (OmegaConf.to_container(found) if OmegaConf.is_config(found) else found) == value
    above, _, name = path.rpartition(".")
    for config in (before, changed):
        parent = OmegaConf.select(config, above) if above else config
        if OmegaConf.is_list(parent):
            parent[int(name) :] = []
        else:
            parent.pop(name, None)
    assert changed == before


def test_they_apply_one_after_the_other() -> None:
    overrides = ["let.r=8", "+let.m=r", "++let.r=4", "squeeze@series.a=max", "~series.b", "+series.b=[relu]", "series.b.0=tanh"]
    loaded = sf.load(BASE, overrides=overrides)
    assert loaded["let"] == {"r": 4, "k": 7, "m": "r"} and loaded["series"]["b"] == ["tanh"]
    assert loaded["series"]["a"]["squeeze"] == [{"pool": {"over": "grid", "by": "max"}}]


def test_an_order_is_kept() -> None:
    loaded = sf.load(BASE, overrides=["series.a.gate=[tanh]", "+series.c=relu", "let.k=3", "++let.m=1"])
    assert list(loaded) == ["let", "series"] and list(loaded["series"]) == ["a", "b", "c"]
    assert list(loaded["let"]) == ["r", "k", "m"] and list(loaded["series"]["a"]) == ["squeeze", "excite", "gate"]


def test_a_mapping_merges_and_a_list_is_replaced() -> None:
    loaded = sf.load("cbam", overrides=["++series={spatial: {gate: [tanh]}, channel: {excite: [{linear: {}}]}}"])
    assert loaded["series"]["spatial"]["gate"] == ["tanh"] and loaded["series"]["channel"]["excite"] == [{"linear": {}}]
    assert loaded["series"]["spatial"]["squeeze"] == [{"pool": {"over": "C", "by": ["max", "mean"]}}]


def test_a_whole_slot_at_the_root() -> None:
    loaded = sf.load("unit", overrides=["squeeze=mean_max", "excite=[{pool: {over: S}}]", "gate=hard_sigmoid"])
    assert loaded["excite"] == [{"pool": {"over": "S"}}] and loaded["gate"] == ["hard_sigmoid"]
    assert loaded["squeeze"] == [{"pool": {"over": "grid", "by": ["mean", "max"]}}]


def test_words_of_a_users_folder(tmp_path: Path) -> None:
    (tmp_path / "squeeze").mkdir()
    (tmp_path / "squeeze" / "corner.yaml").write_text("squeeze: [{slice: {over: S}}, {pool: H}]")
    (tmp_path / "squeeze" / "mean.yaml").write_text("squeeze: [{pool: {by: min}}]")
    (tmp_path / "squeeze" / "empty.yaml").write_text("gate: [sigmoid]")
    loaded = sf.load("unit", overrides=["squeeze=corner"], search=[tmp_path])
    assert loaded["squeeze"] == [{"slice": {"over": "S"}}, {"pool": "H"}]
    assert sf.load("unit", overrides=["squeeze=mean"], search=[tmp_path])["squeeze"] == [{"pool": {"by": "min"}}]
    with pytest.raises(sf.ConfigError) as caught:
        sf.load("unit", overrides=["squeeze=empty"], search=[tmp_path])
    assert str(caught.value) == "unit.yaml override squeeze=empty: empty.yaml is not a squeeze word: it has no squeeze"


def test_overrides_of_a_list_at_the_root() -> None:
    assert sf.load(["relu", {"stack": 2}], overrides=["1.stack=4", "0=tanh"]) == ["tanh", {"stack": 4}]


def test_overrides_may_come_from_omegaconf() -> None:
    assert sf.load("cbam", overrides=OmegaConf.create(["let.r=8"]))["let"]["r"] == 8
    assert sf.load("cbam", overrides=("let.r=8",))["let"]["r"] == 8
