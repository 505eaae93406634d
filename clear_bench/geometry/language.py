"""How much language shows in vectors: the share of variance it explains, and whether a probe can tell it.

Languages are given as functions that load the vectors [n, d] of the same n texts, so that one is in memory at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from clear_bench.stats.clusters import Floats, Ints

Load = Callable[[], NDArray[np.float32]]

FOLDS = 5
RIDGE = 0.01
"""Of the linear probe, in mean variances of a dimension: no rotation changes it."""


def language_variance_share(languages: Sequence[Load]) -> tuple[float, Floats]:
    """Return the sum of squares between languages over the total one (eta squared), and its parts, [n].

    With vectors that know no language, (L - 1) / (L n - 1) is expected of L languages with n texts.
    """
    means = [load().mean(axis=0, dtype=np.float64) for load in languages]
    centre = np.mean(means, axis=0)
    away = [mean - centre for mean in means]
    first = languages[0]()
    total, along = np.zeros(len(first)), np.zeros(len(first))
    text_means = np.zeros(first.shape)
    for load, direction in zip(languages, away, strict=True):
        vectors = load().astype(np.float64)
        total += ((vectors - centre) ** 2).sum(axis=1)
        text_means += vectors / len(languages)
        along += vectors @ direction
    spread = total / len(languages)
    # How far the means of languages lie apart along this text, its own topic taken out.
    own = (along - text_means @ np.sum(away, axis=0)) / len(languages)
    between = float(np.mean([direction @ direction for direction in away]))
    whole = float(spread.mean())
    if whole <= 0:
        return 0.0, np.zeros(len(spread))
    share = between / whole
    return share, share + (2 * (own - between) - share * (spread - whole)) / whole


def language_probes(languages: Sequence[Load], clusters: Ints, seed: int = 0) -> tuple[Floats, Floats]:
    """Return whether a linear and a nearest-centroid probe tell the language of each text, [L, n] each, held out.

    Texts are cut into folds by cluster, so that no text is tested by a probe that has seen a translation of it. The
    linear probe is ridge regression on indicators of the languages, with an intercept.
    """
    folds = _folds(clusters, seed)
    count, used = len(languages), range(int(folds.max()) + 1)
    first = languages[0]()
    width = first.shape[1] + 1
    grams = np.zeros((len(used), width, width))
    sums = np.zeros((len(used), count, width))
    for i, load in enumerate(languages):
        vectors = _with_ones(load())
        for fold in used:
            part = vectors[folds == fold]
            grams[fold] += part.T @ part
            sums[fold, i] = part.sum(axis=0, dtype=np.float64)
    linear, centroid = np.zeros((count, len(folds))), np.zeros((count, len(folds)))
    weights = [_ridge(grams.sum(axis=0) - grams[fold], sums.sum(axis=0) - sums[fold]) for fold in used]
    centres = [_centroids(sums.sum(axis=0) - sums[fold]) for fold in used]
    for i, load in enumerate(languages):
        vectors = _with_ones(load())
        for fold in used:
            rows = np.flatnonzero(folds == fold)
            linear[i, rows] = (vectors[rows] @ weights[fold]).argmax(axis=1) == i
            centroid[i, rows] = (vectors[rows] @ centres[fold]).argmax(axis=1) == i
    return linear, centroid


def _folds(clusters: Ints, seed: int) -> Ints:
    """Deal the clusters into folds of nearly equal size, [n]."""
    _, labels = np.unique(clusters, return_inverse=True)
    groups = int(labels.max()) + 1
    order = np.random.default_rng(seed).permutation(groups)
    return np.asarray(order[labels] % min(FOLDS, groups), dtype=np.int64)


def _with_ones(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.hstack([vectors, np.ones((len(vectors), 1), np.float32)])


def _ridge(gram: Floats, sums: Floats) -> NDArray[np.float32]:
    """Solve for the weights of every language, [d + 1, L]."""
    n = gram[-1, -1]
    mean = gram[:-1, -1] / n
    penalty = RIDGE * max(float(np.trace(gram[:-1, :-1])) - n * float(mean @ mean), 1e-9 * n) / len(mean)
    solved = np.linalg.solve(gram + penalty * np.eye(len(gram)), sums.T)
    return np.asarray(solved, dtype=np.float32)


def _centroids(sums: Floats) -> NDArray[np.float32]:
    """Return weights whose highest score names the nearest centroid, [d + 1, L]."""
    means = sums[:, :-1] / sums[:, -1:]
    return np.asarray(np.vstack([means.T, -(means**2).sum(axis=1) / 2]), dtype=np.float32)
