"""The lowered form equals the plain tree in float64: output, all gradients, running statistics; configs and random trees."""

from collections import Counter
from functools import lru_cache

import pytest
import torch
from torch import Tensor

import sefactory as sf
from tests.compiler.comparison import FIXED_GRID, close, compare, outcome, pair
from tests.random_trees.trees import Tree, grids, random_tree
from tests.sampling import sampled

COUNT, CHUNKS = 1700, 20
"""Seeds. Some trees are refused, corrupted or one-hot; at least 1,000 remain."""
STEPPED = "'hard': True"
"""Assignments that are one-hot: where two are nearly equal, rounding decides, and no two orders of summation agree."""


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("name", sf.configs())
def test_a_shipped_config_is_equal(name: str, train: bool) -> None:
    fixed = {"height": 7, "width": 9} if name in FIXED_GRID else {}
    lowered, plain = pair(name, 64, **fixed)
    x = torch.randn(3, 64, 7, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    assert compare(lowered.train(train), plain.train(train), x)


@pytest.mark.parametrize("grid", ["W", "DHW"])
@pytest.mark.parametrize("name", ["senet", "sknet", "cbam", "coordatt", "triplet", "danet", "seaformer", "gcnet", "ecanet"])
def test_other_grids_are_equal(name: str, grid: str) -> None:
    lowered, plain = pair(name, 64, grid=grid)
    x = torch.randn(2, 64, *(3, 4, 5)[-len(grid) :], dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    for train in (False, True):
        assert compare(lowered.train(train), plain.train(train), x)


def settled(plain: sf.Block, x: Tensor) -> bool:
    """Whether the reference agrees with itself on inputs that are equal but for rounding.

    Where something is 0 but for rounding before a relu, a maximum or a root, no two orders of summation agree.
    """
    y, gradients, _ = outcome(plain, x)
    scale = max(1e-3, *(float(t.abs().max()) for t in gradients if t.numel()))
    for step in (1e-15, -3e-15, 1e-14):
        y2, gradients2, _ = outcome(plain, x * (1 + step * torch.randn_like(x)))
        try:
            close(y2, y, 1e-3)
            for found, wanted in zip(gradients2, gradients, strict=True):
                close(found, wanted, scale)
        except AssertionError:
            return False
    return True


def compare_in_both_modes(lowered: sf.Block, plain: sf.Block, x: Tensor) -> bool:
    """`compare` in eval mode and in training; whether one of them ran."""
    ran = False
    for train in (False, True):
        state = {key: tensor.clone() for key, tensor in plain.state_dict().items()}
        try:
            ran |= compare(lowered.train(train), plain.train(train), x)
        except AssertionError:
            plain.load_state_dict(state)
            if settled(plain, x):
                raise
    return ran


def tree_outcome(tree: Tree) -> str:
    sides = {name: tree.fixed_sizes.get(axis) for axis, name in (("D", "depth"), ("H", "height"), ("W", "width"))}
    try:
        lowered, plain = pair(tree.config, tree.channels, grid=tree.grid, **sides)
    except sf.ConfigError:
        return "refused"
    x = torch.randn(2, tree.channels, *grids(tree)[0].values(), dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    return "equal" if compare_in_both_modes(lowered, plain, x) else "not settled or without a value"


@lru_cache(maxsize=CHUNKS)
def outcomes(chunk: int) -> Counter[str]:
    size, found = COUNT // CHUNKS, Counter[str]()
    for seed in range(100_000 + chunk * size, 100_000 + (chunk + 1) * size):
        tree = random_tree(seed)
        stepped = tree.is_corrupted or STEPPED in repr(tree.config)
        found["left out" if stepped else tree_outcome(tree)] += 1
    return found


@pytest.mark.parametrize("chunk", sampled(range(CHUNKS), 10))
def test_random_trees_are_equal(chunk: int) -> None:
    found = outcomes(chunk)
    assert found.total() == COUNT // CHUNKS and found["equal"] > 0.4 * found.total()


@pytest.mark.exhaustive
def test_at_least_a_thousand_trees_are_compared() -> None:
    total = sum((outcomes(chunk) for chunk in range(CHUNKS)), Counter[str]())
    assert total["equal"] >= 1000 and total["not settled or without a value"] < 0.05 * total["equal"]
