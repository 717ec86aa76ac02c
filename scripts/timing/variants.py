"""Random combinations of slot words that are not a paper's block: the lowered block against the plain one."""

import itertools
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from torch import Tensor, nn

import sefactory as sf

from .measurement import Plan, checked_rows
from .pairs import CHANNELS, EXACT, FLOAT32_CONSTANTS, TINY_SHAPE, Pair, randomize
from .results import Row

CONFIGS = Path(__file__).parents[2] / "configs"
SLOTS = ("squeeze", "excite", "gate")
PAPER_COMBINATIONS = {
    "mean mlp sigmoid",  # senet
    "mean_max mlp sigmoid",  # cbam_channel
    "mean conv1d sigmoid",  # ecanet
    "mean linear hard_sigmoid",  # ese
    "channels conv2d sigmoid",  # the spatial gate of cbam
    "none none sigmoid",  # silu
    "none none none",  # the square
}
SEED, COUNT, SIDE = 20, 20, 56


def combinations() -> list[str]:
    """Every combination of slot words that is not a paper's, e.g. "std conv1d softmax"."""
    groups = [sorted(path.stem for path in (CONFIGS / slot).glob("*.yaml")) for slot in SLOTS]
    return [name for name in map(" ".join, itertools.product(*groups)) if name not in PAPER_COMBINATIONS]


def build_variant(name: str, channels: int, side: int, *, lower: bool = True) -> sf.Block:
    """The block `unit` with these three slot words and a fixed input size. ConfigError if the words do not fit together."""
    overrides = [f"{slot}={word}" for slot, word in zip(SLOTS, name.split(), strict=True)]
    return sf.build("unit", channels, lower=lower, overrides=overrides, height=side, width=side)


def random_pairs(count: int = COUNT, channels: int = CHANNELS, side: int = SIDE) -> Iterator[Pair]:
    """Random variants, the same in every run. The plain block takes the place of the authors' module."""
    names = combinations()
    for name in random.Random(SEED).sample(names, len(names)):
        if count == 0:
            return
        try:
            plain = randomize(build_variant(name, channels, side, lower=False), SEED)
        except sf.ConfigError:
            continue
        lowered = build_variant(name, channels, side)
        copy_state(lowered, plain.state_dict())
        count -= 1
        tolerance = FLOAT32_CONSTANTS if "hard" in name else EXACT
        yield Pair(name, plain, lowered, tolerance=tolerance, copy_weights=copy_state)


def copy_state(block: nn.Module, state: dict[str, Tensor]) -> None:
    """Copies a state dict with the same keys into a block."""
    block.load_state_dict(state)


def variant_rows(plan: Plan, count: int = COUNT) -> Iterator[Row]:
    """The full and tiny rows of all variants. Their column `authors` is the plain block."""
    plan, batch = replace(plan, compile=False), 128 if plan.is_cuda else 8
    for size, shape in {"full": (batch, CHANNELS, SIDE, SIDE), "tiny": TINY_SHAPE}.items():
        for pair in random_pairs(count, side=shape[-1]):
            yield from checked_rows(pair, "variants", size, shape, plan)
