"""Sums of differences by cluster, and the cluster-robust standard errors that follow from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

Ends = tuple[float, float]

# Equal differences differ by rounding, so a spread below this share of their size counts as 0.
NOISE = 1e-12
DIFFERENCES: Ends = (-1.0, 1.0)
"""The least and the greatest difference of two scores from 0 to 1."""


@dataclass(frozen=True, slots=True, eq=False)
class ClusterSums:
    """The per-query differences of several cells, added up by the clusters that the cells share."""

    sums: Floats
    """[clusters, cells]; 0 where a cell has no query of a cluster."""
    counts: Floats
    """Queries, [clusters, cells]."""
    sd: Floats
    """Standard deviation of each cell's per-query differences, [cells]; NaN for a single query."""
    ends: Ends = DIFFERENCES
    """The least and the greatest value that a query can have."""

    @property
    def queries(self) -> Floats:
        """Queries of each cell, [cells]."""
        return np.asarray(self.counts.sum(axis=0))

    @property
    def means(self) -> Floats:
        """Mean difference of each cell, [cells]."""
        return np.asarray(self.sums.sum(axis=0) / self.queries)

    @property
    def clusters(self) -> Ints:
        """Clusters of each cell, [cells]."""
        return np.asarray((self.counts > 0).sum(axis=0), dtype=np.int64)

    def take(self, cells: Ints) -> ClusterSums:
        """Return the sums of some cells, without clusters that they do not have."""
        kept = self.counts[:, cells].any(axis=1)
        return ClusterSums(self.sums[kept][:, cells], self.counts[kept][:, cells], self.sd[cells], self.ends)

    def influence(self) -> Floats:
        """Return the share of each cluster in each mean, [clusters, cells]; NaN for a cell with one cluster.

        A column's sum of squares is the variance of the mean (Liang & Zeger 1986), with the usual correction
        G / (G - 1) for G clusters (CR1).
        """
        size, used = self.queries, self.clusters
        with np.errstate(divide="ignore", invalid="ignore"):
            correction = np.where(used > 1, np.sqrt(used / (used - 1.0)), np.nan)
        shares = (self.sums - self.counts * self.means) / size * correction
        scale = np.abs(self.sums).max(axis=0, initial=0.0) / size
        noise = np.sqrt((shares**2).sum(axis=0)) <= NOISE * scale
        shares[:, noise] = 0.0
        return np.asarray(shares)

    def unseen(self) -> Floats:
        """Return how far one more event, of a kind that no query has shown, moves each mean down and up, [2, cells].

        The event is a query at the end of its range, times the design effect: the queries of its cluster follow it as
        far as those that changed did. One event, shared by all queries of its cluster, is added to what was seen; so
        where nothing varies, whole clusters are what counts.
        """
        size, moments = self.queries, (self.influence() ** 2).sum(axis=0)
        whole = (self.counts**2).sum(axis=0) / size  # queries of the usual cluster (Kish 1965)
        reach = np.maximum(np.stack([self.means - self.ends[0], self.ends[1] - self.means]), 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            effect = (size**2 * moments + reach**2) / (size * self.sd**2 + reach**2 / whole)
            return np.where(reach > 0, reach / size * np.clip(effect, 1.0, whole), 0.0)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean difference and its error."""

    delta: float
    se: float | None
    """Cluster-robust standard error; None where a single cluster leaves it unknown."""
    sd: float | None
    """Standard deviation of the per-query differences; None for one query and for combinations of cells."""
    n: int
    """Queries."""
    clusters: int
    third: float = 0.0
    """Third central moment of the mean's error: below 0 where a few large losses pull it."""
    unseen: Ends = (0.0, 0.0)
    """How far one more event, of a kind that no query has shown, moves the mean down and up."""
    ends: Ends = (-np.inf, np.inf)
    """The least and the greatest value that the mean can have."""


def reachable(scores: Floats) -> Ends:
    """Return the least and the greatest score that a query can have.

    Args:
        scores: All scores that were seen, of any shape. If they lie within 0 and 1, these are the ends. Any other
            metric, such as a rank, may go twice as far from 0 as the scores that were seen.
    """
    low, high = float(scores.min(initial=0.0)), float(scores.max(initial=0.0))
    return (0.0, 1.0) if low >= 0 and high <= 1 + NOISE else (2 * low, 2 * high)


def cluster_sums(
    differences: Floats, clusters: Ints, cells: Ints | None = None, ends: Ends = DIFFERENCES
) -> ClusterSums:
    """Add up per-query differences by cluster and cell.

    Args:
        differences: Candidate minus base, [q].
        clusters: Cluster of each difference, counted from 0, [q].
        cells: Cell (language pair) of each difference, counted from 0, [q]; every cell has a query. One cell if None.
        ends: The least and the greatest difference that a query can have.
    """
    if cells is None:
        cells = np.zeros(len(differences), dtype=np.int64)
    rows, columns = int(clusters.max(initial=-1)) + 1, int(cells.max(initial=-1)) + 1
    flat = clusters.astype(np.int64) * columns + cells
    sums: Floats = np.bincount(flat, differences, rows * columns).astype(np.float64).reshape(rows, columns)
    counts: Floats = np.bincount(flat, minlength=rows * columns).astype(np.float64).reshape(rows, columns)
    size = counts.sum(axis=0)
    means = sums.sum(axis=0) / size
    squares = np.bincount(cells, weights=(differences - means[cells]) ** 2, minlength=columns)
    sd = np.sqrt(squares / np.where(size > 1, size - 1, np.nan))
    sd[sd <= NOISE * np.abs(means)] = 0.0
    return ClusterSums(sums, counts, sd, ends)


def estimates(cells: ClusterSums) -> list[Estimate]:
    """Estimate the mean difference of every cell with its cluster-robust standard error.

    With clusters of one query this is the standard error of the paired t test, otherwise the sandwich estimator.
    Source: Liang & Zeger 1986, Longitudinal data analysis using generalized linear models, Biometrika 73.

    Args:
        cells: The differences of all cells, added up by cluster.
    """
    shares = cells.influence()
    errors, thirds = np.sqrt((shares**2).sum(axis=0)), (shares**3).sum(axis=0)
    columns = (cells.means, errors, cells.sd, cells.queries, cells.clusters, thirds, cells.unseen().T)
    return [
        Estimate(float(mean), _known(error), _known(sd), int(n), int(used), float(third), (down, up), cells.ends)
        for mean, error, sd, n, used, third, (down, up) in zip(*(column.tolist() for column in columns), strict=True)
    ]


def contrast(cells: ClusterSums, weights: Floats) -> Estimate:
    """Estimate a weighted sum of cell means: a macro mean, a pivot statistic, a difference of groups.

    A cluster that several cells share counts once, so parallel queries are not taken as independent. This is the
    sandwich estimator (Liang & Zeger 1986) of a linear contrast.

    Args:
        cells: The differences of all cells, added up by cluster.
        weights: Weight of each cell's mean, [cells].
    """
    used = np.flatnonzero(weights)
    part, share = cells.take(used), weights[used]
    shares = part.influence()
    combined = shares @ share
    size = float(np.abs(part.means * share).sum())
    delta, error = float(part.means @ share), float(np.sqrt(combined @ combined))
    if error <= NOISE * float(np.abs(shares).max(initial=0.0)):
        error, combined = 0.0, np.zeros(len(combined))
    delta = 0.0 if abs(delta) <= NOISE * size else delta
    third = float((combined**3).sum())
    unseen, ends = _mirrored(part.unseen(), share), _mirrored(np.tile(np.array([part.ends]).T, len(share)), share)
    # One event reaches every cell that has its cluster; the worst cluster counts.
    reach = (part.counts > 0) @ np.abs(unseen).T
    down, up = reach.max(axis=0, initial=0.0).tolist()
    low, high = ends.sum(axis=1).tolist()
    n, clusters = int(part.queries.sum()), len(part.sums)
    return Estimate(delta, _known(error), None, n, clusters, third, (down, up), (low, high))


def intraclass_correlation(values: Floats, clusters: Ints) -> float:
    """Estimate how similar the queries of a cluster are, from 0 to 1; 0 without a cluster of two queries.

    Source: the estimator of the one-way analysis of variance in Donner 1986, A review of inference procedures for the
    intraclass correlation coefficient, International Statistical Review 54. Values below 0 are set to 0.

    Args:
        values: Scores of queries, [q].
        clusters: Cluster of each query, [q].
    """
    sizes = np.bincount(clusters)
    sizes = sizes[sizes > 0]
    groups, n = len(sizes), len(values)
    if groups < 2 or n == groups:
        return 0.0
    labels = np.unique(clusters, return_inverse=True)[1]
    means = np.bincount(labels, weights=values) / sizes
    between = float(sizes @ (means - values.mean()) ** 2) / (groups - 1)
    within = float(((values - means[labels]) ** 2).sum()) / (n - groups)
    usual = (n - float(sizes @ sizes) / n) / (groups - 1)
    total = between + (usual - 1) * within
    return min(1.0, max(0.0, (between - within) / total)) if total > 0 else 0.0


def _mirrored(sides: Floats, weights: Floats) -> Floats:
    """Weigh a lower and an upper side [2, cells]; a negative weight turns them round."""
    return np.where(weights < 0, sides[::-1], sides) * weights


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
