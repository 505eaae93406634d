"""How evenly a space is used: hubs, the mean cosine, the effective rank."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from clear_bench.geometry.alignment import Vectors, random_cosine
from clear_bench.stats.clusters import Floats, Ints

FIRST_HITS = 10
"""k of the k-occurrence, where there are a hundred passages or more."""
NOTHING = 1e-12
"""Share of the variance below which a dimension is rounding."""


def mean_cosine(vectors: Vectors) -> Floats:
    """Return parts of the mean cosine of two texts of one language, [n]; needs two texts."""
    return random_cosine(vectors, vectors)


def effective_rank(vectors: Vectors) -> tuple[float, Floats]:
    """Return exp of the entropy of the covariance matrix's eigenvalues (Roy & Vetterli 2007), and its parts, [n].

    It lies between 1 and the smaller of d and n - 1. An eigenvalue moves with a text's squared projection on its
    vector, which gives the parts.
    """
    centred = vectors - vectors.mean(axis=0)
    values, axes = np.linalg.eigh((centred.T @ centred / len(vectors)).astype(np.float64))
    total = float(values.clip(0).sum())
    kept = values > NOTHING * total
    if not kept.any():
        return 1.0, np.ones(len(vectors))
    shares = values[kept] / values[kept].sum()
    entropy = -float(shares @ np.log(shares))
    squares = (centred.astype(np.float64) @ axes[:, kept]) ** 2 / values[kept].sum()
    pull = -squares @ np.log(shares) - entropy * squares.sum(axis=1)
    rank = float(np.exp(entropy))
    return rank, rank * (1 + pull - pull.mean())


def k_occurrence(similarities: NDArray[np.float32]) -> Ints:
    """Return how often each passage is among the first hits of the queries, [passages], from [queries, passages]."""
    passages = similarities.shape[1]
    k = min(FIRST_HITS, max(1, passages // 10))
    hits = np.argpartition(similarities, passages - k, axis=1)[:, passages - k :]
    return np.bincount(hits.ravel(), minlength=passages).astype(np.int64)


def hub_skewness(occurrence: Ints) -> tuple[float, Floats]:
    """Return the skewness of the k-occurrence (Radovanovic et al. 2010), and its parts, [passages].

    0 where every passage is found equally often.
    """
    away = occurrence - occurrence.mean()
    deviation = float(np.sqrt((away**2).mean()))
    if not deviation:
        return 0.0, np.zeros(len(away))
    scaled = away / deviation
    skewness = float((scaled**3).mean())
    return skewness, scaled**3 - 3 * scaled - 1.5 * skewness * (scaled**2 - 1)


def antihub_share(occurrence: Ints) -> Floats:
    """Return which passages are among no query's first hits, [passages]."""
    return np.asarray(occurrence == 0, dtype=np.float64)
