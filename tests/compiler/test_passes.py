"""Every rule rewrites where it says, keeps the value, and leaves alone what does not meet its condition."""

from typing import Any

import pytest
import torch

import sefactory as sf
from sefactory.compiler.passes import ANY_MODE, EVAL_MODE
from tests.compiler.comparison import compare, pair
from tests.op_recorder import OpRecorder
from tests.sampling import sampled

MLP = [{"mlp": {"hidden": 8, "bias": True}}]
GATE = {"squeeze": ["pool"], "excite": MLP, "gate": ["sigmoid"]}
STRIPS = {"parallel": {"h": [{"pool": "W"}], "w": [{"pool": "H"}]}, "fuse": "product"}
SIDE = {"parallel": {"a": "relu", "b": "tanh"}, "fuse": "stack"}
PAIR = [{"pool": "grid"}, {"linear": "2*C"}, {"stack": 2}]
SUM_S = {"pool": {"over": "S", "by": "sum"}}
ATTEND = {"excite": [{"linear": {"out": "2*4 + C", "bias": True}}, {"attention": {"key": 4}}], "gate": ["gain"], "apply": "add"}
AMONG = {"excite": [{"attention": {"tokens": "C", "scale": 0.1}}], "gate": ["gain"], "apply": "add"}
LENGTH = {"squeeze": [{"pool": {"over": "grid", "by": "l2"}}, {"clamp": 0.1}]}
IN_HEADS: dict[str, Any] = {"attention": {"tokens": "C", "heads": 2, "key": "C/2"}}
HALVES = {"parallel": {"a": ["relu", {"linear": 6}], "b": "tanh"}, "fuse": "concat"}


def crossed(of_q: list[Any], of_k: list[Any], **given: Any) -> list[Any]:
    """Attention among the channels of two heads, with steps of q and of k before it."""
    parts = {"q": [{"slice": {"stop": 16}}, *of_q], "k": [{"slice": {"start": 16, "stop": 32}}, *of_k]}
    attention = {"attention": {**IN_HEADS["attention"], **given}}
    return [{"linear": "3*C"}, {"parallel": {**parts, "v": [{"slice": {"start": 32}}]}, "fuse": "concat"}, attention]


# A config in which the rule fires, and one like it in which it may not.
CASES: dict[str, tuple[Any, Any]] = {
    "reduce_without_stack": ([SIDE, SUM_S], [SIDE, {"pool": {"over": "S", "by": "std"}}]),
    "reduce_without_concat": (
        [SIDE, "unstack", {"pool": {"over": "C", "by": "max"}}],
        [SIDE, "unstack", "relu", {"pool": {"over": "C", "by": "max"}}],
    ),
    "sum_gated_stack": (
        [SIDE, {"excite": [SUM_S, *PAIR]}, SUM_S],
        [SIDE, {"excite": [SUM_S, *PAIR]}, {"pool": {"over": "S", "by": "max"}}],
    ),
    "select_by_softmax": (
        [SIDE, {"excite": [SUM_S, *PAIR], "gate": [{"softmax": "S"}]}, SUM_S],
        [SIDE, {"excite": [SUM_S, *PAIR], "gate": ["sigmoid"]}, SUM_S],
    ),
    "mean_before_sum": (
        [{"parallel": {"a": "relu", "b": "tanh"}, "fuse": "sum"}, "pool"],
        [{"parallel": {"a": "relu", "b": "tanh"}, "fuse": "product"}, "pool"],
    ),
    "sum_before_linear": (
        {"squeeze": [{"pool": {"by": ["mean", "max"]}}], "excite": [*MLP, SUM_S]},
        {"squeeze": [{"pool": {"by": ["mean", "max"]}}], "excite": [*MLP, {"pool": {"over": "S", "by": "max"}}]},
    ),
    "factor_out_map": (
        {"parallel": {"a": GATE, "b": {"squeeze": [{"pool": "C"}]}}, "fuse": "sum"},
        {"parallel": {"a": GATE, "b": ["relu", {"squeeze": [{"pool": "C"}]}]}, "fuse": "sum"},
    ),
    "fold_residual_into_gate": (
        {"parallel": {"a": GATE, "b": "identity"}, "fuse": "sum"},
        {"parallel": {"a": {"gate": ["sigmoid"]}, "b": "identity"}, "fuse": "sum"},
    ),
    "fold_scale_into_gate": (
        {"parallel": {"a": GATE, "b": {"squeeze": [{"pool": "C"}]}}, "fuse": "mean"},
        {"parallel": {"a": "relu", "b": "tanh"}, "fuse": "mean"},
    ),
    "split_gate_product": ({"excite": [STRIPS]}, {"excite": [{**STRIPS, "fuse": "sum"}]}),
    "fold_gain_into_attention": (ATTEND, {"excite": [{"attention": {"factored": True}}], "gate": ["gain"]}),
    "fold_projection_into_attention": (ATTEND, {"excite": [{"linear": {"out": "2*4 + C"}}, "relu", {"attention": {"key": 4}}]}),
    "fold_residual_into_attention": (AMONG, {**AMONG, "apply": "multiply"}),
    "merge_residuals": (
        {"parallel": {"a": ATTEND, "b": AMONG}, "fuse": "sum"},
        {"parallel": {"a": ATTEND, "b": ["relu", AMONG]}, "fuse": "sum"},
    ),
    "mean_before_conv": (
        [{"conv": {"stride": 2, "each": "C", "bias": True}}, "pool"],
        [{"conv": {"stride": 2, "each": "C", "bias": True}}, "relu", "pool"],
    ),
    "merge_convs": (
        {"multiscale": {"kernels": [3, 7, 5], "along": "grid", "bias": True}},
        {"parallel": {"a": {"conv": 3}, "b": {"conv": {"kernel": 3, "dilation": 2}}}, "fuse": "sum"},
    ),
    "split_qkv": (
        [{"linear": "3*C"}, IN_HEADS],
        [{"linear": "3*C"}, {"attention": {**IN_HEADS["attention"], "factored": True}}],
    ),
    "move_factor_to_scores": (
        crossed([{**LENGTH, "apply": "divide"}], []),
        crossed([{"squeeze": [{"pool": "C"}], "gate": ["sigmoid"]}], []),
    ),
    "move_gain_to_scores": (
        crossed([{"stack": 2}, {"gain": {"each": "S"}}, "unstack"], []),
        crossed([{"stack": 4}, {"gain": {"each": "S"}}, "unstack"], []),
    ),
    "slice_of_concat": (
        [HALVES, {"parallel": {"a": {"slice": {"stop": 6}}, "b": [{"slice": {"start": 8, "stop": 14}}]}, "fuse": "sum"}],
        [HALVES, {"parallel": {"a": {"slice": {"stop": 8}}, "b": [{"slice": {"start": 4, "stop": 12}}]}, "fuse": "sum"}],
    ),
    "fold_norm_into_linear": ([{"linear": 8}, "batch_norm"], [{"linear": 8}, "relu", "batch_norm"]),
    "fold_norm_into_conv": ([{"conv": 3}, "batch_norm"], [{"conv": {"padding": "circular"}}, "batch_norm"]),
}


def fired(block: sf.Block) -> list[str]:
    assert block.lowered is not None
    return [rewrite.rule for rewrite in block.lowered.rewrites]


def test_every_rule_has_a_case() -> None:
    assert set(CASES) == {rule.__name__ for rules in (ANY_MODE, EVAL_MODE) for some in rules.values() for rule in some}


@pytest.mark.parametrize("rule", CASES)
def test_a_rule_fires_only_where_its_condition_holds(rule: str) -> None:
    for config, fires in zip(CASES[rule], (True, False), strict=True):
        lowered, plain = pair(config, 16)
        assert (rule in fired(lowered)) == fires
        x = torch.randn(2, 16, 5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
        for train in (False, True):
            assert compare(lowered.train(train), plain.train(train), x)


@pytest.mark.parametrize("over", ["C", "Cgrid", "CH"])
@pytest.mark.parametrize("by", ["mean", "sum", "max", "min"])
@pytest.mark.parametrize("ends", ["tanh", {"pool": "C"}, {"pool": "grid"}])
def test_a_statistic_of_a_concatenation(ends: Any, by: str, over: str) -> None:
    """In groups or not; where the branches differ in size, only the whole has the right mean."""
    branches = {"parallel": {"a": "relu6", "b": ends, "c": "silu"}, "fuse": "stack"}
    for groups in (1, 4):
        config = [branches, {"unstack": {"groups": groups}}, {"pool": {"over": over, "by": by}}]
        lowered, plain = pair(config, 16)
        assert ("reduce_without_concat" in fired(lowered)) == (ends == "tanh")
        assert compare(
            lowered, plain, torch.randn(2, 16, 5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
        )


@pytest.mark.parametrize(
    ("parts", "at_once"),
    [
        ([(0, 4), (4, 16)], True),
        ([(4, 16), (0, 4), (4, 16)], True),
        ([(0, 4), (6, 16)], False),
        ([(0, 8), (4, 16)], False),
        ([(0, 4), (4, 12)], False),
        ([(2, 8), (8, 16)], False),
    ],
)
def test_slices_that_cover_an_axis_are_one_split(parts: list[tuple[int, int]], at_once: bool) -> None:
    branches = {f"p{i}": [{"slice": {"start": start, "stop": stop}}, {"pool": "C"}] for i, (start, stop) in enumerate(parts)}
    lowered, plain = pair({"parallel": branches, "fuse": "sum"}, 16)
    x = torch.randn(2, 16, 5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    assert compare(lowered, plain, x)
    with OpRecorder() as called:
        lowered(x)
    assert ("aten.split_with_sizes.default" in called.names) == at_once


def test_gates_are_multiplied_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    maps = []
    block = sf.build(CASES["split_gate_product"][0], 16).eval()
    monkeypatch.setattr(torch, "mul", lambda a, b: maps.append(b.shape[2:]) or a * b)
    assert block(torch.randn(2, 16, 9, 8)).shape == (2, 16, 9, 8)
    assert maps == [(9, 1), (1, 8)]


TEMPERATURES = {
    "none": [],
    "one": [{"gain": {"start": 1}}],
    "biased": [{"stack": 2}, {"gain": {"each": "S", "bias": True}}, "unstack"],
    "each head": [{"stack": 2}, {"gain": {"each": "S"}}, "unstack"],
    "each channel": [{"gain": {"each": "C"}}],
    "in turn": [{"stack": 2}, {"gain": {"each": "S"}}, {"unstack": {"groups": 4}}],
}


@pytest.mark.parametrize("temperature", sampled(TEMPERATURES, {"biased", "in turn"}))
@pytest.mark.parametrize("apply", ["divide", "multiply"])
@pytest.mark.parametrize("given", [{}, {"scale": 0.3}, {"similarity": "cosine"}], ids=str)
def test_factors_of_q_and_k_move_to_the_scores(temperature: str, apply: str, given: Any) -> None:
    """In whatever order, of one or of both, on small maps and on those whose products are taken one head at a time."""
    steps, unit = TEMPERATURES[temperature], {**LENGTH, "apply": apply}
    for of_q, of_k in ([unit, *steps], [unit]), ([*steps, unit], []), ([unit], [*steps, unit, *steps]):
        lowered, plain = pair(crossed(of_q, of_k, **given), 16)
        assert ("move_factor_to_scores" in fired(lowered)) == (given != {"similarity": "cosine"})  # which knows no lengths
        for side in 6, 96:
            x = torch.randn(2, 16, side, side, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
            assert compare(lowered, plain, x, 1e-11)


@pytest.mark.parametrize("rule", CASES)
def test_a_rule_documents_its_equation(rule: str) -> None:
    lowered, _ = pair(CASES[rule][0], 16)
    assert lowered.lowered is not None
    found = next(rewrite for rewrite in lowered.lowered.rewrites if rewrite.rule == rule)
    assert "=" in found.equation and (not found.place or lowered.get_submodule(found.place) is not None)


def test_a_wrong_rule_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison fails for a rule whose equation is wrong."""
    from sefactory.compiler import graph
    from sefactory.compiler import ir as operations
    from sefactory.compiler import passes as rules
    from sefactory.compiler.passes import rewrite

    def wrong(node: graph.Node, users: rewrite.UserCounts) -> graph.Node | None:
        """mean = sum, which it is not."""
        op = node.op
        if not isinstance(op, operations.Reduce) or op.by != "mean":
            return None
        return graph.Node(operations.Reduce(op.over, "sum"), node.inputs, node.sizes, node.source_path)

    monkeypatch.setitem(rules.ANY_MODE, operations.Reduce, (wrong,))  # type: ignore[arg-type]
    lowered, plain = pair(GATE, 16)
    with pytest.raises(AssertionError):
        compare(lowered, plain, torch.randn(2, 16, 5, 6, dtype=torch.float64))
