"""Layers that are wrapped (as LoRA does) or parametrized: copies, frozen blocks and a new `lower` compute the same."""

import copy
import io
import pickle
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

import sefactory as sf
from sefactory.operators.conv import Conv
from sefactory.operators.linear import Linear
from tests.compiler.comparison import built, tree_of
from tests.sampling import sampled


class WithDelta(nn.Module):
    """y = f(x) + g(x), where f is the layer that it wraps."""

    def __init__(self, original: nn.Module) -> None:
        super().__init__()
        self.original, self.delta = original, copy.deepcopy(original)
        for parameter in self.delta.parameters():
            nn.init.normal_(parameter, std=0.3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.original(x) + self.delta(x)
        return y


class Doubled(nn.Module):
    """w = 2 v."""

    def forward(self, weight: Tensor) -> Tensor:
        return 2 * weight


def layers_of(block: sf.Block) -> list[str]:
    return [path for path, module in block.node.named_modules() if path and isinstance(module, Linear | Conv)]


def lowered_again(block: sf.Block) -> sf.Block:
    block.lower()
    return block


def saved_and_loaded(block: sf.Block) -> sf.Block:
    file = io.BytesIO()
    torch.save(block, file)
    file.seek(0)
    loaded: sf.Block = torch.load(file, weights_only=False)
    return loaded


def with_loaded_state(block: sf.Block) -> sf.Block:
    twin = copy.deepcopy(block)
    for tensor in (*twin.parameters(), *twin.buffers()):
        tensor.data.zero_()
    twin.load_state_dict(block.state_dict())
    return twin


PATHS: dict[str, Callable[[sf.Block], sf.Block]] = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda block: pickle.loads(pickle.dumps(block)),
    "save": saved_and_loaded,
    "state": with_loaded_state,
    "freeze": sf.freeze,
    "freeze twice": lambda block: sf.freeze(sf.freeze(block)),
    "lower": lowered_again,
}


def check_all(block: sf.Block, x: Tensor, paths: list[str]) -> None:
    for mode in (True, False):
        tree = tree_of(block.train(mode))
        torch.testing.assert_close(copy.deepcopy(block)(x), tree(x), rtol=1e-9, atol=1e-9)
    wanted = tree_of(block)(x)
    torch.testing.assert_close(block(x), wanted, rtol=1e-9, atol=1e-9)
    for path in paths:
        torch.testing.assert_close(PATHS[path](block)(x), wanted, rtol=1e-9, atol=1e-9, msg=lambda text, p=path: f"{p}: {text}")


@pytest.mark.parametrize("name", sampled(sf.configs(), 6))
def test_each_layer_wrapped(name: str) -> None:
    block, x = built(name)
    for path in layers_of(block):
        wrapped = copy.deepcopy(block)
        wrapped(x)
        parent, _, last = path.rpartition(".")
        setattr(wrapped.get_submodule(parent), last, WithDelta(wrapped.get_submodule(path)))
        check_all(wrapped, x, [*PATHS])


@pytest.mark.parametrize("name", sampled(sf.configs(), 6))
def test_all_layers_parametrized(name: str) -> None:
    block, x = built(name)
    block(x)
    for path in layers_of(block):
        parametrize.register_parametrization(block.get_submodule(path), "weight", Doubled())
    check_all(block, x, ["deepcopy", "state", "freeze", "freeze twice", "lower"])  # torch pickles no parametrized module


def test_a_frozen_block_keeps_the_hooks_of_its_layers() -> None:
    """A norm is not folded into a layer whose output a hook changes."""
    block, x = built("sknet")
    block.eval().get_submodule("series.select.excite.0").register_forward_hook(lambda module, args, y: y + 1)
    torch.testing.assert_close(sf.freeze(block)(x), block(x))
