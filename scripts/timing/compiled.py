"""Every shipped block compiled by inductor: lowered against plain, the tree as it was written."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from sefactory.bench.machine import first_line

from .cells import Plan, ungated
from .pairs import CHANNELS, FLOAT32_CONSTANTS, TINY, Pair, built, check, randomised
from .results import KINDS, Row
from .variants import copied

SIDE, SEED = 56, 21


def rows(plan: Plan, names: Sequence[str]) -> Iterator[Row]:
    """Full and tiny rows of each block; their column `authors compiled` is our own plain block."""
    plan, batch = replace(plan, compile=True, eager=False), 128 if plan.cuda else 8
    shapes = {"full": (batch, CHANNELS, SIDE, SIDE), "tiny": (TINY[0], CHANNELS, TINY[1], TINY[1])}
    for name in names:
        try:
            check(subject := pair(name), shapes["tiny"], plan.device)  # one float64 attention at full size takes gigabytes
        except Exception as error:  # of any kind: the other blocks go on
            for size, shape in shapes.items():
                for kind in KINDS:
                    yield Row("compiled", name, plan.device, size, kind, shape, failed={"": first_line(error)})
            continue
        for size, shape in shapes.items():
            yield from ungated(subject, "compiled", size, shape, plan)


def pair(name: str, channels: int = CHANNELS) -> Pair:
    """A shipped block, plain where the authors' module stands for a paper."""
    plain, lowered = randomised(built(name, channels, lower=False), SEED), built(name, channels)
    copied(lowered, plain.state_dict())
    return Pair(name, plain, lowered, tolerance=FLOAT32_CONSTANTS, copied=copied)
