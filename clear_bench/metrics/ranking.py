"""Metrics over grades, as trec_eval defines them.

Every function takes integers: `grades` [q, depth] of the ranked hits, 0 where a hit is unjudged or missing, and `ideal`
[q, r], the grades of all judged passages in descending order, padded with 0. It returns float64 [q]. A grade below 1 is
not relevant and gains nothing; a query without a relevant passage scores 0. A cutoff of None means the whole ranking.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Grades = NDArray[np.signedinteger]
Values = NDArray[np.float64]

PERSISTENCE = 0.8
"""Probability that a reader goes on to the next hit; the default of ir_measures."""


def ndcg(grades: Grades, ideal: Grades, k: int | None) -> Values:
    """Divide the discounted gain of the first k hits by that of the ideal order (`ndcg_cut`: the gain is the grade).

    >>> ndcg(np.array([[0, 1, 0]]), np.array([[1]]), 10).round(4)
    array([0.6309])
    """
    return ratio(discounted_gain(grades, k), discounted_gain(ideal, k))


def recall(grades: Grades, ideal: Grades, k: int | None) -> Values:
    """Divide the relevant passages among the first k hits by all relevant passages (`recall`)."""
    return ratio(_found(grades, k), _found(ideal, None))


def reciprocal_rank(grades: Grades, ideal: Grades, k: int | None) -> Values:
    """Return 1 / rank of the first relevant passage, 0 when it comes after k (`recip_rank`)."""
    rows, ranks = find(grades[:, :k] > 0)
    rows, first = np.unique(rows, return_index=True)
    values = np.zeros(len(grades))
    values[rows] = 1 / (ranks[first] + 1)
    return values


def average_precision(grades: Grades, ideal: Grades, k: int | None) -> Values:
    """Average the precision at the relevant passages among the first k hits over all relevant ones (`map_cut`)."""
    rows, ranks = find(grades[:, :k] > 0)
    # Hits come row by row, so a hit's number within its row is its index less the index of the row's first.
    nth = np.arange(len(rows)) - np.searchsorted(rows, rows) + 1
    return ratio(_sums(rows, nth / (ranks + 1), len(grades)), _found(ideal, None))


def precision(grades: Grades, ideal: Grades, k: int) -> Values:
    """Divide the relevant passages among the first k hits by k, however few hits there are (`P`)."""
    return _found(grades, k) / k


def hit(grades: Grades, ideal: Grades, k: int) -> Values:
    """Return whether a relevant passage is among the first k hits (`success`)."""
    return (_found(grades, k) > 0).astype(np.float64)


def r_precision(grades: Grades, ideal: Grades, k: int | None) -> Values:
    """Return the precision at R, the number of relevant passages of the query (`Rprec`)."""
    relevant = _found(ideal, None)
    within = np.arange(grades.shape[1]) < relevant[:, None]
    return ratio(_found(np.where(within, grades, 0), k), relevant)


def rank_biased_precision(grades: Grades, ideal: Grades, k: int) -> Values:
    """Return (1 - p) times the sum of p^(rank - 1) over the relevant hits, with persistence p = 0.8.

    Source: Moffat and Zobel, "Rank-biased precision for measurement of retrieval effectiveness", TOIS 2008. A passage
    is relevant or not, and an ideal ranking of few relevant passages stays below 1: a single one gives 0.2 at most.
    """
    rows, ranks = find(grades[:, :k] > 0)
    return _sums(rows, (1 - PERSISTENCE) * np.power(PERSISTENCE, ranks, dtype=np.float64), len(grades))


def judged(flags: Grades, k: int) -> Values:
    """Divide the judged hits among the first k by the hits there; NaN where a query has no hit.

    `flags` [q, depth] is 1 for a judged hit (of any grade), 0 for an unjudged one, -1 where there is none. As in
    ir_measures (`Judged`): unjudged passages count as not relevant, so a system that finds many looks worse than it is.
    """
    first = flags[:, :k]
    hits = np.count_nonzero(first >= 0, axis=1).astype(np.float64)
    return np.where(hits > 0, ratio(_found(first, None), hits), np.nan)


def discounted_gain(gains: Grades | Values, k: int | None) -> Values:
    """Sum the positive gains of the first k ranks, each divided by log2(rank + 1)."""
    gains = gains[:, :k]
    rows, ranks = find(gains > 0)
    # Summed in rank order over the relevant hits alone, so that an ideal ranking scores exactly 1.
    return _sums(rows, gains[rows, ranks] / np.log2(ranks + 2), len(gains))


def find(flags: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the rows and columns of what is true, row by row. Several times as fast as `nonzero`."""
    rows, columns = np.divmod(np.flatnonzero(flags), max(flags.shape[1], 1))
    return rows, columns


def ratio(part: Values, whole: Values) -> Values:
    """Divide query by query; 0 where the divisor is 0."""
    values = np.zeros(len(part))
    np.divide(part, whole, out=values, where=whole > 0)
    return values


def _found(grades: Grades, k: int | None) -> Values:
    return np.asarray(np.count_nonzero(grades[:, :k] > 0, axis=1), dtype=np.float64)


def _sums(rows: NDArray[np.intp], values: Values, n: int) -> Values:
    return np.asarray(np.bincount(rows, values, n), dtype=np.float64)
