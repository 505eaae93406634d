"""Intervals, p values and sample sizes of an `Estimate`.

One rule serves them all: a bound is the wider of two.

* Student's t with clusters - 1 degrees of freedom, which is right where differences are many and even.
* A bound for rare events. Few queries that lose much, or none so far, leave a small spread or none, and Student's t
  takes that for certainty. So one more event is supposed, the largest that could have stayed unseen (a query that loses
  all; `Estimate.unseen`), and the error of the mean is matched by a scaled Poisson count: with variance v and third
  moment m of the error, that event included, an event moves the mean by b = m / v and k = v / b^2 events are expected.
  The bound lies b (G + 1 - k) away from the mean, G being the quantile of the gamma distribution of shape k. For events
  of equal size that is Garwood's (1936) exact limit of a Poisson mean, which is Clopper & Pearson's (1934) for rare
  events; where nothing was seen, it is the rule of three (Hanley & Lippman-Hand 1983), 3.0 / n of the range; and where
  events are many, it is the normal bound moved by the skewness, as in Johnson (1978).

A p value is the level at which the interval reaches 0, so p < 0.05 says the same as a 95 % interval without 0.
"""

from __future__ import annotations

import math

from clear_bench.stats.clusters import Estimate

Bounds = tuple[float, float]

_EVEN = 1e-4  # below this share of the standard error an event's size does not matter: the gamma is normal by then
_LOWER, _UPPER = 0, 1


def interval(estimate: Estimate, confidence: float = 0.95) -> Bounds | None:
    """Return the two-sided interval; None without a standard error. The rule is that of this module.

    Args:
        estimate: The mean difference.
        confidence: Probability that the interval holds the true mean.
    """
    return one_sided_bounds(estimate, 1 - (1 - confidence) / 2)


def one_sided_bounds(estimate: Estimate, confidence: float = 0.95) -> Bounds | None:
    """Return the lower and the upper bound; None without a standard error. The rule is that of this module.

    Args:
        estimate: The mean difference.
        confidence: Probability that one of the bounds, taken alone, is right.
    """
    if estimate.se is None:
        return None
    low = estimate.delta - _reach(estimate, _LOWER, confidence)
    high = estimate.delta + _reach(estimate, _UPPER, confidence)
    return max(low, estimate.ends[_LOWER]), min(high, estimate.ends[_UPPER])


def p_value(estimate: Estimate) -> float | None:
    """Test a mean difference of 0, two-sided; None without a standard error. It agrees with `interval`.

    Args:
        estimate: The mean difference.
    """
    from scipy.special import gammaincc, stdtr

    if estimate.se is None:
        return None
    if estimate.delta == 0:
        return 1.0
    size = abs(estimate.delta)
    tail = float(stdtr(estimate.clusters - 1, -size / estimate.se)) if estimate.se else 0.0
    events = _events(estimate, _UPPER if estimate.delta < 0 else _LOWER)
    if events:
        tail = max(tail, float(gammaincc(events[1], size / events[0] + events[1] - 1)))
    return min(1.0, 2 * tail)


def effect_size(estimate: Estimate) -> float | None:
    """Return Cohen's d of paired differences: their mean over their standard deviation; 0 for identical scores.

    Source: d_z in Cohen 1988, Statistical power analysis for the behavioral sciences.

    Args:
        estimate: The mean difference. One without a standard deviation gives None.
    """
    if estimate.sd is None:
        return None
    if estimate.sd == 0:
        return 0.0 if estimate.delta == 0 else None
    return estimate.delta / estimate.sd


def design_effect(estimate: Estimate) -> float | None:
    """Return the variance of the mean over that of as many independent queries (Kish 1965, Survey sampling).

    Args:
        estimate: The mean difference. One without a standard error, or without any spread, gives None.
    """
    if estimate.se is None or not estimate.sd:
        return None
    return estimate.se**2 * estimate.n / estimate.sd**2


def minimum_detectable(estimate: Estimate, power: float = 0.8, confidence: float = 0.95) -> float | None:
    """Return the smallest true difference that a two-sided test of this precision finds; None without an error.

    Source: Bloom 1995, Minimum detectable effects, Evaluation Review 19, with the bounds of this module.

    Args:
        estimate: The mean difference, whose error is used.
        power: Probability that the test finds it.
        confidence: Confidence of the test.
    """
    if estimate.se is None:
        return None
    return max(_needed(estimate, side, 1 - (1 - confidence) / 2, power) for side in (_LOWER, _UPPER))


def queries_needed(
    sd: float, margin: float, effect: float = 1.0, *, power: float = 0.8, confidence: float = 0.95
) -> int:
    """Return how many queries a one-sided non-inferiority test needs when nothing changed.

    Source: Julious 2004, Sample sizes for clinical trials with normal data, Statistics in Medicine 23, with the bounds
    of this module.

    Args:
        sd: Standard deviation of the per-query differences.
        margin: Loss that is tolerated.
        effect: Design effect of the clusters.
        power: Probability that the test passes.
        confidence: Confidence of the test.

    >>> [queries_needed(sd, 0.01) for sd in (0.0, 0.10, 0.15, 0.20)]
    [300, 714, 1430, 2493]
    """
    low, high = 1, 2
    while _needed(_planned(sd, high, high, effect), _LOWER, confidence, power) > margin:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if _needed(_planned(sd, middle, middle, effect), _LOWER, confidence, power) > margin:
            low = middle
        else:
            high = middle
    return high


def resolvable_margin(
    sd: float, n: int, clusters: int, effect: float = 1.0, *, power: float = 0.8, confidence: float = 0.95
) -> float | None:
    """Return the smallest margin that these queries pass when nothing changed; None for a single cluster.

    It is the inverse of `queries_needed`.

    Args:
        sd: Standard deviation of the per-query differences.
        n: Number of queries.
        clusters: Number of clusters.
        effect: Design effect of the clusters.
        power: Probability that the test passes.
        confidence: Confidence of the test.
    """
    if clusters < 2:
        return None
    return _needed(_planned(sd, n, clusters, effect), _LOWER, confidence, power)


def planned_design_effect(sizes: list[int], correlation: float) -> float:
    """Return the design effect of clusters of these sizes (Kish 1965, Survey sampling).

    Args:
        sizes: Queries of each cluster.
        correlation: Intra-class correlation of the differences.
    """
    return 1 + (sum(size * size for size in sizes) / sum(sizes) - 1) * correlation


def _planned(sd: float, n: int, clusters: int, effect: float) -> Estimate:
    """Return the estimate of even differences, of scores from 0 to 1, whose mean is 0."""
    return Estimate(0.0, sd * math.sqrt(effect / n), sd, n, clusters, unseen=(effect / n, effect / n))


def _needed(estimate: Estimate, side: int, confidence: float, power: float) -> float:
    """Return how far away the truth must lie for this bound to exclude it with this power."""
    return _reach(estimate, side, confidence) + _student(power, estimate) * (estimate.se or 0.0)


def _reach(estimate: Estimate, side: int, confidence: float) -> float:
    """Return how far the bound of one side lies from the mean."""
    from scipy.special import gammaincinv

    even = _student(confidence, estimate) * estimate.se if estimate.se else 0.0
    events = _events(estimate, side)
    if events is None:
        return even
    size, expected = events
    return max(even, size * (float(gammaincinv(expected, confidence)) + 1 - expected))


def _events(estimate: Estimate, side: int) -> tuple[float, float] | None:
    """Return the size and the expected number of the events that match the error of one side; None without an error."""
    unseen = estimate.unseen[side]
    variance = (estimate.se or 0.0) ** 2 + unseen**2
    if variance == 0:
        return None
    third = (estimate.third if side == _UPPER else -estimate.third) + unseen**3
    size = max(third / variance, _EVEN * math.sqrt(variance))
    return size, variance / size**2


def _student(probability: float, estimate: Estimate) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(estimate.clusters - 1, probability))
