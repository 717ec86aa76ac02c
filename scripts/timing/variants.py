"""Blocks that are no papers, made of slot words at random: lowered against plain."""

import itertools
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from torch import Tensor, nn

import sefactory as sf

from .cells import Plan, cell
from .pairs import CHANNELS, EXACT, FLOAT32_CONSTANTS, Pair, built, randomised
from .results import Row

CONFIGS = Path(__file__).parents[2] / "configs"
SLOTS = ("squeeze", "excite", "gate")
PAPERS = {
    "mean mlp sigmoid",  # senet
    "mean_max mlp sigmoid",  # cbam_channel
    "mean conv1d sigmoid",  # ecanet
    "mean linear hard_sigmoid",  # ese
    "channels conv2d sigmoid",  # the spatial gate of cbam
    "none none sigmoid",  # silu
    "none none none",  # the square
}
SEED, COUNT, SIDE, TINY = 20, 20, 56, 7


def words() -> list[str]:
    """Every combination of slot words that is not a paper: 'squeeze excite gate'."""
    groups = [sorted(path.stem for path in (CONFIGS / slot).glob("*.yaml")) for slot in SLOTS]
    return [name for name in map(" ".join, itertools.product(*groups)) if name not in PAPERS]


def variant(name: str, channels: int, side: int, *, lower: bool = True) -> sf.Block:
    """Block unit with its three slots filled, on a fixed grid. ConfigError where two words do not go together."""
    overrides = [f"{slot}={word}" for slot, word in zip(SLOTS, name.split(), strict=True)]
    return built("unit", channels, lower=lower, overrides=overrides, height=side, width=side)


def drawn(count: int = COUNT, channels: int = CHANNELS, side: int = SIDE) -> Iterator[Pair]:
    """Variants at random from a fixed seed: the plain block stands where the authors' module stands for a paper."""
    order = random.Random(SEED).sample(names := words(), len(names))
    for name in order:
        if count == 0:
            return
        try:
            plain = randomised(variant(name, channels, side, lower=False), SEED)
        except sf.ConfigError:
            continue
        lowered = variant(name, channels, side)
        copied(lowered, plain.state_dict())
        count -= 1
        yield Pair(name, plain, lowered, tolerance=FLOAT32_CONSTANTS if "hard" in name else EXACT, copied=copied)


def copied(block: nn.Module, state: dict[str, Tensor]) -> None:
    """The same keys on both sides."""
    block.load_state_dict(state)


def rows(plan: Plan, count: int = COUNT) -> Iterator[Row]:
    """The rows of all variants, full and tiny; their column `authors` is our own plain block."""
    plan, batch = replace(plan, compile=False), 128 if plan.cuda else 8
    for size, samples, side in (("full", batch, SIDE), ("tiny", 2, TINY)):
        for pair in drawn(count, side=side):
            yield from cell(pair, "variants", size, (samples, CHANNELS, side, side), plan)
