"""Bootstrap and sign-flip tests of clusters: a cluster is drawn, or flipped, in all cells at once.

A replicate's mean needs only the cluster sums, so one matrix product serves a block of replicates and all cells.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from clear_bench.stats.clusters import ClusterSums, Floats, Ints

REPLICATES = 10_000
_BLOCK = 1 << 21  # numbers of a block of replicates: 16 MB
_SLACK = 1e-9  # a replicate this near the observed value counts as equal
_CELLS = 512  # cells whose replicates are held at once


def bootstrap(cells: ClusterSums, *, replicates: int = REPLICATES, confidence: float = 0.95, seed: int = 0) -> Floats:
    """Return bias-corrected and accelerated (BCa) intervals of the means, [2, cells].

    NaN for a single cluster, and for equal values, whose draws are all equal. BCa is right to second order for skewed
    differences, and those of retrieval scores are: most queries do not change. Sources: Efron 1987, Better bootstrap
    confidence intervals, JASA 82; whole clusters are drawn as in Field & Welsh 2007, Bootstrapping clustered data,
    JRSS B 69.

    Args:
        cells: The differences of all cells, added up by cluster.
        replicates: Number of draws.
        confidence: Probability that an interval holds the true mean.
        seed: Seed of the draws.
    """
    out = np.full((2, len(cells.sd)), np.nan)
    for group in _alike(cells):
        for start in range(0, len(group), _CELLS):
            chosen = group[start : start + _CELLS]
            part = cells.take(chosen)
            if len(part.sums) > 1:
                out[:, chosen] = _accelerated(part, _replicate_means(part, replicates, seed), confidence)
    out[:, ~(cells.influence() ** 2).sum(axis=0).astype(bool)] = np.nan
    return out


def sign_flip(cells: ClusterSums, *, replicates: int = REPLICATES, seed: int = 0) -> Floats:
    """Return the two-sided p value of each mean by flipping the signs of whole clusters, [cells].

    Source: Fisher 1935, The design of experiments; for retrieval, Smucker, Allan & Carterette 2007, A comparison of
    statistical significance tests for information retrieval evaluation, CIKM.

    Args:
        cells: The differences of all cells, added up by cluster.
        replicates: Random flips; all 2^clusters are used where they are not more.
        seed: Seed of the random flips.
    """
    out = np.ones(len(cells.sd))
    for group in _alike(cells):
        scaled = _scaled(cells.take(group))
        observed = np.abs(scaled.sum(axis=0)) - _SLACK
        reached = np.zeros(len(group))
        drawn = 0
        for flips in _flips(len(scaled), replicates, seed):
            reached += (np.abs(_flipped(flips, scaled)) >= observed).sum(axis=0)
            drawn += len(flips)
        out[group] = _share(reached, drawn, len(scaled), replicates)
    return out


def max_t(cells: ClusterSums, *, replicates: int = REPLICATES, seed: int = 0) -> Floats:
    """Return sign-flip p values adjusted for all cells together, step-down, [cells].

    A flip turns a cluster in all cells at once, so the correlation of parallel queries counts. Source: Westfall & Young
    1993, Resampling-based multiple testing.

    Args:
        cells: The differences of all cells, added up by cluster.
        replicates: Random flips; all 2^clusters are used where they are not more.
        seed: Seed of the random flips.
    """
    scaled = _scaled(cells)
    observed = np.abs(scaled.sum(axis=0)) - _SLACK
    order = np.argsort(observed, kind="stable")
    scaled, ascending = scaled[:, order], observed[order]
    reached = np.zeros(len(order))
    drawn = 0
    for flips in _flips(len(scaled), replicates, seed):
        highest = np.maximum.accumulate(np.abs(_flipped(flips, scaled)), axis=1)
        reached += (highest >= ascending).sum(axis=0)
        drawn += len(flips)
    share = _share(reached, drawn, len(scaled), replicates)
    out = np.empty(len(order))
    out[order] = np.maximum.accumulate(share[::-1])[::-1]
    return out


def _alike(cells: ClusterSums) -> list[Ints]:
    """Group the cells that have the same clusters, so that a cell's result does not depend on its neighbours."""
    packed = np.packbits(cells.counts > 0, axis=0)
    groups: dict[bytes, list[int]] = {}
    for i, column in enumerate(packed.T):
        groups.setdefault(column.tobytes(), []).append(i)
    return [np.array(group, dtype=np.int64) for group in groups.values()]


def _replicate_means(cells: ClusterSums, replicates: int, seed: int) -> Floats:
    """Draw clusters with replacement and average, [replicates, cells]."""
    clusters = len(cells.sums)
    rng = np.random.default_rng(seed)
    equal = bool((cells.counts == cells.counts[:, :1]).all())
    counts = cells.counts[:, :1] if equal else cells.counts
    out = np.empty((replicates, len(cells.sd)))
    for start, stop in _blocks(replicates, clusters):
        offsets = np.arange(stop - start, dtype=np.int64)[:, None] * clusters
        drawn = rng.integers(0, clusters, (stop - start, clusters), dtype=np.int32) + offsets
        times = np.bincount(drawn.ravel(), minlength=(stop - start) * clusters)
        weights = times.reshape(stop - start, clusters).astype(np.float64)
        np.divide(weights @ cells.sums, weights @ counts, out=out[start:stop])
    return out


def _accelerated(cells: ClusterSums, replicates: Floats, confidence: float) -> Floats:
    from scipy.special import ndtr, ndtri

    below, equal = (replicates < cells.means).sum(axis=0), (replicates == cells.means).sum(axis=0)
    # Half a replicate keeps the correction finite where all replicates lie on one side.
    place = np.clip((below + equal / 2) / len(replicates), 0.5 / len(replicates), 1 - 0.5 / len(replicates))
    bias = ndtri(place)
    without = (cells.sums.sum(axis=0) - cells.sums) / (cells.queries - cells.counts)
    pull = without.mean(axis=0) - without
    spread = (pull**2).sum(axis=0) ** 1.5
    speed = np.divide((pull**3).sum(axis=0), 6 * spread, out=np.zeros_like(spread), where=spread > 0)
    tail = (1 - confidence) / 2
    reach = bias + ndtri([[tail], [1 - tail]])
    levels = ndtr(bias + reach / (1 - speed * reach))
    return _quantiles(np.sort(replicates, axis=0), levels)


def _quantiles(ordered: Floats, levels: Floats) -> Floats:
    """Interpolate each column of sorted replicates at its own levels [k, cells]."""
    place = levels * (len(ordered) - 1)
    low = np.floor(place).astype(np.int64)
    high = np.minimum(low + 1, len(ordered) - 1)
    left, right = np.take_along_axis(ordered, low, axis=0), np.take_along_axis(ordered, high, axis=0)
    return np.asarray(left + (right - left) * (place - low))


def _flips(clusters: int, replicates: int, seed: int) -> Iterator[NDArray[np.uint8]]:
    """Yield blocks of 0 (keep) and 1 (flip), [block, clusters]: every combination if few, else random ones."""
    if _is_exact(clusters, replicates):
        yield ((np.arange(2**clusters)[:, None] >> np.arange(clusters)) & 1).astype(np.uint8)
        return
    rng = np.random.default_rng(seed)
    for start, stop in _blocks(replicates, clusters):
        width = -(-clusters // 8)
        packed = rng.integers(0, 256, (stop - start, width), dtype=np.uint8)
        yield np.unpackbits(packed, axis=1, count=clusters)


def _flipped(flips: NDArray[np.uint8], sums: Floats) -> Floats:
    """Add up the sums with the chosen clusters' signs turned, [block, cells]."""
    return np.asarray(sums.sum(axis=0) - 2 * (flips.astype(np.float64) @ sums))


def _share(reached: Floats, drawn: int, clusters: int, replicates: int) -> Floats:
    # The observed signs are one of all combinations; beside random ones they count as one more (Phipson & Smyth 2010).
    extra = 0 if _is_exact(clusters, replicates) else 1
    # The observed signs and their mirror image are two of all combinations, however few were drawn.
    return np.maximum((reached + extra) / (drawn + extra), 2.0 ** (1 - clusters))


def _is_exact(clusters: int, replicates: int) -> bool:
    return clusters < 63 and 2**clusters <= replicates


def _scaled(cells: ClusterSums) -> Floats:
    """Divide each cell by the root of its sum of squares, which flips leave unchanged."""
    scale = np.sqrt((cells.sums**2).sum(axis=0))
    return np.asarray(np.divide(cells.sums, scale, out=np.zeros_like(cells.sums), where=scale > 0))


def _blocks(replicates: int, clusters: int) -> Iterator[tuple[int, int]]:
    step = max(1, _BLOCK // clusters)
    for start in range(0, replicates, step):
        yield start, min(start + step, replicates)
