"""A small shape, a pair that is not equal, and steps that run without being timed."""

from timing import clock, pairs
from timing.clock import Effort

import sefactory as sf

SMALL = (2, 64, 6, 5)


def wrong_pair(name: str, how: str) -> pairs.Pair:
    """A pair whose block has an override, and so differs from the authors' module."""
    pair = pairs.paper_pair(name, 64)
    block = sf.build(pairs.SEVEN[name].config, 64, overrides=[how])
    pair.copy_weights(block, pair.authors.state_dict())
    return pairs.Pair(name, pair.authors, block, tolerance=pair.tolerance, copy_weights=pair.copy_weights)


def run_untimed(steps: dict[str, clock.Step], effort: Effort) -> clock.Timings:
    """Runs every step once, and reports one second for each."""
    for step in steps.values():
        step.setup()
        step.run()
    return clock.Timings.from_rounds({name: [1.0] for name in steps})
