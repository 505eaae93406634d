"""Metrics that compare the rankings of a query and its translations."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from clear_bench.metrics.ranking import Values

Ints = NDArray[np.signedinteger]


def rank_correlation(rankings: Ints, k: int) -> Values:
    """Correlate the ranking of each query with those that its translations give (MRC@k), [t, q].

    `rankings` [t, q, depth] holds positions of one passage side in rank order, -1 where there is no hit, for t query
    languages. A pair of rankings is compared by Spearman's correlation over the passages that either has among its
    first k; what one of them lacks is tied behind its own. The value of a language is the mean over the other
    languages (Yang et al. 2024, arXiv 2509.06195), so the mean over languages is the mean over pairs. A query without
    hits, and one without translations, does not count.
    """
    rankings = rankings[:, :, :k]
    total = np.zeros(rankings.shape[:2])
    others = np.zeros(rankings.shape[:2])
    for a in range(len(rankings)):
        for b in range(a):
            both = (rankings[a] >= 0).any(axis=1) & (rankings[b] >= 0).any(axis=1)
            values = np.where(both, _spearman(rankings[a], rankings[b]), 0)
            total[[a, b]] += values
            others[[a, b]] += both
    return np.where(others > 0, total / np.maximum(others, 1), np.nan)


def _spearman(first: Ints, second: Ints) -> Values:
    """Correlate two sets of rankings row by row over the union of their passages, [q]."""
    n, m = (first >= 0).sum(axis=1), (second >= 0).sum(axis=1)
    rows, i, j = _matches(first, second)
    common = np.bincount(rows, minlength=len(first))
    size = n + m - common
    middle, last_first, last_second = (size + 1) / 2, (n + 1 + size) / 2, (m + 1 + size) / 2

    def tail(ranks: Ints, count: Ints) -> Values:
        """Sum the ranks of the passages that the other ranking lacks."""
        return count * (count + 1) / 2 - np.bincount(rows, ranks + 1, len(first))

    product = np.bincount(rows, (i + 1) * (j + 1), len(first)) + tail(i, n) * last_second + tail(j, m) * last_first
    covariance = product - size * middle**2
    spread = [_tied_squares(count, size) - size * middle**2 for count in (n, m)]
    scale = np.sqrt(spread[0] * spread[1])
    # Two rankings of one and the same passage agree, though a single rank has no variance.
    return np.where(scale > 0, covariance / np.where(scale > 0, scale, 1), 1.0)


def _tied_squares(count: Ints, size: Ints) -> Values:
    """Sum the squared ranks of a list whose passages after `count` are tied."""
    return count * (count + 1) * (2 * count + 1) / 6 + (size - count) * ((count + 1 + size) / 2) ** 2


def _matches(first: Ints, second: Ints) -> tuple[Ints, Ints, Ints]:
    """Return the passages that both rankings of a row have: row, rank in the first and in the second, from 0."""
    width = max(int(first.max()), int(second.max())) + 1
    row = np.arange(len(first))[:, None] * width
    listed, others = first >= 0, second >= 0
    _, i, j = np.intersect1d((row + first)[listed], (row + second)[others], assume_unique=True, return_indices=True)
    at, to = np.argwhere(listed)[i], np.argwhere(others)[j]
    return at[:, 0], at[:, 1], to[:, 1]
