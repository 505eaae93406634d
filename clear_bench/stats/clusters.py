"""Differences added up by cluster, and the cluster-robust standard errors that follow from the sums."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Differences that are equal on paper differ by rounding; a spread this far below their size is none.
NOISE = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class ClusterSums:
    """The per-query differences of several cells, added up by the clusters that the cells share."""

    sums: Floats
    """[clusters, cells]; 0 where a cell has no query of a cluster."""
    counts: Floats
    """Queries, [clusters, cells]."""
    sd: Floats
    """Standard deviation of each cell's per-query differences, [cells]; NaN for a single query."""

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
        """Select cells, and only the clusters that they have."""
        kept = self.counts[:, cells].any(axis=1)
        return ClusterSums(self.sums[kept][:, cells], self.counts[kept][:, cells], self.sd[cells])

    def influence(self) -> Floats:
        """Share of each cluster in each mean, [clusters, cells]; a column's sum of squares is the mean's variance.

        The factor G / (G - 1) is the usual correction for G clusters (CR1); a cell with one cluster is NaN throughout.
        """
        size, used = self.queries, self.clusters
        with np.errstate(divide="ignore", invalid="ignore"):
            correction = np.where(used > 1, np.sqrt(used / (used - 1.0)), np.nan)
        shares = (self.sums - self.counts * self.means) / size * correction
        scale = np.abs(self.sums).max(axis=0, initial=0.0) / size
        noise = np.sqrt((shares**2).sum(axis=0)) <= NOISE * scale
        shares[:, noise] = 0.0
        return np.asarray(shares)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean difference and what is known of its error."""

    delta: float
    se: float | None
    """Cluster-robust standard error; None where a single cluster leaves it unknown."""
    sd: float | None
    """Standard deviation of the per-query differences; None for one query and for combinations of cells."""
    n: int
    """Queries."""
    clusters: int


def cluster_sums(differences: Floats, clusters: Ints, cells: Ints | None = None) -> ClusterSums:
    """Add up differences [q] by cluster label [q] and cell label [q]; labels count from 0, every cell has a query."""
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
    return ClusterSums(sums, counts, sd)


def estimates(cells: ClusterSums) -> list[Estimate]:
    """Estimate every cell's mean difference, with Student's t on clusters - 1 degrees of freedom in mind.

    With clusters of one query this is the paired t test; otherwise the sandwich estimator of Liang & Zeger (1986).
    """
    errors = np.sqrt((cells.influence() ** 2).sum(axis=0))
    columns = (cells.means, errors, cells.sd, cells.queries, cells.clusters)
    return [
        Estimate(float(mean), _known(error), _known(sd), int(n), int(used))
        for mean, error, sd, n, used in zip(*columns, strict=True)
    ]


def contrast(cells: ClusterSums, weights: Floats) -> Estimate:
    """Estimate a weighted sum of cell means: a macro mean, a pivot statistic, a difference of groups.

    Clusters that cells share are kept together, so parallel queries do not count as independent.
    """
    used = np.flatnonzero(weights)
    part, share = cells.take(used), weights[used]
    shares = part.influence()
    combined = shares @ share
    size = float(np.abs(part.means * share).sum())
    delta, error = float(part.means @ share), float(np.sqrt(combined @ combined))
    if error <= NOISE * float(np.abs(shares).max(initial=0.0)):
        error = 0.0
    delta = 0.0 if abs(delta) <= NOISE * size else delta
    return Estimate(delta, _known(error), None, int(part.queries.sum()), len(part.sums))


def intraclass_correlation(values: Floats, clusters: Ints) -> float:
    """Estimate how alike the queries of a cluster are, by one-way analysis of variance (Donner 1986); within 0 and 1.

    0 where no cluster has two queries or all values are equal.
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


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
