"""Official weights: every tensor of both sides is matched, and an error copies nothing."""

from typing import Any

import pytest
import torch
from torch import Tensor

import sefactory as sf
from sefactory.config.merge import without_nulls

SE = {"squeeze": ["pool"], "excite": [{"mlp": {"hidden": 4, "bias": True}}], "gate": ["sigmoid"]}
NORMED = [{"linear": {"out": 6, "bias": True}}, "batch_norm"]
OFFICIAL = {"here/one": {"excite.0": "fc"}, "here/two": {"excite.0.0": "a", "excite.0.2": "b"}}


def mlp(prefix: str = "fc") -> dict[str, Tensor]:
    """What the authors of SE publish, as linear maps."""
    return {
        f"{prefix}.0.weight": torch.randn(4, 8),
        f"{prefix}.0.bias": torch.randn(4),
        f"{prefix}.2.weight": torch.randn(8, 4),
        f"{prefix}.2.bias": torch.randn(8),
    }


def refusal(config: Any, state: dict[str, Any], channels: int = 8, **options: Any) -> str:
    """The message; the block stays as it was."""
    block = sf.build(config, channels)
    before = {key: tensor.clone() for key, tensor in block.state_dict().items()}
    with pytest.raises(sf.ConfigError) as caught:
        sf.load_official(block, state, **options)
    assert all(torch.equal(tensor, before[key]) for key, tensor in block.state_dict().items())
    return str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"source": "here/one"},
        {"source": "here/two"},
        {"keys": {"excite.0": "fc"}},
        {"keys": {"excite": "x", "excite.0": "nothing", "excite.0.0": "fc.0", "excite.0.2": "fc.2"}},
        {"keys": {"excite.0.0.weight": "fc.0.weight", "excite.0.0.bias": ["fc.0.bias"], "excite.0.2": "fc.2"}},
    ],
)
def test_a_map_of_prefixes_or_keys_the_longest_wins(options: dict[str, Any]) -> None:
    block, state = sf.build({**SE, "official": OFFICIAL}, 8), mlp()
    if options.get("source") == "here/two":
        state = {key.replace("fc.0", "a").replace("fc.2", "b"): tensor for key, tensor in state.items()}
    sf.load_official(block, state, **options)
    for ours, theirs in zip(block.state_dict().values(), state.values(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_prefix_ends_at_a_dot() -> None:
    message = refusal([*["relu"] * 10, {"gain": {}}], {"one": torch.ones(())}, keys={"1": "one"})
    assert message.splitlines() == [
        "block 10.weight: has no entry in the key map; add one",
        "block official: unused keys of the official state dict: one; map them, or list them in unused",
        "block official: 1 of the key map matches no key of the block",
    ]


def test_one_source_need_not_be_named() -> None:
    block, state = sf.build({**SE, "official": {"here": {"excite.0": "fc"}, "gone": None}}, 8), mlp()
    sf.load_official(block, state)
    assert torch.equal(block.state_dict()["excite.0.2.bias"], state["fc.2.bias"])


def test_a_list_is_put_end_to_end() -> None:
    block = sf.build({"linear": {"out": 6, "bias": True}}, 8)
    parts = {
        f"{name}.{kind}": torch.randn(2, *([8] if kind == "weight" else [])) for name in "qkv" for kind in ("weight", "bias")
    }
    sf.load_official(block, parts, keys={"weight": [f"{n}.weight" for n in "qkv"], "bias": [f"{n}.bias" for n in "qkv"]})
    assert torch.equal(block.state_dict()["weight"], torch.cat([parts[f"{n}.weight"] for n in "qkv"]))
    assert torch.equal(block.state_dict()["bias"], torch.cat([parts[f"{n}.bias"] for n in "qkv"]))


def test_an_entry_that_covers_nothing_is_named_where_something_does_not_fit() -> None:
    message = refusal(SE, mlp(), keys={"excite.9": "fc"})
    assert message.splitlines()[-1] == "block official: excite.9 of the key map matches no key of the block"


def test_a_list_lies_side_by_side_where_ours_has_an_axis_more() -> None:
    each = [{"stack": 2}, {"linear": {"each": "S", "mix": "C", "out": 3, "bias": True}}, {"gain": {"each": "S"}}, "unstack"]
    block, theirs = sf.build(each, 8), {}
    for name in "ab":
        theirs |= {f"{name}.weight": torch.randn(3, 4), f"{name}.bias": torch.randn(3), f"{name}.gamma": torch.randn(())}
    sf.load_official(block, theirs, keys={"1": ["a", "b"], "2.weight": ["a.gamma", "b.gamma"]})
    for i, name in enumerate("ab"):
        assert torch.equal(block.state_dict()["1.weight"][i], theirs[f"{name}.weight"])
        assert torch.equal(block.state_dict()["1.bias"][i], theirs[f"{name}.bias"])
        assert torch.equal(block.state_dict()["2.weight"][i], theirs[f"{name}.gamma"])


def test_unused_names_entries_and_prefixes_of_theirs() -> None:
    block, state = sf.build(SE, 8), mlp()
    extra = {"head.weight": torch.ones(1), "head.deep.bias": torch.ones(1), "step": torch.ones(1)}
    sf.load_official(block, {**state, **extra}, keys={"excite.0": "fc", "unused": ["head", "step"]})
    message = refusal(SE, {**state, **extra}, keys={"excite.0": "fc", "unused": ["hea", "head.deep"]})
    assert (
        message == "block official: unused keys of the official state dict: head.weight, step; map them, or list them in unused"
    )


@pytest.mark.parametrize(
    ("shape", "fits"),
    [
        ((4, 8), True),
        ((4, 8, 1, 1), True),
        ((1, 4, 1, 8), True),
        ((8, 4), False),
        ((32,), False),
        ((2, 2, 8), False),
        ((4, 7), False),
        ((4, 8, 3, 3), False),
    ],
)
def test_shapes_differ_by_axes_of_size_one_alone(shape: tuple[int, ...], fits: bool) -> None:
    state = {**mlp(), "fc.0.weight": torch.randn(shape)}
    if fits:
        block = sf.build(SE, 8)
        sf.load_official(block, state, keys={"excite.0": "fc"})
        assert torch.equal(block.state_dict()["excite.0.0.weight"], state["fc.0.weight"].reshape(4, 8))
    else:
        message = refusal(SE, state, keys={"excite.0": "fc"})
        assert message == f"block excite.0.0.weight: has shape (4, 8), the official tensor {shape}"


@pytest.mark.parametrize(
    ("state", "options", "message"),
    [
        (
            mlp("cf"),
            {"source": "here/one"},
            "block excite.0.0.weight: the official state dict has no key 'fc.0.weight'; did you mean 'cf.0.weight'?\n"
            "block excite.0.0.bias: the official state dict has no key 'fc.0.bias'; did you mean 'cf.0.bias'?\n"
            "block excite.0.2.weight: the official state dict has no key 'fc.2.weight'; did you mean 'cf.2.weight'?\n"
            "block excite.0.2.bias: the official state dict has no key 'fc.2.bias'; did you mean 'cf.2.bias'?\n"
            "block official: unused keys of the official state dict: cf.0.weight, cf.0.bias, cf.2.weight, "
            "cf.2.bias; map them, or list them in unused",
        ),
        (
            {**mlp(), "fc.1.weight": torch.ones(1)},
            {"source": "here/one"},
            "block official: unused keys of the official state dict: fc.1.weight; map them, or list them in unused",
        ),
        (
            {key: tensor for key, tensor in mlp().items() if key != "fc.2.bias"},
            {"source": "here/one"},
            "block excite.0.2.bias: the official state dict has no key 'fc.2.bias'; did you mean 'fc.0.bias'?",
        ),
        (
            mlp(),
            {"keys": {"excite.0.0": "fc.0"}},
            "block excite.0.2.weight: has no entry in the key map; add one\n"
            "block excite.0.2.bias: has no entry in the key map; add one\n"
            "block official: unused keys of the official state dict: fc.2.weight, fc.2.bias; map them, or list them in unused",
        ),
        (
            mlp(),
            {"keys": {"excite.0": "fc", "excite.0.0.weight": ["fc.0.weight", "fc.0.bias"]}},
            "block excite.0.0.weight: the official tensors (4, 8) and (4,) cannot be concatenated along dim 0",
        ),
        (
            mlp(),
            {"keys": {"excite.0": "fc", "excite.0.0.weight": ["fc.0.weight", "fc.0.weight"]}},
            "block excite.0.0.weight: has shape (4, 8), the official tensor (4, 8) and (4, 8)",
        ),
        (
            {**mlp(), "fc.0.weight": [1.0]},
            {"source": "here/one"},
            "block excite.0.0.weight: 'fc.0.weight' of the official state dict is not a tensor but list",
        ),
        (
            mlp(),
            {"source": "here/oen"},
            "block official: no source 'here/oen'; the config has key maps for here/one, here/two; did you mean 'here/one'?",
        ),
        (mlp(), {}, "block official: no source given; the config has key maps for here/one, here/two"),
        (
            mlp(),
            {"source": "here/one", "keys": {"excite.0": "fc"}},
            "block official: source= and keys= cannot be used together; pass one of them",
        ),
        (mlp(), {"keys": ["fc"]}, 'block keys: ["fc"]; allowed: a mapping from keys of the block to official keys'),
        (
            mlp(),
            {"keys": {"excite.0": 3, "unused": "fc"}},
            "block keys.excite.0: 3; allowed: an official key, or a list of them\n"
            "block keys.unused: 'fc'; allowed: a list of official keys",
        ),
    ],
)
def test_refusals(state: dict[str, Any], options: dict[str, Any], message: str) -> None:
    assert refusal({**SE, "official": OFFICIAL}, state, **options) == message


def with_prefix(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + key: tensor for key, tensor in state.items()}


STATE = mlp()
FORMS: list[dict[str, Any]] = [
    {"state_dict": STATE, "epoch": 3},
    {"model_state_dict": STATE},
    {"model": STATE, "optimizer": {"state": {}}},
    {"net": STATE},
    {"model": {"state_dict": STATE}},
    {"model": STATE, "state_dict": STATE},  # the same one twice
    with_prefix("module.", STATE),
    with_prefix("model.", STATE),
    with_prefix("module._orig_mod.", STATE),
    with_prefix("_orig_mod.module.", STATE),
    {"state_dict": with_prefix("module.", STATE), "epoch": 3},
    {"net": "a name", "state_dict": with_prefix("model.module.", STATE)},
]


@pytest.mark.parametrize("checkpoint", FORMS, ids=lambda checkpoint: " ".join(checkpoint)[:40])
def test_a_checkpoint_is_read_without_containers_and_prefixes(checkpoint: dict[str, Any]) -> None:
    block = sf.build(SE, 8)
    sf.load_official(block, checkpoint, keys={"excite.0": "fc"})
    for key, tensor in STATE.items():
        assert torch.equal(block.state_dict()[key.replace("fc", "excite.0")], tensor)


def test_a_checkpoint_that_fits_as_it_is_is_not_changed() -> None:
    block, state = sf.build(SE, 8), with_prefix("module.", STATE)
    sf.load_official(block, {**state, "state_dict": mlp()}, keys={"excite.0": "module.fc", "unused": ["state_dict"]})
    assert torch.equal(block.state_dict()["excite.0.2.bias"], STATE["fc.2.bias"])


NOT_READ: list[tuple[Any, str]] = [
    (
        {"model": STATE, "state_dict": mlp()},
        "block official: the checkpoint fits below 'state_dict' and 'model'; pass one of them",
    ),
    (
        {"state_dict": with_prefix("module.", mlp("cf"))},
        "block official: unused keys of the official state dict: state_dict; map them, or list them in unused",
    ),
    (
        {"state_dict": with_prefix("module.", {**STATE, "head": torch.ones(1)})},
        "block official: unused keys of the official state dict: head; map them, or list them in unused\n"
        "block official: the checkpoint was read without 'state_dict' and 'module.'",
    ),
    (
        {**with_prefix("module.", STATE), "step": torch.ones(1)},  # not on every key
        "block official: 4 of the 4 official keys are below 'module.'; "
        "pass {k.removeprefix('module.'): v for k, v in state_dict.items() if k.startswith('module.')}",
    ),
    (
        {"model": {**with_prefix("layer1.0.se.", STATE), "layer2.0.se.fc.0.weight": torch.ones(1)}},
        "block official: 4 of the 4 official keys are below 'layer1.0.se.', and some below 1 more; "
        "pass {k.removeprefix('layer1.0.se.'): v for k, v in state_dict.items() if k.startswith('layer1.0.se.')}\n"
        "block official: the checkpoint was read without 'model'",
    ),
    (torch.nn.Linear(2, 2), "block official: Linear; allowed: a state dict; pass its state_dict()"),
    ("weights.pth", "block official: str; allowed: a state dict"),
]


@pytest.mark.parametrize(("checkpoint", "message"), NOT_READ, ids=[message[16:60] for _, message in NOT_READ])
def test_a_checkpoint_that_is_not_read(checkpoint: Any, message: str) -> None:
    assert refusal(SE, checkpoint, keys={"excite.0": "fc"}).endswith(message)


def test_null_takes_an_entry_away() -> None:
    block, state = sf.build(SE, 8), mlp()
    sf.load_official(block, state, keys={"excite.0": "fc", "excite.0.2.bias": None})
    assert torch.equal(block.state_dict()["excite.0.2.bias"], state["fc.2.bias"])


def test_a_block_without_maps_says_so() -> None:
    message = refusal(SE, mlp(), source="here")
    assert message == "block official: no source 'here'; the config has no key map; pass keys="
    assert refusal(["relu"], {}, source="here") == message


def test_a_long_list_of_left_overs_is_cut() -> None:
    message = refusal(["relu"], {f"layer{i}": torch.ones(1) for i in range(300)}, keys={})
    assert message.endswith("layer39, and 260 more; map them, or list them in unused")


def _norm(prefix: str, count: int, counter: int | None) -> dict[str, Tensor]:
    names = ("weight", "bias", "running_mean", "running_var")
    state = {f"{prefix}.{name}": torch.rand(count) for name in names}
    return state if counter is None else {**state, f"{prefix}.num_batches_tracked": torch.tensor(counter)}


@pytest.mark.parametrize(
    ("counters", "loaded"), [((3, 9), 9), ((9, 3), 9), ((0, 0), 0), ((None, None), 5), ((7, None), 7), ((None, 2), 2)]
)
def test_counters_are_the_largest_of_a_list_or_stay(counters: tuple[int | None, int | None], loaded: int) -> None:
    block = sf.build(NORMED, 8)
    block.state_dict()["1.num_batches_tracked"].fill_(5)
    state = {"l.weight": torch.randn(6, 8), "l.bias": torch.randn(6)}
    state |= _norm("p", 2, counters[0]) | _norm("q", 4, counters[1])
    sf.load_official(block, state, keys={"0": "l", "1": ["p", "q"]})
    assert block.state_dict()["1.num_batches_tracked"].item() == loaded
    assert torch.equal(block.state_dict()["1.running_var"], torch.cat([state["p.running_var"], state["q.running_var"]]))


def test_a_counter_needs_no_entry_and_may_have_a_shape() -> None:
    block = sf.build("batch_norm", 6)
    names = ("weight", "bias", "running_mean", "running_var")
    state = {f"n.{name}": torch.rand(6) for name in names}
    sf.load_official(block, state, keys={name: f"n.{name}" for name in names})
    assert block.state_dict()["num_batches_tracked"].item() == 0
    keys = {**{name: f"n.{name}" for name in names}, "num_batches_tracked": "n.count"}
    sf.load_official(block, {**state, "n.count": torch.tensor([4])}, keys=keys)
    assert block.state_dict()["num_batches_tracked"].item() == 4


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_the_block_keeps_its_type_and_device(dtype: torch.dtype) -> None:
    block = sf.build(SE, 8)
    pointers = [tensor.data_ptr() for tensor in block.state_dict().values()]
    state = {key: tensor.to(dtype) for key, tensor in mlp().items()}
    sf.load_official(block, state, keys={"excite.0": "fc"})
    assert {tensor.dtype for tensor in block.state_dict().values()} == {torch.float32}
    assert [tensor.data_ptr() for tensor in block.state_dict().values()] == pointers
    half = sf.build(SE, 8).to(dtype)
    sf.load_official(half, mlp(), keys={"excite.0": "fc"})
    assert {tensor.dtype for tensor in half.state_dict().values()} == {dtype}


def test_their_tensors_and_maps_stay_as_they_were() -> None:
    block, state, keys = sf.build(SE, 8), mlp(), {"excite.0": "fc", "unused": ["x"]}
    before = {key: tensor.clone() for key, tensor in state.items()}
    sf.load_official(block, state, keys=keys)
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.zero_()
    assert keys == {"excite.0": "fc", "unused": ["x"]} and list(state) == list(before)
    assert all(torch.equal(state[key], before[key]) for key in before)
    sf.load_official(sf.build({**SE, "official": OFFICIAL}, 8), state, source="here/one")


def test_a_map_for_more_than_the_block_has_is_no_fault() -> None:
    block = sf.build("cbam", 32, overrides=["~series.spatial"])
    names = {"weight": (2, 32), "bias": (2,)}
    state = {f"ChannelGate.mlp.1.{name}": torch.randn(shape) for name, shape in names.items()}
    state |= {"ChannelGate.mlp.3.weight": torch.randn(32, 2), "ChannelGate.mlp.3.bias": torch.randn(32)}
    sf.load_official(block, state)
    assert torch.equal(block.state_dict()["series.channel.excite.0.0.bias"], state["ChannelGate.mlp.1.bias"])


@pytest.mark.parametrize("name", sf.configs())
def test_every_map_of_every_config_covers_the_whole_block(name: str) -> None:
    block = sf.build(name, 64)
    for source, entries in (without_nulls(block.config).get("official") or {}).items():
        if entries is None:
            continue
        keys = {ours: theirs for ours, theirs in entries.items() if ours != "unused"}
        for key in block.state_dict():
            covered = [entry for entry in keys if key == entry or key.startswith(f"{entry}.")]
            assert covered or key.endswith("num_batches_tracked"), f"{name}, {source}: {key}"
