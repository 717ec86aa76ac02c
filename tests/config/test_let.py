"""Names of `let` that stand for nodes: what several steps share is edited once."""

from pathlib import Path

import pytest
import torch

import sefactory as sf

CONFIG = {
    "let": {"act": "relu6", "r": 4, "cbr": [{"conv": {"kernel": 3}}, "batch_norm", "act"]},
    "series": {"enter": "cbr", "mix": [{"linear": {"out": "C/r"}}, "act"], "leave": ["cbr", {"linear": {"out": "C"}}]},
}


def _equal(a: sf.Block, b: sf.Block) -> None:
    x = 4 * torch.randn(2, 16, 5, 7)
    b.load_state_dict(a.state_dict())
    torch.testing.assert_close(a.eval()(x), b.eval()(x))


def test_a_node_of_let_is_the_node_itself() -> None:
    written = [{"conv": {"kernel": 3}}, "batch_norm", "relu6"]
    plain = {
        "let": {"r": 4},
        "series": {
            "enter": written,
            "mix": [{"linear": {"out": "C/r"}}, "relu6"],
            "leave": [written, {"linear": {"out": "C"}}],
        },
    }
    block = sf.build(CONFIG, 16)
    assert list(block.state_dict()) == list(sf.build(plain, 16).state_dict())
    assert "series.leave.0.1.running_mean" in block.state_dict()
    _equal(block, sf.build(plain, 16))


def test_each_use_has_weights_of_its_own() -> None:
    block = sf.build(CONFIG, 16)
    assert block.state_dict()["series.enter.0.weight"].data_ptr() != block.state_dict()["series.leave.0.0.weight"].data_ptr()


def test_one_override_changes_every_use() -> None:
    changed = sf.build(CONFIG, 16, overrides=["let.act=silu"])
    assert [part.operator for part in changed.parts].count("silu") == 3
    assert not any(part.operator == "relu6" for part in changed.parts)


def test_an_inner_let_hides_the_outer_one() -> None:
    config = {"let": {"act": "relu"}, "series": [{"let": {"act": "tanh"}, "series": ["act"]}, "act"]}
    x = torch.randn(1, 3, 2, 2)
    assert torch.equal(sf.build(config, 3)(x), x.tanh().relu())


def test_a_node_may_name_a_config(tmp_path: Path) -> None:
    (tmp_path / "twice.yaml").write_text("let: {attend: senet}\nseries: [attend, attend]\n")
    once, other = (sf.build([{"twice": given}], 32, search=[tmp_path]) for given in ({}, {"attend": [{"ecanet": {"k": 3}}]}))
    assert "0.series.1.excite.0.0.weight" in once.state_dict()
    assert {key: t.numel() for key, t in other.state_dict().items()} == {
        "0.series.0.0.excite.0.weight": 3,
        "0.series.1.0.excite.0.weight": 3,
    }


MISTAKES = [
    ({"let": {"act": ["act"]}, "series": ["act"]}, "series.0.0: 'act' of let refers to itself"),
    ({"let": {"a": ["b"], "b": ["a"]}, "series": ["a"]}, "series.0.0.0: 'a' of let refers to itself"),
    ({"let": {"act": "relu"}, "series": [{"act": 3}]}, "series.0: 'act' is a node of let and takes no parameters"),
    ({"let": {"act": ["relux"]}, "series": ["act"]}, "series.0.0: no operator or config named 'relux'; did you mean 'relu'?"),
    ({"let": {"act": "relu"}, "mlp": "C/act"}, "config: mlp: hidden is C/act: 'act' is a node of let, not a number"),
    ({"let": {"n": "act + 1", "act": "relu"}, "mlp": "n"}, "let.n: act + 1: no name 'act'; there are C, n"),
    ({"let": {"relu": "tanh"}, "series": ["relu"]}, "let.relu: the name 'relu' is an operator; choose another"),
]


@pytest.mark.parametrize(("config", "message"), MISTAKES)
def test_mistakes(config: dict[str, object], message: str) -> None:
    with pytest.raises(sf.ConfigError) as caught:
        sf.build(config, 8)
    assert str(caught.value) == message
