"""A random config builds and runs with its declared sizes at every grid (or its fixed one), or is rejected with ConfigError."""

from collections import Counter
from functools import lru_cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import sefactory as sf
from sefactory.config.registry import find_operator
from tests.random_trees.operators import SHAPE_CHANGING, SHAPE_PRESERVING, Operators
from tests.random_trees.trees import REFERENCES, Tree, depth, grids, random_tree
from tests.sampling import sampled

COUNT, CHUNKS = 5000, 50
LARGE = 10**6  # parameters; a corrupted size can ask for more memory than a test should allocate

Seen = list[tuple[str, tuple[int, ...], tuple[int, ...]]]


def watched(block: sf.Block) -> Seen:
    """A list to which a run of the block adds path, input shape and output shape of every node."""
    seen: Seen = []
    for path in {part.path for part in block.parts} - {""}:

        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor, path: str = path) -> None:
            seen.append((path, tuple(inputs[0].shape), tuple(output.shape)))

        block.get_submodule(path).register_forward_hook(hook)
    return seen


def check_sizes(block: sf.Block, tree: Tree) -> None:
    """Checks that every node has its declared input and output shapes, and that values are finite."""
    declared = {part.path: part.sizes for part in block.parts}
    seen = watched(block)
    for batch, grid in enumerate(grids(tree), start=1):
        seen.clear()
        shape = (batch, tree.channels, *grid.values())
        y = block(torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64))
        inside = block.sizes[1].shape(batch, grid)
        assert inside[1] == 1 and tuple(y.shape) == (inside[0], inside[2], *inside[-len(grid) :])
        assert tree.is_corrupted or y.isfinite().all()
        for path, incoming, outgoing in seen:
            assert (incoming, outgoing) == tuple(sizes.shape(batch, grid) for sizes in declared[path]), path


def built(tree: Tree) -> sf.Block:
    depth, height, width = (tree.fixed_sizes.get(axis) for axis in "DHW")
    return sf.build(tree.config, tree.channels, grid=tree.grid, depth=depth, height=height, width=width)


def check_training(block: sf.Block, tree: Tree) -> None:
    """Runs a forward in training mode on a batch of two, and a backward."""
    x = torch.randn(2, tree.channels, *grids(tree)[0].values(), dtype=torch.float64, requires_grad=True)
    block.train()(x).sum().backward()
    assert x.grad is not None and x.grad.shape == x.shape


def outcome(seed: int) -> str:
    """`ran`, `refused` or `large`; anything else fails."""
    tree = random_tree(seed)
    try:
        if tree.is_corrupted:
            with torch.device("meta"):
                size = sum(p.numel() for p in built(tree).parameters())
            if size > LARGE:
                return "large"
        block = built(tree).double()
    except sf.ConfigError as error:
        assert error.path and all(path and text for path, text in error.faults), seed
        return "refused"
    check_sizes(block.eval(), tree)
    if seed % 4 == 0:
        check_training(block, tree)
    return "ran"


@lru_cache(maxsize=CHUNKS)
def outcomes(chunk: int) -> Counter[str]:
    torch.manual_seed(chunk)
    size = COUNT // CHUNKS
    return Counter(outcome(seed) for seed in range(chunk * size, (chunk + 1) * size))


@pytest.mark.parametrize("chunk", sampled(range(CHUNKS), CHUNKS))
def test_trees_run_or_are_rejected(chunk: int) -> None:
    found = outcomes(chunk)
    assert found.total() == COUNT // CHUNKS and found["ran"] > 0.4 * found.total()


@pytest.mark.exhaustive
def test_the_trees_are_not_trivial() -> None:
    total: Counter[str] = sum((outcomes(chunk) for chunk in range(CHUNKS)), Counter())
    assert sum(total.values()) == COUNT
    assert total["ran"] > 0.5 * COUNT and total["refused"] > 0.15 * COUNT and total["large"] < 0.01 * COUNT


def _words(data: Any) -> set[str]:
    """Every name that stands anywhere in a config."""
    if isinstance(data, str):
        return {data}
    inner = [*data, *data.values()] if isinstance(data, dict) else data if isinstance(data, list) else []
    return {word for item in inner for word in _words(item)}


def test_trees_are_deep_and_use_every_word() -> None:
    trees = [random_tree(seed) for seed in range(COUNT)]
    assert max(depth(tree.config) for tree in trees) >= 15
    said = {word for tree in trees for word in _words(tree.config)}
    shipped = {name for name in sf.operators() if find_operator(name).make.__module__.startswith("sefactory.")}  # type: ignore[union-attr]
    grammar = {"squeeze", "excite", "gate", "apply", "series", "parallel", "shared", "own", "fuse", "let"}
    assert said >= shipped | grammar | set(REFERENCES)
    assert said >= {"multiply", "add", "scale_shift", "sum", "mean", "product", "max", "stack", "concat"}


def test_trees_are_reproducible() -> None:
    assert all(repr(random_tree(seed)) == repr(random_tree(seed)) for seed in range(50))


def test_the_generator_has_a_method_for_each_operator() -> None:
    names = {*SHAPE_CHANGING, *SHAPE_PRESERVING}
    assert all(hasattr(Operators, name) for name in names if find_operator(name) is None)


# ---- Regressions that random trees found: each once failed inside torch, or raised another error -------------------------

RUNS: list[Any] = [
    [{"stack": 2}, {"linear": {"mix": "CS", "out": 4}}],
    [{"stack": 2}, {"linear": {"mix": "CS", "out": 4, "groups": 2, "bias": True}}],
    ["cbam_channel", "triplet_two"],
    {"parallel": {"a": {"cbam_channel": {"r": 2}}, "b": "relu"}, "fuse": "sum"},
]
REFUSED: list[Any] = [
    {"senet": {"r": None}},
    [{"senet": {"r": [2]}}],
    [{"senet": {"r": {"k": 2}}}],
    {"let": {"r": float("nan")}, "mlp": "r"},
    {"let": {"r": [2]}, "mlp": "r"},
    {"let": {f"a{i}": f"a{i + 1}" for i in range(3000)} | {"a3000": 2}, "linear": "a0"},
    ["9" * 300],
    ["a" * 300],
    {"series": {"type": "relu"}},
    {"parallel": {"forward": "relu"}, "fuse": "sum"},
    {"parallel": {}, "fuse": "sum"},
    {"parallel": {"a": None}, "shared": ["relu"], "fuse": "sum"},
    {"unit": {}, "relu": None},
    {"gain": {"start": 1e300}},
    {"softmax": None},
    "mlp",
]


@pytest.mark.parametrize("config", RUNS)
def test_regressions_that_run(config: Any) -> None:
    tree = Tree(config, 32)
    check_sizes(built(tree).double().eval(), tree)


@pytest.mark.parametrize("config", REFUSED)
def test_regressions_that_are_rejected(config: Any) -> None:
    with pytest.raises(sf.ConfigError) as error:
        sf.build(config, 32)
    assert error.value.path and all(path and text for path, text in error.value.faults)
