"""The two-way analysis: score = seed + variant + error, with one error for all variants."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .critical_values import critical_value, detectable_ratio

MAX_SEEDS = 1000


@dataclass(frozen=True)
class TwoWay:
    """The analysis of scores[seed][variant]: the seeds are blocks, so that what a seed does to all variants drops out.

    `means` are those of the variants, `error` is the standard deviation of a score after seed and variant are removed, with
    `degrees` of freedom. `correlation` is that of two variants within a seed: with 0 pairing gains nothing, with 0.5 it halves
    the number of seeds that are needed.
    """

    seeds: int
    means: tuple[float, ...]
    error: float
    degrees: int
    correlation: float

    @classmethod
    def of(cls, scores: Sequence[Sequence[float]]) -> "TwoWay":
        """The analysis of a table with at least two seeds and two variants. Raises ValueError for a smaller one."""
        y_NK = np.asarray(scores, dtype=np.float64)
        if y_NK.ndim != 2 or min(y_NK.shape) < 2:
            raise ValueError("needs at least two seeds and two variants")
        seeds, variants = y_NK.shape
        seed_N1, variant_1K = y_NK.mean(1, keepdims=True), y_NK.mean(0, keepdims=True)
        residual_NK = y_NK - seed_N1 - variant_1K + y_NK.mean()
        degrees = (seeds - 1) * (variants - 1)
        error = float((residual_NK**2).sum() / degrees)
        between = float(variants * seed_N1.var(ddof=1))
        total = between + (variants - 1) * error
        correlation = (between - error) / total if total > 0 else 0.0
        return cls(seeds, tuple(variant_1K[0].tolist()), math.sqrt(error), degrees, correlation)

    @property
    def standard_error(self) -> float:
        """The standard error of the difference of two means."""
        return self.error * math.sqrt(2 / self.seeds)

    def half_width(self, comparisons: int, correlation: float) -> float:
        """Half the width of the simultaneous 95 % intervals of so many differences."""
        return critical_value(comparisons, correlation, self.degrees) * self.standard_error

    def detectable(self, comparisons: int, correlation: float) -> float:
        """The true difference that is found with a probability of 80 %."""
        return self._detectable(self.seeds, comparisons, correlation)

    def seeds_needed(self, difference: float, comparisons: int, correlation: float) -> int | None:
        """The number of seeds with which a true difference is found with a probability of 80 %; None above MAX_SEEDS."""
        low, high = 2, MAX_SEEDS
        if self._detectable(high, comparisons, correlation) > difference:
            return None
        while low < high:
            middle = (low + high) // 2
            if self._detectable(middle, comparisons, correlation) <= difference:
                high = middle
            else:
                low = middle + 1
        return low

    def _detectable(self, seeds: int, comparisons: int, correlation: float) -> float:
        degrees = (seeds - 1) * (len(self.means) - 1)
        critical = critical_value(comparisons, correlation, degrees)
        return detectable_ratio(critical, degrees) * self.error * math.sqrt(2 / seeds)
