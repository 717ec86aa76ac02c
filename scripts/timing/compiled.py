"""Every shipped block compiled by inductor: the lowered block against the plain one."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import sefactory as sf
from sefactory.errors import first_line

from .measurement import Plan, timed_rows
from .pairs import CHANNELS, FLOAT32_CONSTANTS, TINY_SHAPE, Pair, check_equal, randomize
from .results import KINDS, Row
from .variants import copy_state

SIDE, SEED = 56, 21


def compiled_rows(plan: Plan, names: Sequence[str]) -> Iterator[Row]:
    """The full and tiny rows of each block. Their column `authors compiled` is the plain block."""
    plan, batch = replace(plan, compile=True, eager=False), 128 if plan.is_cuda else 8
    shapes = {"full": (batch, CHANNELS, SIDE, SIDE), "tiny": TINY_SHAPE}
    for name in names:
        try:
            pair = block_pair(name)
            check_equal(pair, shapes["tiny"], plan.device)  # at full size, attention in float64 takes gigabytes
        except Exception as error:  # any error of a block: the other blocks continue
            for size, shape in shapes.items():
                for kind in KINDS:
                    yield Row("compiled", name, plan.device, size, kind, shape, failed={"": first_line(error)})
            continue
        for size, shape in shapes.items():
            yield from timed_rows(pair, "compiled", size, shape, plan)


def block_pair(name: str, channels: int = CHANNELS) -> Pair:
    """A shipped block with itself: the plain block takes the place of the authors' module."""
    plain, lowered = randomize(sf.build(name, channels, lower=False), SEED), sf.build(name, channels)
    copy_state(lowered, plain.state_dict())
    return Pair(name, plain, lowered, tolerance=FLOAT32_CONSTANTS, copy_weights=copy_state)
