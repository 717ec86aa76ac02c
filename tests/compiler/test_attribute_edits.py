"""Edits of attributes, parameters and buffers: which of them are seen, and what they cost."""

import copy
import pickle
from threading import Lock
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import sefactory as sf
from sefactory.compiler import runtime
from sefactory.config import registry
from sefactory.operators.elementwise import Affine
from sefactory.operators.norm import BatchNorm
from sefactory.shapes import Sizes
from tests.compiler.comparison import built, pair, tree_of
from tests.compiler.test_edits import assert_same


def test_a_bias_that_is_registered_is_used() -> None:
    block, x = built("senet")
    block.eval()
    module = block.get_submodule("excite.0.0")
    bias, module.bias = module.bias, None
    block(x)
    module.register_parameter("bias", bias)
    y = block(x)  # before a copy is made, whose modules are edits
    torch.testing.assert_close(y, tree_of(block)(x))


def test_statistics_that_are_registered_as_none_are_not_used() -> None:
    block, x = built("cbam")
    block.eval()(x)
    for module in block.modules():
        if isinstance(module, BatchNorm):
            module.register_buffer("running_mean", None), module.register_buffer("running_var", None)
    y = block(x)
    torch.testing.assert_close(y, tree_of(block)(x))


def test_an_edit_while_another_thread_compiles_is_seen() -> None:
    """The thread runs the block after the assignment began and before it ended."""
    block, x = built("cbam")
    block.eval()(x)
    tree, path, running = tree_of(block), "series.spatial.excite.1", list[bool]()

    class RunsWhenAssigned(float):
        @property
        def __class__(self) -> type[float]:  # torch asks for it before it assigns
            if not running:
                running.append(True)
                block(x)
                running.clear()
            return float

    block.get_submodule(path).eps = RunsWhenAssigned(0.5)
    y = block(x)
    tree.get_submodule(path).eps = 0.5
    torch.testing.assert_close(y, tree(x))


@pytest.mark.parametrize("grad", [False, True])
def test_an_edit_in_a_compiled_function_is_seen_in_it_and_after_it(grad: bool) -> None:
    """Of a large map in inference, where the program would be traced, and in training, where the module tree is."""
    torch._dynamo.reset()
    block, x = pair("cbam", 32)[0].eval(), torch.randn(2, 32, 32, 40, dtype=torch.float64)
    norm = block.get_submodule("series.spatial.excite.1")

    @torch.compile(backend="eager", fullgraph=True)
    def edit(x: Tensor, eps: float) -> Tensor:
        norm.eps = eps
        return block(x)

    with torch.set_grad_enabled(grad):
        block(x)
        for eps in (0.5, 2.0, 0.5):
            inside, after = edit(x, eps), block(x)
            wanted = tree_of(block)(x)
            torch.testing.assert_close(inside, wanted)
            torch.testing.assert_close(after, wanted)


def test_a_forward_that_a_compiled_function_patches_is_called_in_it() -> None:
    torch._dynamo.reset()
    block, x = pair("senet", 32)[0].eval(), torch.randn(2, 32, 32, 40, dtype=torch.float64)

    @torch.compile(backend="eager", fullgraph=True)
    def patch(x: Tensor) -> Tensor:
        block.get_submodule("gate.0").forward = torch.tanh  # type: ignore[method-assign]
        return block(x)

    with torch.no_grad():
        block(x)
        inside = patch(x)
        torch.testing.assert_close(inside, tree_of(block)(x))


@pytest.mark.parametrize("array", [torch.zeros(3), np.zeros(3)])
def test_an_array_that_is_kept_at_a_module_is_no_edit(array: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    block, x = built("cbam")
    norm = block.get_submodule("series.spatial.excite.1")
    norm.observed = array
    block(x)
    monkeypatch.setattr(runtime, "generate", None)  # not called again
    norm.observed = array + 1
    block(x)


def test_an_array_in_the_place_of_a_number_is_used() -> None:
    block, x = built("simam")
    affine = next(module for module in block.modules() if isinstance(module, Affine))
    for array in (np.array([2.0]), np.full(8, 2.0)):
        affine.scale = array
        assert_same(block, tree_of(block), x, "scale")
        assert block.lowered is not None and not block.lowered.guards_hold()
    for value in (torch.rand(6, 8, dtype=torch.float64), nn.Parameter(torch.tensor(2.0, dtype=torch.float64))):
        for factor in (1, 3):
            affine.__dict__.pop("scale", None)
            affine.scale = nn.Parameter(factor * value.detach()) if isinstance(value, nn.Parameter) else factor * value
            assert_same(block, tree_of(block), x, "scale")


class Locked(nn.ReLU):
    """A module of a user with an attribute that cannot be copied."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "lock"}


def locked(sizes: Sizes) -> Locked:
    """A function of a user that holds a lock."""
    return Locked()


def test_a_module_of_a_user_is_copied_as_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_OPERATORS", dict(registry._OPERATORS))
    sf.operator("locked")(locked)
    block, x = sf.build(["locked", "relu6"], 4), torch.randn(2, 4, 5, 6)
    for twin in (copy.deepcopy(block), pickle.loads(pickle.dumps(block)), sf.freeze(block)):
        torch.testing.assert_close(twin(x), block(x))


def test_a_child_that_is_added_to_an_empty_sequence_runs() -> None:
    block, x = built("senet")
    sequence = nn.Sequential()
    setattr(block.get_submodule("gate"), "0", sequence)
    block.eval().lower()
    torch.testing.assert_close(tree_of(block)(x), block(x))  # the program looks at its modules again after a copy
    sequence.add_module("0", nn.Tanh())
    y = block(x)
    torch.testing.assert_close(y, tree_of(block)(x))
