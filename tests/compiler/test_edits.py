"""A block that was edited after its first run computes what its edited module tree computes."""

import copy
import random
import zlib
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import sefactory as sf
from sefactory.compiler import runtime
from sefactory.compiler.codegen.generate import generate
from sefactory.compiler.edits import last_edit
from sefactory.config import registry
from sefactory.operators.containers import ModuleDict
from sefactory.operators.norm import BatchNorm
from sefactory.shapes import Sizes
from tests.compiler.comparison import built, outcome, pair, tree_of
from tests.compiler.edits import Edit, class_patched, edits_of, global_hook, patch_forward
from tests.sampling import SEVEN_PAPERS, sampled


def result(block: sf.Block, x: Tensor) -> Any:
    try:
        return outcome(block, x)
    except Exception as error:
        return type(error)


def assert_same_output(block: sf.Block, tree: sf.Block, x: Tensor, what: str) -> None:
    try:
        wanted = tree(x)
    except Exception:
        with pytest.raises(Exception):  # noqa: B017, PT011 (any other one)
            block(x)
        return
    torch.testing.assert_close(block(x), wanted, rtol=1e-8, atol=1e-8, equal_nan=True, msg=lambda text: f"{what}: {text}")


def assert_same(block: sf.Block, tree: sf.Block, x: Tensor, what: str) -> None:
    found, wanted = result(block, x), result(tree, x)
    if isinstance(wanted, type):
        assert isinstance(found, type), f"{what}: the tree raises {wanted.__name__}"
        return
    assert not isinstance(found, type), f"{what}: {found}"
    (y, gradients, buffers), (y2, gradients2, buffers2) = found, wanted
    options: dict[str, Any] = {"rtol": 1e-8, "atol": 1e-8, "equal_nan": True, "msg": lambda text: f"{what}: {text}"}
    scale = max(1.0, *(float(g.nan_to_num(0, 0, 0).abs().max()) for g in gradients2 if g.numel()))
    torch.testing.assert_close(y, y2, **options)
    for g, g2 in zip(gradients, gradients2, strict=True):
        torch.testing.assert_close(g / scale, g2 / scale, **options)
    assert buffers.keys() == buffers2.keys()
    for key, t in buffers2.items():
        torch.testing.assert_close(buffers[key], t, **options)


def check_edit(block: sf.Block, x: Tensor, name: str, edit: Edit, draw: random.Random) -> None:
    """Edits a copy, before its first run or after it, and runs it in training mode and in eval mode, in either order."""
    edited = copy.deepcopy(block).train(train := draw.random() < 0.5)
    if draw.random() < 0.8:
        edited(x)
    tree = tree_of(edited)
    edit(edited)
    edit(tree)
    for mode in (train, not train):
        assert_same(edited.train(mode), tree.train(mode), x, name)
    if "hook" not in name and "forward" not in name:  # of these a copy would call the functions of the former
        assert_same(copy.deepcopy(edited), copy.deepcopy(tree), x, f"a copy, {name}")
        edited.lower()
        assert_same(edited, tree, x, f"lowered again, {name}")


def check_drawn_edits(block: sf.Block, x: Tensor, count: int, seed: int) -> None:
    draw = random.Random(seed)
    edits = list(edits_of(block, draw))
    for what, edit in draw.sample(edits, min(count, len(edits))):
        check_edit(block, x, what, edit, draw)


@pytest.mark.parametrize("name", sampled(sf.configs(), 4))
def test_drawn_edits(name: str) -> None:
    check_drawn_edits(*built(name), count=6, seed=zlib.crc32(name.encode()))


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", sf.configs())
def test_many_drawn_edits(name: str) -> None:
    check_drawn_edits(*built(name), count=50, seed=1)


@pytest.mark.parametrize("name", sampled(SEVEN_PAPERS, 3))
def test_drawn_edits_of_a_frozen_block(name: str) -> None:
    block, x = built(name)
    frozen = sf.freeze(block)
    draw = random.Random(2)
    for what, edit in draw.sample(list(edits_of(frozen, draw)), 25):
        edited = copy.deepcopy(frozen)
        edited(x)
        tree = tree_of(edited)
        with torch.no_grad():
            edit(edited)
            edit(tree)
            assert_same_output(edited, tree, x, what)


@pytest.mark.parametrize("name", sampled(sf.configs(), 4))
def test_running_a_block_is_not_an_edit(name: str) -> None:
    """Else its modules would be looked at before every run."""
    block, x = built(name)
    block(x)
    before = last_edit.mark
    for train in (True, False):
        block.train(train)(x.requires_grad_()).sum().backward()
        block.load_state_dict(block.state_dict())
    assert last_edit.mark is before


@pytest.mark.parametrize("name", sampled(SEVEN_PAPERS, 3))
def test_a_patched_class_is_used(name: str) -> None:
    block, x = built(name)
    block(x)
    tree = tree_of(block)
    for kind in {type(module) for module in block.node.modules()} - {ModuleDict}:
        with class_patched(kind):
            assert_same(block, tree, x, kind.__name__)
        assert_same(block, tree, x, f"{kind.__name__} as before")


@pytest.mark.parametrize("name", sampled(SEVEN_PAPERS, 3))
def test_global_hooks_are_called(name: str) -> None:
    block, x = built(name)
    block(x)
    tree = tree_of(block)
    for kind in {type(module) for module in block.node.modules()} - {ModuleDict}:
        with global_hook(kind):
            assert_same(block, tree, x, kind.__name__)
    assert block.lowered is not None and block.lowered.guards_hold()


def test_a_number_that_leaves_the_sizes_is_compiled_again() -> None:
    block, x = built("cbam")
    block(x)
    for module in block.modules():
        if isinstance(module, BatchNorm):
            module.momentum, module.eps = 0.5, 0.25
    assert_same(block, tree_of(block), x, "momentum and eps")
    assert block.lowered is not None and block.lowered.guards_hold()


def test_a_norm_that_is_used_twice_is_counted_once_in_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device may add to all counters of a call at the same time."""
    block, x = sf.build(["batch_norm", "batch_norm", "batch_norm"], 4), torch.randn(2, 4, 5, 6)
    block.add_module("2", block.get_submodule("0"))
    block.lower()
    calls, add = list[int](), torch._foreach_add_
    monkeypatch.setattr(torch, "_foreach_add_", lambda x, y: calls.append(len({*map(id, x)}) - len(x)) or add(x, y))
    block(x)
    assert calls == [0]
    assert [int(block.get_submodule(name).num_batches_tracked) for name in ("0", "1")] == [2, 1]


def test_an_edit_of_one_block_does_not_compile_another(monkeypatch: pytest.MonkeyPatch) -> None:
    edited, other = (sf.build("cbam", 32) for _ in range(2))
    x = torch.randn(2, 32, 6, 7)
    edited(x), other(x)
    compiled = list[Any]()
    monkeypatch.setattr(runtime, "generate", lambda root, frozen: compiled.append(root) or generate(root, frozen))
    edited.get_submodule("series.spatial.excite.1").eps = 0.5
    other(x)
    assert not compiled
    edited(x)
    assert len(compiled) == 1


def set_all(block: sf.Block, name: str, value: Any) -> None:
    for module in block.node.modules():
        if hasattr(module, name):
            setattr(module, name, value)


UNDER_COMPILE: dict[str, tuple[str, Edit]] = {
    "eps": ("cbam", partial(set_all, name="eps", value=0.5)),
    "scale": ("simam", partial(set_all, name="scale", value=2.5)),
    "bias": ("senet", partial(set_all, name="bias", value=None)),
    "mode": ("cbam", partial(set_all, name="mode", value="circular")),
    "by": ("senet", partial(set_all, name="by", value=("max",))),
    "child": ("senet", lambda block: setattr(block.get_submodule("gate"), "0", nn.Tanh())),
    "added": ("senet", lambda block: block.get_submodule("gate").add_module("1", nn.Tanh())),
    "forward": ("senet", partial(patch_forward, path="gate.0")),
}


@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize("edit", sampled(UNDER_COMPILE, 3))
def test_torch_compile_sees_an_edit(edit: str, grad: bool) -> None:
    """Of a large map in inference, where the program is traced, and in training, where the module tree is."""
    torch._dynamo.reset()
    name, apply = UNDER_COMPILE[edit]
    block, x = pair(name, 32)[0].eval(), torch.randn(2, 32, 24, 24, dtype=torch.float64)
    tree = tree_of(block)
    with torch.set_grad_enabled(grad):
        compiled = torch.compile(block, backend="eager", fullgraph=True)
        before = compiled(x)
        apply(block), apply(tree)
        wanted = tree(x)
        assert not torch.allclose(before, wanted)
        torch.testing.assert_close(compiled(x), wanted)


def leaky(sizes: Sizes) -> nn.LeakyReLU:
    """A function of torch that the compiler does not know."""
    return nn.LeakyReLU()


def test_a_module_of_a_user_is_called_with_its_current_attributes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The compiler knows its sizes from the build, and calls it as it is. A wrapper around it runs in the module tree."""
    monkeypatch.setattr(registry, "_OPERATORS", dict(registry._OPERATORS))
    sf.operator("leaky")(leaky)
    block, x = sf.build(["leaky", "relu6"], 4), torch.randn(2, 4, 5, 6)
    block(x)
    module = block.get_submodule("0")
    module.negative_slope = 0.5
    torch.testing.assert_close(block(x), nn.functional.relu6(nn.functional.leaky_relu(x, 0.5)))
    assert block.lowered is not None and block.lowered.guards_hold()
    setattr(block, "0", nn.Sequential(module, nn.Tanh()))
    wanted = nn.functional.relu6(nn.functional.leaky_relu(x, 0.5).tanh())
    torch.testing.assert_close(block(x), wanted)
    block.lower()
    torch.testing.assert_close(block(x), wanted)


def test_a_child_that_is_none_is_skipped() -> None:
    block, x = built("senet")
    block.get_submodule("gate").add_module("0", None)
    y = block(x)
    torch.testing.assert_close(y, tree_of(block)(x))
    block.lower()
    torch.testing.assert_close(block(x), y)


def test_an_unknown_module_in_the_place_of_another_runs_in_the_tree() -> None:
    """Its output sizes are unknown. What it is replaced by is compiled again where the compiler knows it."""
    block, x = built("senet")
    setattr(block.get_submodule("gate"), "0", nn.PReLU(dtype=torch.float64))
    block.lower()
    torch.testing.assert_close(block(x), tree_of(block)(x))
    assert block.lowered is not None and not block.lowered.guards_hold() and not block.lowered.rewrites
    setattr(block.get_submodule("gate"), "0", nn.Tanh())
    block.lower()
    torch.testing.assert_close(block(x), tree_of(block)(x))
    assert block.lowered.guards_hold()
