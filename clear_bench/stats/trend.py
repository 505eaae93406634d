"""Test whether gains follow a property of the languages."""

from __future__ import annotations

import itertools
import math

import numpy as np

from clear_bench.stats.clusters import NOISE, Floats
from clear_bench.stats.resampling import REPLICATES


def slope_test(x: Floats, y: Floats, *, replicates: int = REPLICATES, seed: int = 0) -> tuple[float, float] | None:
    """Fit a slope by least squares and test it, two-sided, by permutation: (slope, p).

    The test permutes languages, so p says nothing about queries. Source: Pitman 1937, Significance tests which may be
    applied to samples from any populations II, Supplement to the JRSS 4.

    Args:
        x: Property of each language, [n]. Fewer than three languages, or a single value of x, give None.
        y: Gain of each language, [n].
        replicates: Random orders; all n! orders are used where they are not more.
        seed: Seed of the random orders.
    """
    if len(x) < 3 or x.min() == x.max():
        return None
    centred = x - x.mean()
    deviation = y - y.mean()
    deviation[np.abs(deviation) <= NOISE * np.abs(y).max()] = 0.0
    observed = float(centred @ deviation)
    if math.factorial(len(x)) <= replicates:
        orders, extra = np.array(list(itertools.permutations(range(len(x))))), 0
    else:
        rng = np.random.default_rng(seed)
        orders, extra = rng.permuted(np.tile(np.arange(len(x)), (replicates, 1)), axis=1), 1
    reached = np.abs(centred[orders] @ deviation) >= abs(observed) * (1 - 1e-9)
    return observed / float(centred @ centred), float((reached.sum() + extra) / (len(orders) + extra))
