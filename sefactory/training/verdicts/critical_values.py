"""Critical values of several comparisons at once: Dunnett's, and that of comparisons which share no group.

The differences to one baseline have correlation 1/2 (Dunnett, J. Am. Stat. Assoc. 50, 1955, p. 1096); differences of separate
pairs have correlation 0 (the studentized maximum modulus).
"""

import math
from functools import cache

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr
from scipy.stats import chi2, nct

SHARED_BASELINE = 0.5
SEPARATE_PAIRS = 0.0
NODES = 96
"""Nodes of each quadrature: errors of a critical value are below 1e-4 from 4 degrees of freedom on."""


def coverage(critical: float, comparisons: int, correlation: float, degrees: int) -> float:
    """P(|T_i| <= critical for all i) for t statistics of so many comparisons with a common error.

    With V and U_i standard normal and S^2 chi-squared / degrees, T_i = (sqrt(1 - r) U_i + sqrt(r) V) / S.
    """
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    probabilities = (nodes + 1) / 2
    s_N1 = np.sqrt(chi2.ppf(probabilities, degrees) / degrees)[:, None]
    v_M, v_weights = np.polynomial.hermite_e.hermegauss(NODES)
    shift, scale = math.sqrt(correlation) * v_M, math.sqrt(1 - correlation)
    inside_NM = ndtr((critical * s_N1 - shift) / scale) - ndtr((-critical * s_N1 - shift) / scale)
    given_s_N = (inside_NM**comparisons) @ v_weights / math.sqrt(2 * math.pi)
    return float(given_s_N @ weights / 2)


@cache
def critical_value(comparisons: int, correlation: float, degrees: int, level: float = 0.95) -> float:
    """The smallest value that all |T_i| keep to with probability `level`.

    >>> round(critical_value(1, SHARED_BASELINE, 10), 3)  # Student's t
    2.228
    >>> round(critical_value(4, SHARED_BASELINE, 20), 2)  # Dunnett's table
    2.65
    """
    return float(brentq(lambda c: coverage(c, comparisons, correlation, degrees) - level, 0.5, 100.0, xtol=1e-7))


@cache
def detectable_ratio(critical: float, degrees: int, power: float = 0.8) -> float:
    """The true difference, in standard errors, that a comparison with this critical value finds with probability `power`."""
    return float(brentq(lambda shift: nct.sf(critical, degrees, shift) - power, 0.0, critical + 10.0, xtol=1e-6))
